package partition

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/spec"
	model "github.com/seed3893aba4/surestart/spec/delivery"
	"github.com/seed3893aba4/surestart/verify/internal/walk"
)

// Step is a step of the model, in one of the ways in which a core can take it.
type Step struct {
	model.Step
	Way Way
}

// Way is how a core takes a step, or several of the model's steps in one event.
type Way uint8

const (
	AsModelled  Way = iota
	Together        // Admit twice
	Finally         // AnswerUnsure, and GiveUp of all that are undecided: a code that the table does not know
	Unnamed         // an answer that records are refused, and none is named: as one that the batch is too large
	Undisturbed     // Cut of what has nothing left to decide: Stop and StopEnds
)

var wayNames = [...]string{"", " together", " for good", " without records", " undisturbed"}

func (st Step) String() string { return st.Step.String() + wayNames[st.Way] }

// Pair has the cores of a producer's partitions, and the state of the model that they must agree
// with.
type Pair struct {
	Graph *model.Graph
	Model model.State
	Steps []Step // taken since Begin

	rows    *Rows
	ids     *core.IDs
	cores   []*core.Partition
	verdict [][]model.Verdict // by partition, of message m at m-1: what the cores have said
	request core.Request      // the last that a core returned
	changed bool              // the last event said so
	twice   string            // of a verdict that came twice
	steps   []model.Step      // scratch
	runs    []core.Run        // scratch

	progress atomic.Int64 // steps that began; a goroutine that loads it may read Steps until the next one
}

// Machine returns the machine to walk. It records in rows what the cores do.
func Machine(g *model.Graph, rows *Rows) (walk.Machine[Step], error) {
	from := make([]Step, len(g.From))
	for i, st := range g.From {
		from[i] = Step{Step: st}
	}
	return walk.Machine[Step]{
		States: len(g.States), Edges: g.Steps(), From: from, Hidden: true,
		Out: func(state int) iter.Seq2[int, Step] {
			return func(yield func(int, Step) bool) {
				for i, e := range g.Edges(state) {
					if !yield(i, Step{Step: e.Step}) {
						return
					}
				}
			}
		},
		New: func() walk.Code[Step] { return &Pair{Graph: g, rows: rows} },
	}, known()
}

func (p *Pair) mode() core.Mode {
	switch b := p.Graph.Bound; {
	case b.Idempotent:
		return core.Idempotent
	case b.Acks == model.AcksNone:
		return core.Unanswered
	}
	return core.Acknowledged
}

func (p *Pair) limits() core.Limits {
	b := p.Graph.Bound
	return core.Limits{MaxSequence: int64(b.MaxSequence), EpochLimit: int16(b.EpochLimit), MaxEpoch: int16(b.MaxEpoch)}
}

// Begin makes new cores, in the model's initial state.
func (p *Pair) Begin() {
	b := p.Graph.Bound
	p.Model, p.Steps, p.twice = b.Init(), p.Steps[:0], ""
	p.ids = nil
	if b.Idempotent {
		p.ids = core.NewIDs(p.limits(), 1)
	}
	p.cores, p.verdict = p.cores[:0], p.verdict[:0]
	for range b.Partitions {
		p.cores = append(p.cores, core.New(p.mode(), p.ids))
		p.verdict = append(p.verdict, make([]model.Verdict, len(model.State{}.Partitions[0].Verdict)))
	}
}

// Take takes a step in the cores and the model.
func (p *Pair) Take(st Step) (err error) {
	before := p.Model
	p.Steps = append(p.Steps, st)
	p.progress.Add(1)
	after, err := p.follow(before, st)
	if err != nil {
		return err
	}
	p.Model = after
	defer func() {
		if v := recover(); v != nil {
			err = p.differ(st, &before, spec.Difference{Var: spec.VarPanic, Want: "a step", Got: fmt.Sprint(v)})
		}
	}()
	p.request, p.changed = core.Request{}, false
	if isLeaders(st.Action) {
		return p.compare(st, &before)
	}
	defer p.rows.note(p, st, &before)
	if err := p.event(st, &before); err != nil {
		return p.differ(st, &before, spec.Difference{Var: spec.VarEnabled, Index: st.String(), Want: "yes", Got: err.Error()})
	}
	return p.compare(st, &before)
}

