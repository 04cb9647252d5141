package core_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed3893aba4/surestart/internal/core"
)

// world has a producer's cores, and a cluster that does everything to their requests that a cluster
// can do: leaders like Kafka's (tla/PartitionOnKafka.tla), lost connections, requests that arrive
// late and more than once, changes of leader. The guarantees are judged by the logs, and by the
// outcome of each request, not by the model.
type world struct {
	choose func(n int) int // one of 0 to n-1
	mode   core.Mode
	limits core.Limits
	ids    *core.IDs
	perID  bool  // the brokers have one epoch for each id: kfake
	zero   bool  // a partition whose log has nothing of an id takes sequence number 0 only: Kafka before 2.5 and from 4.5
	lastID int64 // that the cluster has given
	parts  []*part
	late   []*request
	run    int // 0 started, 1 stopping, 2 stopped
	events int
}

// part is a partition: its core, its leader, and what is known of each message.
type part struct {
	core    *core.Partition
	log     []*request // in the leader's log
	safe    int        // how many of them every in-sync replica has
	lost    map[core.Message]bool
	verdict []core.Verdict // of message i+1; 0: none yet
	tried   []tried
	in      []bool // message i+1 is in the batch
	last    *request
	sent    *request // under way
	written bool
	answer  core.Answer
	handled bool // answer is on its way
}

// tried is what became of the requests with a message: the variable of that name.
type tried uint8

const (
	no tried = iota
	refused
	unsure
)

// request is one that was written, or is being.
type request struct {
	part     int
	id       int64
	epoch    int16
	seq      int32
	messages []core.Message
}

func (r *request) String() string {
	return fmt.Sprintf("p%d:%v@%d.%d.%d", r.part, r.messages, r.id, r.epoch, r.seq)
}

// broken is the error of a guarantee that does not hold.
func broken(guarantee, format string, args ...any) error {
	return fmt.Errorf("%s is broken: %s", guarantee, fmt.Sprintf(format, args...))
}

func newWorld(choose func(int) int) *world {
	w := &world{choose: choose, mode: core.Mode(max(0, choose(5)-2)), lastID: 1}
	w.limits = core.Limits{MaxSequence: int64(10 + choose(200)), EpochLimit: int16(1 + choose(20)), MaxEpoch: 1<<15 - 1}
	if w.perID = choose(4) == 0; w.perID {
		w.limits.EpochLimit = w.limits.MaxEpoch
	}
	w.zero = choose(4) == 0
	if w.mode == core.Idempotent {
		w.ids = core.NewIDs(w.limits, 1)
	}
	for range 1 + choose(4) {
		w.parts = append(w.parts, &part{core: core.New(w.mode, w.ids), lost: make(map[core.Message]bool)})
	}
	return w
}

// step makes one possible event happen. It returns an error if a guarantee does not hold.
func (w *world) step() error {
	i := w.choose(len(w.parts))
	p := w.parts[i]
	w.events++
	var err error
	switch w.choose(24) {
	case 0, 1, 2:
		err = w.admit(p)
	case 3:
		err = w.withdraw(p)
	case 4, 5, 6:
		err = w.take(p)
	case 7, 8, 9:
		err = w.send(i, p)
	case 10, 11, 12:
		err = w.write(p)
	case 13, 14, 15:
		err = w.handle(i, p)
	case 16, 17, 18:
		err = w.read(i, p)
	case 19:
		err = w.lose(i, p)
	case 20:
		w.arrive()
	case 21:
		err = w.control(i, p)
	case 22:
		if p.safe < len(p.log) || w.choose(4) == 0 {
			w.move(p)
		}
	case 23:
		err = w.impossible(p)
	}
	if err != nil {
		return err
	}
	if err := p.core.Invariant(); err != nil {
		return err
	}
	return w.judge(i)
}

func (w *world) admit(p *part) error {
	n := 1 + w.choose(8)
	m, err := p.core.Admit(n)
	if w.run != 0 {
		if err == nil {
			return broken("D7 Drains", "messages are admitted after a stop has begun")
		}
		return nil
	}
	if err != nil || int(m) != len(p.verdict)+1 {
		return fmt.Errorf("admitted as %d, %v; want %d", m, err, len(p.verdict)+1)
	}
	p.verdict = append(p.verdict, make([]core.Verdict, n)...)
	p.tried = append(p.tried, make([]tried, n)...)
	p.in = append(p.in, make([]bool, n)...)
	return nil
}

