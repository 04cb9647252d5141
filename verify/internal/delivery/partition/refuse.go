package partition

import (
	"errors"
	"fmt"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/spec"
	model "github.com/seed3893aba4/surestart/spec/delivery"
)

// allowed are the events of one core that the model allows in a state, regardless of its bound.
type allowed struct {
	admit, send, write, lose, handedOver, stop, stopEnds, cut, free, start bool
	withdraw, take                                                         uint64 // sets of messages, and of numbers of messages
}

// mayHave returns what the model allows core i. Each core has the producer's events by itself, as
// if the others had no messages.
func (p *Pair) mayHave(i int) (a allowed) {
	b, s := p.Graph.Bound, p.Model
	b.MaxMessages, b.MaxBatch, b.MaxStarts, b.MaxFrees = len(s.Partitions[i].Verdict), len(s.Partitions[i].Verdict), 100, 100
	for k := range p.cores {
		if k != i {
			s.Partitions[k] = b.Init().Partitions[k]
		}
	}
	p.steps = b.Enabled(&s, p.steps[:0])
	for _, st := range p.steps {
		if part := int(st.Partition); part != i && st.Action < model.Stop {
			continue
		}
		switch st.Action {
		case model.Admit:
			a.admit = true
		case model.WithdrawQueued, model.WithdrawTaken, model.GiveUp:
			a.withdraw |= 1 << st.Message
		case model.Take, model.TakeInNextEpoch:
			a.take |= 1 << st.N
		case model.Send:
			a.send = true
		case model.Write:
			a.write = true
		case model.LoseUnwritten, model.LoseWritten, model.LoseAnswer:
			a.lose = true
		case model.HandedOver:
			a.handedOver = true
		case model.Stop:
			a.stop = true
		case model.StopEnds:
			a.stopEnds = true
		case model.Cut:
			a.cut = true
		case model.Free:
			a.free = a.free || int(st.Partition) == i
		case model.Start:
			a.start = true
		}
	}
	if s.Partitions[i].Undecided() == 0 { // Undisturbed
		a.cut = a.stop || a.stopEnds
	}
	return a
}

// refusal is an attempt at an event that is not allowed.
type refusal struct {
	*Pair
	part  int // -1: of the producer ids
	tried int
	err   error
}

// try gives a core an event, unless it is allowed. The core must refuse it, with an error that
// names the event and the state, and must not change.
func (r *refusal) try(may bool, a model.Action, e core.Event, what string, do func() error) {
	if may || r.err != nil {
		return
	}
	r.tried++
	st := Step{Step: model.Step{Action: a, Partition: uint8(max(0, r.part))}}
	in := core.Empty
	if r.part >= 0 {
		in = r.cores[r.part].State()
	}
	before := r.Model
	said := do()
	var not core.NotAllowed
	switch {
	case said == nil:
		r.err = r.differ(st, &before, spec.Difference{Var: spec.VarEnabled, Index: fmt.Sprintf("%s of p%d", what, r.part+1), Want: "no", Got: "yes"})
	case !errors.As(said, &not) || not != core.NotAllowed{Event: e, State: in} || not.Error() == "":
		r.err = r.differ(st, &before, spec.Difference{Var: varRefused, Index: what, Want: fmt.Sprintf("%v in %v", e, in), Got: said.Error()})
	default:
		r.err = r.agree(st, &before, nil)
	}
}

// Refuse tries every event that the model does not allow in this state. It returns their number.
func (p *Pair) Refuse() (tried int, err error) {
	r := &refusal{Pair: p}
	defer func() {
		if v := recover(); v != nil {
			err = p.differ(Step{}, &p.Model, spec.Difference{Var: spec.VarPanic, Want: "refused", Got: fmt.Sprint(v)})
		}
	}()
	for i, c := range p.cores {
		pt, a := &p.Model.Partitions[i], p.mayHave(i)
		r.part = i
		for n := -1; n <= 2; n++ {
			r.try(a.admit && n > 0, model.Admit, core.EventAdmit, fmt.Sprintf("Admit(%d)", n), func() error { _, err := c.Admit(n); return err })
		}
		for m := range pt.Admitted + 3 {
			r.try(a.withdraw&(1<<m) != 0, model.GiveUp, core.EventWithdraw, fmt.Sprintf("Withdraw(%d)", m),
				func() error { _, err := c.Withdraw(core.Message(m)); return err })
		}
		for n := -1; n <= pt.Queue.Len()+1; n++ {
			r.try(n > 0 && a.take&(1<<n) != 0, model.Take, core.EventTake, fmt.Sprintf("Take(%d)", n), func() error { _, err := c.Take(n); return err })
		}
		r.try(a.send, model.Send, core.EventSend, "Send", func() error { _, err := c.Send(); return err })
		r.try(a.write, model.Write, core.EventWrite, "Write", c.Write)
		r.try(a.lose, model.LoseWritten, core.EventLose, "Lose", func() error { _, err := c.Lose(); return err })
		answered := a.lose && !a.write && p.mode() != core.Unanswered // then whatever the answer is
		for answer := core.Ok; answer <= core.Sequence+1; answer++ {
			r.try(answered && answer <= core.Sequence, model.AnswerOk, core.EventAnswer, "Answer("+answer.String()+")",
				func() error { _, err := c.Answer(answer, []int32{0}); return err })
		}
		r.try(a.handedOver, model.HandedOver, core.EventHandedOver, "HandedOver", func() error { _, err := c.HandedOver(); return err })
		r.try(a.stop, model.Stop, core.EventStop, "Stop", c.Stop)
		r.try(a.stopEnds, model.StopEnds, core.EventStopEnds, "StopEnds", c.StopEnds)
		r.try(a.cut, model.Cut, core.EventCut, "Cut", func() error { _, err := c.Cut(); return err })
		r.try(a.free, model.Free, core.EventFree, "Free", c.Free)
		r.try(a.start, model.Start, core.EventStart, "Start", func() error { return p.ids.Start(c) })
	}
	if p.ids != nil { // whether the producer is started they do not know, nor the bound
		r.part = -1
		due := int(p.Model.Highest[p.Model.ID-1]) >= p.Graph.Bound.EpochLimit
		r.try(due, model.NewID, core.EventNewID, "NewID", func() error { return p.ids.NewID(99) })
	}
	return r.tried, r.err
}