// follow takes the model's steps that belong to a step.
func (p *Pair) follow(s model.State, st Step) (model.State, error) {
	b := p.Graph.Bound
	if len(p.Steps) <= len(p.Graph.From) {
		b.Codes = model.AllCodes
	}
	p.steps = append(p.steps[:0], st.Step)
	switch st.Way {
	case Together:
		p.steps = append(p.steps, st.Step)
	case Undisturbed:
		p.steps = p.steps[:0]
		if s.Run == model.RunStarted {
			p.steps = append(p.steps, model.Step{Action: model.Stop})
		}
		p.steps = append(p.steps, model.Step{Action: model.StopEnds})
	case Finally:
		pt := &s.Partitions[st.Partition]
		for _, m := range pt.Batch.Messages[:pt.Batch.Messages.Len()] {
			if pt.Undecided().Has(m) {
				p.steps = append(p.steps, model.Step{Action: model.GiveUp, Partition: st.Partition, Message: m})
			}
		}
	}
	for _, one := range p.steps {
		next, ok := b.Next(s, one)
		if !ok {
			return s, fmt.Errorf("partition: %v of %v is not enabled in %v", one, st, s)
		}
		s = next
	}
	return s, nil
}

// isLeaders reports whether a step belongs to a leader. No core sees it.
func isLeaders(a model.Action) bool { return a >= model.LeaderAppends }

// event gives the cores the event that belongs to a step.
func (p *Pair) event(st Step, before *model.State) error {
	i := int(st.Partition)
	c := p.cores[i]
	led := func(out core.Outcome, err error) error {
		p.note(i, out)
		return err
	}
	answer := func(a core.Answer, records ...int32) error {
		out, err := c.Answer(a, records)
		return led(out, err)
	}
	var err error
	switch st.Action {
	case model.Admit:
		n := 1
		if st.Way == Together {
			n = 2
		}
		var m core.Message
		if m, err = c.Admit(n); err == nil && int(m) != int(before.Partitions[i].Admitted)+1 {
			err = fmt.Errorf("the number %d", m)
		}
	case model.WithdrawQueued, model.WithdrawTaken, model.GiveUp:
		return led(c.Withdraw(core.Message(st.Message)))
	case model.Take, model.TakeInNextEpoch:
		p.request, err = c.Take(int(st.N))
	case model.Send:
		p.request, err = c.Send()
	case model.Write:
		err = c.Write()
	case model.LoseUnwritten, model.LoseWritten, model.LoseAnswer:
		return led(c.Lose())
	case model.HandedOver:
		return led(c.HandedOver())
	case model.AnswerInvalid:
		var records []int32
		for k, m := range before.Partitions[i].Batch.Messages[:before.Partitions[i].Batch.Messages.Len()] {
			if st.Records.Has(m) {
				records = append(records, int32(k))
			}
		}
		return answer(core.Invalid, records...)
	case model.AnswerOk, model.AnswerUnsure, model.AnswerRetry, model.AnswerRefused, model.Split, model.AnswerSequence:
		a, _ := before.Partitions[i].Wire.Answer()
		switch st.Way {
		case Finally:
			return answer(core.Final)
		case Unnamed:
			return answer(core.Invalid)
		}
		return answer(answers[a], 0) // which of the records: that does not count here
	case model.Free:
		err = c.Free()
	case model.NewID:
		err = p.ids.NewID(int64(before.ID) + 1)
	case model.Start:
		err = p.ids.Start(p.cores...)
	default:
		return p.all(st.Action)
	}
	return err
}