// withdraw: a deadline passes, or a caller leaves.
func (w *world) withdraw(p *part) error {
	if len(p.verdict) == 0 {
		return nil
	}
	m := core.Message(len(p.verdict) - w.choose(min(len(p.verdict), 40)))
	i := m - 1
	was := p.verdict[i]
	out, err := p.core.Withdraw(m)
	if was != 0 {
		if err == nil {
			return broken("D1 OneVerdict", "%d had the verdict %v, and gets another: %v", m, was, out)
		}
		return nil
	}
	if err != nil {
		return broken("D6 Deadline", "message %d has no verdict and does not get one: %v", m, err)
	}
	want := core.NotSent
	switch {
	case p.in[i] && (p.sent != nil || p.tried[i] == unsure):
		want = core.Maybe
	case p.tried[i] == refused:
		want = core.Rejected
	}
	if want != core.Maybe {
		p.in[i] = false
	}
	if err := p.decided(out, map[core.Message]core.Verdict{m: want}, "D5 Withdrawn"); err != nil || p.sent != nil {
		return err
	}
	return p.goesOn(core.Outcome{}, nil)
}

// decided records verdicts, and compares them with those that are due.
func (p *part) decided(out core.Outcome, want map[core.Message]core.Verdict, guarantee string) error {
	n := 0
	for _, d := range out.Decided {
		for m := d.First; m <= d.Last; m++ {
			n++
			if p.verdict[m-1] != 0 {
				return broken("D1 OneVerdict", "%d gets %v after %v", m, d.Verdict, p.verdict[m-1])
			}
			if want[m] == 0 && guarantee == "" {
				guarantee = "D1 OneVerdict"
			}
			if want[m] != d.Verdict {
				if guarantee == "" {
					guarantee = "D2 Truth"
				}
				return broken(guarantee, "%d gets %v; want %v", m, d.Verdict, want[m])
			}
			p.verdict[m-1], p.tried[m-1] = d.Verdict, no
		}
	}
	if n != len(want) {
		return broken("D1 OneVerdict", "%v; want %v", out.Decided, want)
	}
	return nil
}

func (w *world) take(p *part) error {
	undecidedQueue := 0
	for i, v := range p.verdict {
		if v == 0 && !p.in[i] {
			undecidedQueue++
		}
	}
	if undecidedQueue != p.core.Queued() {
		return fmt.Errorf("%d in the queue; want %d", p.core.Queued(), undecidedQueue)
	}
	if undecidedQueue == 0 || p.core.State() != core.Empty {
		return nil
	}
	n := 1 + w.choose(min(undecidedQueue, 6))
	r, err := p.core.Take(n)
	if err != nil {
		return broken("D7 Drains", "%d messages are queued and none can be taken: %v", undecidedQueue, err)
	}
	var want []core.Message
	for i, v := range p.verdict {
		if v == 0 && !p.in[i] && len(want) < n {
			want = append(want, core.Message(i+1))
			p.in[i] = true
		}
	}
	if got := messages(r); !slices.Equal(got, want) || r.Len != n || r.Again {
		return broken("D4 Order", "the batch is %v; want %v", got, want)
	}
	p.last = nil
	return nil
}

func messages(r core.Request) (all []core.Message) {
	for _, run := range r.Messages {
		for m := run.First; m <= run.Last; m++ {
			all = append(all, m)
		}
	}
	return all
}

func (w *world) send(i int, p *part) error {
	r, err := p.core.Send()
	if err != nil {
		return nil
	}
	var want []core.Message
	for k := range p.in {
		if p.in[k] {
			want = append(want, core.Message(k+1))
		}
	}
	s := &request{i, r.ID, r.Epoch, r.Sequence, messages(r)}
	if !slices.Equal(s.messages, want) || r.Len != len(want) {
		return broken("D5 Withdrawn", "the request is %v; want %v", s.messages, want)
	}
	p.sent = s
	if doubt := p.doubt(); doubt != r.Again {
		return broken("D3 Once", "%v is sent; again: %v, in doubt: %v", s, r.Again, doubt)
	}
	if r.Again && s.String() != p.last.String() {
		return broken("D3 Once", "%v is sent, and %v may have been appended", s, p.last)
	}
	p.sent, p.last, p.written, p.handled = s, s, false, false
	return nil
}

func (w *world) write(p *part) error {
	if p.sent == nil || p.written {
		return nil
	}
	p.written = true
	return p.core.Write()
}

