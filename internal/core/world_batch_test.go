package core_test

import (
	"fmt"
	"slices"

	"github.com/seed3893aba4/surestart/internal/core"
)

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