// all gives each core an event of the producer.
func (p *Pair) all(a model.Action) error {
	for i, c := range p.cores {
		var err error
		switch a {
		case model.Stop:
			err = c.Stop()
		case model.StopEnds:
			err = c.StopEnds()
		case model.Cut:
			var out core.Outcome
			out, err = c.Cut()
			p.note(i, out)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var answers = [...]core.Answer{
	model.CodeOk: core.Ok, model.CodeUnsure: core.Unsure, model.CodeRetry: core.Retry, model.CodeRefused: core.Refused,
	model.CodeLarge: core.Large, model.CodeInvalid: core.Invalid, model.CodeSequence: core.Sequence,
}

var verdicts = [...]model.Verdict{
	core.Delivered: model.VerdictDelivered, core.NotSent: model.VerdictNotSent, core.Rejected: model.VerdictRejected, core.Maybe: model.VerdictMaybe,
}

// note records the outcome of an event of core i.
func (p *Pair) note(i int, out core.Outcome) {
	p.changed = out.Changed
	last := core.Message(0)
	for _, d := range out.Decided {
		for m := d.First; m <= d.Last; m++ {
			if m <= last || int(m) > len(p.verdict[i]) || p.verdict[i][m-1] != model.VerdictNone {
				p.twice = fmt.Sprintf("p%d,%d: %v", i+1, m, out.Decided)
				return
			}
			last, p.verdict[i][m-1] = m, verdicts[d.Verdict]
		}
	}
}

// Position returns the number of the model's state, and the cores' additional state: whether a
// batch was refused of which all messages have their verdict, and the lengths of the rings.
func (p *Pair) Position() (state int, hidden uint64) {
	state, _ = p.Graph.Lookup(&p.Model)
	for _, c := range p.cores {
		f := fieldsOf(c)
		hidden = hidden<<16 | uint64(len(f.window.ring))<<1
		if f.refused && f.undecided == 0 {
			hidden |= 1
		}
	}
	return state, hidden
}

// Moves returns the steps that the model can take, in each way. Refuse shows that the cores take no
// others.
func (p *Pair) Moves() ([]Step, error) {
	state, ok := p.Graph.Lookup(&p.Model)
	if !ok {
		return nil, fmt.Errorf("partition: %v is not in the graph", p.Model)
	}
	var moves []Step
	for _, e := range p.Graph.Edges(state) {
		moves = append(moves, Step{Step: e.Step})
	}
	return p.otherWays(moves), nil
}

// otherWays adds the additional ways in which the cores can take steps.
func (p *Pair) otherWays(moves []Step) []Step {
	s := &p.Model
	decided := true
	for i := range s.Partitions {
		decided = decided && s.Partitions[i].Undecided() == 0
	}
	if decided && s.Run != model.RunStopped {
		moves = append(moves, Step{model.Step{Action: model.Cut}, Undisturbed})
	}
	for _, st := range moves[:len(moves):len(moves)] {
		a, answered := s.Partitions[st.Partition].Wire.Answer()
		switch {
		case st.Action == model.Admit:
			if next, ok := p.Graph.Bound.Next(*s, st.Step); ok {
				if _, again := p.Graph.Bound.Next(next, st.Step); again {
					moves = append(moves, Step{st.Step, Together})
				}
			}
		case st.Action == model.AnswerUnsure:
			moves = append(moves, Step{st.Step, Finally})
		case st.Action == model.Split, st.Action == model.AnswerRefused && answered && a == model.CodeLarge:
			moves = append(moves, Step{st.Step, Unnamed})
		}
	}
	return moves
}

// Taken returns the steps since Begin.
func (p *Pair) Taken() []Step { return p.Steps }

// Close ends the run. A core holds no resources.
func (p *Pair) Close() error { return nil }

// Progress returns the number of steps that began.
func (p *Pair) Progress() int64 { return p.progress.Load() }

// Stuck returns the difference of a step that does not end.
func (p *Pair) Stuck() error {
	st := p.Steps[len(p.Steps)-1]
	return p.differ(st, &p.Model, spec.Difference{Var: spec.VarPanic, Want: "a step", Got: "it does not end"})
}

// End does nothing.
func (p *Pair) End() {}

// Difference is a difference between cores and model.
type Difference struct {
	Steps     []Step // the schedule up to there
	What      []string
	Guarantee string // "D3 Once"
}

// Error describes what differs, names the guarantee, and lists the schedule.
func (d *Difference) Error() string {
	var steps strings.Builder
	for i, st := range d.Steps {
		fmt.Fprintf(&steps, "\n  %2d %v", i+1, st)
	}
	return fmt.Sprintf("core and model differ after %d steps: %s is broken\n  %s\n%s", len(d.Steps), d.Guarantee, strings.Join(d.What, "\n  "), steps.String())
}

// Length returns the number of steps that lead to the difference.
func (d *Difference) Length() int { return len(d.Steps) }

func (p *Pair) differ(st Step, before *model.State, ds ...spec.Difference) error {
	d := &Difference{Steps: slices.Clone(p.Steps), Guarantee: blame(st, before, ds)}
	for _, one := range ds {
		d.What = append(d.What, one.String())
	}
	return d
}