// follows: see tla/PartitionOnKafka.tla.
func (w *world) fits(r *request) (fits, duplicate bool) {
	if w.mode != core.Idempotent {
		return true, false
	}
	if w.perID {
		for _, p := range w.parts {
			if slices.ContainsFunc(p.log, func(b *request) bool { return b.id == r.id && b.epoch > r.epoch }) {
				return false, false
			}
		}
	}
	var newest *request
	log := w.parts[r.part].log
	for k := len(log) - 1; k >= 0 && newest == nil; k-- {
		if log[k].id == r.id {
			newest = log[k]
		}
	}
	if newest == nil {
		return !w.zero || r.seq == 0, false // whatever its epoch
	}
	if newest.epoch == r.epoch {
		seen := 0
		for k := len(log) - 1; k >= 0 && seen < 5; k-- {
			if log[k].id != r.id {
				continue
			}
			seen++
			if b := log[k]; b.epoch == r.epoch && b.seq == r.seq && len(b.messages) == len(r.messages) {
				return false, true
			}
		}
		return r.seq == newest.seq+int32(len(newest.messages)), false
	}
	return r.epoch > newest.epoch && r.seq == 0, false
}

// handle: the leader handles the request.
func (w *world) handle(i int, p *part) error {
	if p.sent == nil || !p.written || p.handled || w.mode == core.Unanswered {
		return nil
	}
	p.handled = true
	if w.choose(4) == 0 { // it refuses the batch, or fails, before it looks
		p.answer = []core.Answer{core.Unsure, core.Retry, core.Refused, core.Large, core.Invalid, core.Final}[w.choose(6)]
		return nil
	}
	switch fits, duplicate := w.fits(p.sent); {
	case fits:
		p.log = append(p.log, p.sent)
		if p.answer = core.Ok; w.choose(3) == 0 {
			p.answer = []core.Answer{core.Unsure, core.Final}[w.choose(2)]
		} else {
			p.safe = len(p.log)
		}
	case duplicate:
		p.answer = core.Ok
		for k, b := range p.log {
			if b.String() == p.sent.String() {
				p.safe = max(p.safe, k+1)
			}
		}
	default:
		p.answer = core.Sequence
		if !w.perID && !w.zero && !p.doubt() {
			return broken("D4 Order", "the leader expects other numbers than those of %v, behind %v", p.sent, p.log)
		}
	}
	return nil
}

// read: the answer comes.
func (w *world) read(i int, p *part) error {
	if w.mode == core.Unanswered && p.sent != nil && p.written {
		out, err := p.core.HandedOver()
		if err != nil {
			return err
		}
		w.late = append(w.late, p.sent)
		return p.ends(out, core.Delivered)
	}
	if p.sent == nil || !p.handled {
		return nil
	}
	var records []int32
	if p.answer == core.Invalid {
		for k := range p.sent.messages {
			if w.choose(2) == 0 {
				records = append(records, int32(k))
			}
		}
		if w.choose(8) == 0 {
			records = append(records, int32(len(p.sent.messages)), -1) // of no message
		}
	}
	doubt := p.doubt()
	out, err := p.core.Answer(p.answer, records)
	if err != nil {
		return fmt.Errorf("the answer %v: %w", p.answer, err)
	}
	sent := p.sent
	p.sent = nil
	switch a := p.answer; {
	case a == core.Ok:
		return p.ends(out, core.Delivered)
	case a == core.Final, doubt && a != core.Unsure && a != core.Retry:
		return p.ends(out, core.Maybe)
	case a == core.Unsure, doubt:
		p.note(sent, unsure)
		return p.goesOn(out, nil)
	case a == core.Retry:
		p.note(sent, refused)
		return p.goesOn(out, nil)
	case a == core.Refused, a != core.Sequence && len(sent.messages) == 1:
		return p.ends(out, core.Rejected)
	}
	p.note(sent, no)
	if p.answer == core.Sequence {
		for _, m := range sent.messages {
			p.in[m-1] = false
		}
		return p.decided(out, nil, "")
	}
	rejected := make(map[core.Message]core.Verdict)
	for _, k := range records {
		if k >= 0 && int(k) < len(sent.messages) {
			if m := sent.messages[k]; p.verdict[m-1] == 0 {
				rejected[m] = core.Rejected
			}
			p.in[sent.messages[k]-1] = false
		}
	}
	if !slices.ContainsFunc(records, func(k int32) bool { return k >= 0 && int(k) < len(sent.messages) }) {
		for _, m := range sent.messages[(len(sent.messages)+1)/2:] {
			p.in[m-1] = false
		}
	}
	return p.goesOn(out, rejected)
}

