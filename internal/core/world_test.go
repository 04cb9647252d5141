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