// doubt: an earlier request with the batch may have been appended.
func (p *part) doubt() bool {
	for _, m := range p.sent.messages {
		if p.tried[m-1] == unsure {
			return true
		}
	}
	return false
}

func (p *part) note(sent *request, what tried) {
	for _, m := range sent.messages {
		if p.verdict[m-1] == 0 && p.tried[m-1] != unsure {
			p.tried[m-1] = what
		}
	}
}

// ends: the undecided messages of the batch get the verdict, and the batch ends.
func (p *part) ends(out core.Outcome, v core.Verdict) error {
	want := make(map[core.Message]core.Verdict)
	for i := range p.in {
		if p.in[i] && p.verdict[i] == 0 {
			want[core.Message(i+1)] = v
		}
		p.in[i] = false
	}
	p.sent = nil
	return p.decided(out, want, "")
}

// goesOn: the batch does, as long as one of it is undecided, and without doubt those that are decided leave it.
func (p *part) goesOn(out core.Outcome, want map[core.Message]core.Verdict) error {
	if err := p.decided(out, want, ""); err != nil {
		return err
	}
	doubt := slices.Contains(p.tried, unsure)
	for i := range p.in {
		if !doubt && p.verdict[i] != 0 {
			p.in[i] = false
		}
	}
	return nil
}

// lose: the connection is lost.
func (w *world) lose(i int, p *part) error {
	if p.sent == nil {
		return nil
	}
	out, err := p.core.Lose()
	if err != nil {
		return err
	}
	sent := p.sent
	p.sent = nil
	if p.written {
		if !p.handled {
			w.late = append(w.late, sent)
		}
		p.note(sent, unsure)
	}
	return p.goesOn(out, nil)
}

// arrive delivers a request whose answer is no longer awaited. The request may arrive again.
func (w *world) arrive() {
	if len(w.late) == 0 {
		return
	}
	r := w.late[w.choose(len(w.late))]
	if fits, _ := w.fits(r); fits && (w.mode == core.Idempotent || len(w.parts[r.part].log) < 1000) {
		w.parts[r.part].log = append(w.parts[r.part].log, r)
	}
}

// move: another replica leads, which may lack what not every in-sync replica had.
func (w *world) move(p *part) {
	if n := p.safe + w.choose(len(p.log)-p.safe+1); w.mode == core.Idempotent {
		p.log = p.log[:n]
	} else { // what is promised then depends on acks, which the core does not know
		for _, r := range p.log[n:] {
			for _, m := range r.messages {
				p.lost[m] = true
			}
		}
		p.log = p.log[:n]
	}
}

// control: the producer stops, is cut, starts; a core is freed; there is another id.
func (w *world) control(i int, p *part) error {
	switch w.choose(6) {
	case 0:
		return w.stop()
	case 1:
		return w.stopEnds()
	case 2:
		if w.choose(4) == 0 {
			return w.cut()
		}
	case 3:
		return w.start()
	case 4:
		if err := p.core.Free(); err == nil && p.core.Undecided() > 0 {
			return fmt.Errorf("a core with messages was freed")
		}
	case 5:
		if w.mode == core.Idempotent && w.ids.Due() {
			w.lastID++
			return w.ids.NewID(w.lastID)
		}
	}
	return nil
}

func (w *world) stop() error {
	if w.run != 0 {
		return nil
	}
	w.run = 1
	for _, p := range w.parts {
		if err := p.core.Stop(); err != nil {
			return err
		}
	}
	return nil
}

// stopEnds: as the engine does it, each by itself once nothing is undecided in any.
func (w *world) stopEnds() error {
	if w.run != 1 {
		return nil
	}
	for _, p := range w.parts {
		if slices.Contains(p.verdict, 0) {
			if err := p.core.StopEnds(); err == nil {
				return broken("D1 OneVerdict", "a stop ends, and a message has no verdict")
			}
			return nil
		}
	}
	w.run = 2
	for i, p := range w.parts {
		if err := p.core.StopEnds(); err != nil {
			return broken("D7 Drains", "all verdicts are there, and the stop does not end: %v", err)
		}
		w.closed(i, p)
	}
	return nil
}

func (w *world) closed(i int, p *part) {
	if p.sent != nil && p.written && !p.handled {
		w.late = append(w.late, p.sent)
	}
	p.sent, p.handled, p.written = nil, false, false
	clear(p.in)
}

func (w *world) cut() error {
	if w.run == 2 {
		return nil
	}
	w.run = 2
	for i, p := range w.parts {
		want := make(map[core.Message]core.Verdict)
		for k, v := range p.verdict {
			switch {
			case v != 0:
			case p.in[k] && (p.sent != nil || p.tried[k] == unsure):
				want[core.Message(k+1)] = core.Maybe
			case p.tried[k] == refused:
				want[core.Message(k+1)] = core.Rejected
			default:
				want[core.Message(k+1)] = core.NotSent
			}
		}
		out, err := p.core.Cut()
		if err != nil {
			return err
		}
		if err := p.decided(out, want, ""); err != nil {
			return err
		}
		w.closed(i, p)
		if n := p.core.Undecided(); n > 0 {
			return broken("D1 OneVerdict", "%d messages are undecided after a cut", n)
		}
	}
	return nil
}

func (w *world) start() error {
	if w.run != 2 {
		return nil
	}
	w.run = 0
	var cores []*core.Partition
	for _, p := range w.parts {
		cores = append(cores, p.core)
	}
	return w.ids.Start(cores...)
}

// impossible: what does not happen is refused, and changes nothing (the invariant, and all that follows, show it).
func (w *world) impossible(p *part) error {
	var did []string
	try := func(what string, err error) {
		if err == nil {
			did = append(did, what)
		}
	}
	if p.sent == nil {
		try("Write", p.core.Write())
		_, err := p.core.Lose()
		try("Lose", err)
		_, err = p.core.Answer(core.Ok, nil)
		try("Answer", err)
		_, err = p.core.HandedOver()
		try("HandedOver", err)
	} else {
		_, err := p.core.Send()
		try("Send", err)
	}
	if w.mode != core.Unanswered {
		_, err := p.core.HandedOver()
		try("HandedOver", err)
	}
	if p.core.State() != core.Empty || p.core.Queued() == 0 {
		_, err := p.core.Take(1)
		try("Take", err)
	}
	_, err := p.core.Withdraw(core.Message(len(p.verdict) + 1))
	try("Withdraw", err)
	if w.run != 1 {
		try("StopEnds", p.core.StopEnds())
	}
	if w.run != 0 {
		try("Stop", p.core.Stop())
	}
	if did != nil {
		return fmt.Errorf("done, and not possible: %s", strings.Join(did, ", "))
	}
	return nil
}

// judge compares the log of a partition with the verdicts (D2, D3, D4).
func (w *world) judge(i int) error {
	p := w.parts[i]
	seen := make(map[core.Message]bool)
	last := core.Message(0)
	for _, r := range p.log {
		for _, m := range r.messages {
			v := p.verdict[m-1]
			if v == core.NotSent || v == core.Rejected {
				return broken("D2 Truth", "message %d is %v, and in the log", m, v)
			}
			if w.mode == core.Idempotent && seen[m] {
				return broken("D3 Once", "message %d is in the log twice", m)
			}
			if w.mode == core.Idempotent && m < last {
				return broken("D4 Order", "message %d is in the log behind %d", m, last)
			}
			seen[m], last = true, m
		}
	}
	for k, v := range p.verdict {
		if m := core.Message(k + 1); v == core.Delivered && w.mode != core.Unanswered && !seen[m] && !p.lost[m] {
			return broken("D2 Truth", "message %d is delivered, and not in the log %v", m, p.log)
		}
	}
	return nil
}

// finish ends the life of the producer, delivers all late requests, and judges.
func (w *world) finish() error {
	if err := w.cut(); err != nil {
		return err
	}
	for range 2 {
		for k := range w.late {
			if w.choose(2) == 0 {
				k = w.choose(len(w.late))
			}
			r := w.late[k]
			if fits, _ := w.fits(r); fits {
				w.parts[r.part].log = append(w.parts[r.part].log, r)
			}
		}
	}
	for i, p := range w.parts {
		if err := w.judge(i); err != nil {
			return err
		}
		if n := slices.Index(p.verdict, 0); n >= 0 {
			return broken("D1 OneVerdict", "message %d has no verdict at the end", n+1)
		}
	}
	return nil
}
