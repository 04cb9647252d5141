package trace

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/record"
	model "github.com/seed3893aba4/surestart/spec/delivery"
)

// Accepted describes how a trace was accepted.
type Accepted struct {
	Events, Messages int
	Inferred         int // hidden steps that were tried and explain the log up to there
	Most             int // states at once
	// Took are the actions of the behaviour that was found.
	Took map[model.Action]bool
}

// Rejected is the error of a trace that is not a behaviour of the model.
type Rejected struct {
	Trace     *Trace
	At        int // the event that does not fit; the number of events: the end does not
	What      string
	State     string // one in which the model could have been
	Guarantee string // "D3 Once"
}

// Error describes what does not fit, names the guarantee, and lists the last events before it.
func (r *Rejected) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "a trace of the engine (%s) is no behaviour of the model: %s is broken\n  %s\n  the model may be in %s\n", r.Trace.Name, r.Guarantee, r.What, r.State)
	for i, e := range r.Trace.Events[:min(r.At+1, len(r.Trace.Events))] {
		if i > r.At-80 {
			fmt.Fprintf(&b, "  %4d %s\n", i, show(e))
		}
	}
	return b.String()
}

// placed is a record of a log, as the model has it.
type placed struct {
	message uint8
	pid     uint8
	epoch   model.Number
}

// part is what is known of a partition in addition to the model's state.
type part struct {
	written   bool        // the sender has said that the request was written whole
	next      core.Answer // the next that the producer gets, see lookAhead; noAnswer: none
	unwritten bool        // the sender will say that the request was not written whole

	stopped bool           // it has had its Stop
	ended   bool           // it has had its StopEnds, or Cut
	cut     []core.Decided // by Cut
}

// sent is the partition to which a message was admitted, and its number there.
type sent struct {
	partition int
	message   uint8
}

type checker struct {
	*Trace
	bound  model.Bound
	parts  []part
	ids    []int64 // of the model's producer ids, the first at 0
	number map[string]sent
	wanted [][]placed // the logs

	states []model.State // in which the model may be, none twice
	took   []uint64      // of each state: the actions that led there, a bit each

	spareStates []model.State // memory for the next ones
	spareTook   []uint64

	begun    bool // there was an event
	inferred int
	most     int
	why      string // what the last state that was dropped does not allow
}

// Check finds a behaviour of the model that has the trace, or returns a *Rejected.
func (t *Trace) Check() (a Accepted, err error) {
	k := &checker{Trace: t, bound: t.bound(), parts: make([]part, len(t.Logs)), number: make(map[string]sent)}
	if err := k.bound.Check(); err != nil {
		return a, err
	}
	at := 0
	defer func() {
		if v := recover(); v != nil { // a State is too small
			err = fmt.Errorf("engine: %s, event %d: %v", t.Name, at, v)
		}
	}()
	if what := k.prepare(); what != "" {
		return a, k.reject(0, what, nil)
	}
	k.states, k.took = []model.State{k.bound.Init()}, []uint64{0}
	for i, e := range t.Events {
		at = i
		before := k.states
		k.why = ""
		what := k.event(i, e)
		if what == "" && len(k.states) == 0 {
			what = "the model does not allow it"
			if k.why != "" {
				what = k.why
			}
		}
		if what != "" {
			return a, k.reject(i, fmt.Sprintf("event %d, %s: %s", i, show(e), what), before)
		}
	}
	at = len(t.Events)
	k.lookAhead(at)
	k.close()
	found, what := k.end()
	if what != "" {
		return a, k.reject(at, what, k.states)
	}
	a = Accepted{Events: len(t.Events), Messages: len(k.number), Inferred: k.inferred, Most: k.most, Took: make(map[model.Action]bool)}
	for _, action := range model.Actions() {
		a.Took[action] = k.took[found]>>action&1 == 1
	}
	return a, nil
}

// prepare numbers the messages and places the log.
func (k *checker) prepare() string {
	for _, e := range k.Events {
		switch e.Kind {
		case core.EventAdmit:
			for i, v := range e.Values {
				if _, twice := k.number[v]; twice {
					return fmt.Sprintf("message %q is admitted twice", v)
				}
				k.number[v] = sent{e.Partition, uint8(e.First) + uint8(i)}
			}
		case core.EventTake:
			if k.ids == nil {
				k.ids = []int64{e.Request.ID}
			}
		case core.EventNewID:
			k.ids = append(k.ids, e.ID)
		}
	}
	k.wanted = make([][]placed, len(k.Logs))
	for p, log := range k.Logs {
		for _, r := range log {
			at, ok := k.number[r.Value]
			pid := slices.Index(k.ids, r.ID) + 1
			if !ok || at.partition != p || pid == 0 {
				return fmt.Sprintf("the log of p%d has %+v, which was not sent there", p+1, r)
			}
			k.wanted[p] = append(k.wanted[p], placed{at.message, uint8(pid), model.Number(r.Epoch)})
		}
	}
	return ""
}

// event applies an event. It returns what is wrong with the event in every state.
func (k *checker) event(at int, e record.Event) string {
	p := uint8(e.Partition)
	if int(p) >= len(k.parts) {
		return "there is no such partition"
	}
	q := &k.parts[p]
	if e.Topic != "" && q.ended {
		return "the partition is stopped"
	}
	begun := k.begun
	k.begun = true
	step := func(a model.Action) { k.advance(e, model.Step{Action: a, Partition: p}) }
	switch e.Kind {
	case core.EventAdmit:
		if q.stopped {
			return "the partition is stopping"
		}
		k.advance(e, slices.Repeat([]model.Step{{Action: model.Admit, Partition: p}}, len(e.Values))...)
	case core.EventWithdraw:
		k.choose(e, func(a model.Action) []model.Step {
			return []model.Step{{Action: a, Partition: p, Message: uint8(e.First)}}
		}, model.WithdrawQueued, model.WithdrawTaken, model.GiveUp)
	case core.EventTake:
		k.choose(e, func(a model.Action) []model.Step {
			return []model.Step{{Action: a, Partition: p, N: uint8(e.N)}}
		}, model.Take, model.TakeInNextEpoch)
	case core.EventSend:
		q.written = false
		step(model.Send)
	case core.EventWrite:
		q.written = true // the model has written it at some moment before, which is inferred
		k.advance(e)
	case core.EventLose:
		if !q.written {
			step(model.LoseUnwritten)
			break
		}
		k.infer(at)
		k.choose(e, func(a model.Action) []model.Step { return []model.Step{{Action: a, Partition: p}} }, model.LoseWritten, model.LoseAnswer)
	case core.EventAnswer:
		if !q.written {
			return "the request was not written"
		}
		k.infer(at)
		k.each(e, func(s *model.State) []model.Step { return k.answer(s, e) })
	case core.EventHandedOver:
		if !q.written {
			return "the request was not written"
		}
		k.infer(at)
		step(model.HandedOver)
	case core.EventFree:
		step(model.Free)
	case core.EventNewID:
		k.advance(e, model.Step{Action: model.NewID})
	case core.EventStart:
		clear(k.parts)
		if begun {
			k.advance(e, model.Step{Action: model.Start})
			break
		}
		// The model begins started. So the first start is one after a stop that had nothing to do.
		k.advance(e, model.Step{Action: model.Stop}, model.Step{Action: model.StopEnds}, model.Step{Action: model.Start})
	case core.EventStop:
		// The model's Stop is of all partitions, and is placed at the last of their events. In
		// between, the other partitions may choose not to admit messages.
		if q.stopped {
			return "it comes twice"
		}
		if q.stopped = true; !slices.ContainsFunc(k.parts, func(q part) bool { return !q.stopped }) {
			k.advance(e, model.Step{Action: model.Stop})
		}
	case core.EventStopEnds, core.EventCut:
		// The same holds for its StopEnds, or its Cut: a partition that has ended has no event
		// meanwhile.
		if e.Kind == core.EventStopEnds && !q.stopped {
			return "there was no Stop"
		}
		q.ended, q.cut = true, e.Decided
		if !slices.ContainsFunc(k.parts, func(q part) bool { return !q.ended }) {
			k.infer(at)
			k.stopEnds(e)
		}
	default:
		return "it is not known here"
	}
	return ""
}

// infer adds the states that hidden steps can reach before an event.
func (k *checker) infer(at int) {
	k.lookAhead(at)
	k.close()
}

// each takes steps in every state. It keeps the states that allow them and that agree with the
// event afterwards.
func (k *checker) each(e record.Event, steps func(*model.State) []model.Step) {
	next, took := k.spareStates[:0], k.spareTook[:0]
	for i := range k.states {
		before := &k.states[i]
		s, ok, by := *before, true, k.took[i]
		for _, st := range steps(before) {
			by |= 1 << st.Action
			if s, ok = k.bound.Next(s, st); !ok {
				k.why = fmt.Sprintf("%v is not enabled", st)
				break
			}
		}
		if !ok {
			continue
		}
		if why := k.differs(e, before, &s); why != "" {
			k.why = why
			continue
		}
		k.forget(&s)
		if j := slices.Index(next, s); j >= 0 {
			took[j] = richer(took[j], by)
		} else {
			next, took = append(next, s), append(took, by)
		}
	}
	k.states, k.spareStates = next, k.states
	k.took, k.spareTook = took, k.took
}

// richer returns the set with more actions: of two paths to a state, the report uses the one that
// shows more.
func richer(a, b uint64) uint64 {
	if bits.OnesCount64(b) > bits.OnesCount64(a) {
		return b
	}
	return a
}

// advance is each, with the same steps for all states.
func (k *checker) advance(e record.Event, steps ...model.Step) {
	k.each(e, func(*model.State) []model.Step { return steps })
}

// choose is each, with the first of the actions that is enabled. At most one is.
func (k *checker) choose(e record.Event, steps func(model.Action) []model.Step, actions ...model.Action) {
	k.each(e, func(s *model.State) []model.Step { return k.first(s, steps, actions...) })
}

func (k *checker) first(s *model.State, steps func(model.Action) []model.Step, actions ...model.Action) []model.Step {
	last := len(actions) - 1
	for _, a := range actions[:last] {
		all := steps(a)
		if _, ok := k.bound.Next(*s, all[0]); ok {
			return all
		}
	}
	return steps(actions[last])
}

// answer returns the steps of the model that make up an answer.
func (k *checker) answer(s *model.State, e record.Event) []model.Step {
	p := uint8(e.Partition)
	pt := &s.Partitions[p]
	batch := pt.Batch.Messages[:pt.Batch.Messages.Len()]
	step := func(a model.Action) []model.Step { return []model.Step{{Action: a, Partition: p}} }
	switch e.Answer {
	case core.Ok:
		return step(model.AnswerOk)
	case core.Unsure:
		return step(model.AnswerUnsure)
	case core.Final:
		all := step(model.AnswerUnsure)
		for _, m := range batch {
			if pt.Undecided().Has(m) {
				all = append(all, model.Step{Action: model.GiveUp, Partition: p, Message: m})
			}
		}
		return all
	case core.Retry:
		return step(model.AnswerRetry)
	case core.Refused:
		return step(model.AnswerRefused)
	case core.Sequence:
		return step(model.AnswerSequence)
	case core.Invalid:
		var refused []uint8
		for _, i := range e.Records {
			if i >= 0 && int(i) < len(batch) && !slices.Contains(refused, batch[i]) {
				refused = append(refused, batch[i])
			}
		}
		if refused != nil {
			return k.first(s, func(a model.Action) []model.Step {
				st := model.Step{Action: a, Partition: p}
				if a == model.AnswerInvalid {
					st.Records = model.SetOf(refused...)
				}
				return []model.Step{st}
			}, model.AnswerInvalid, model.AnswerRefused)
		}
	}
	return k.first(s, step, model.Split, model.AnswerRefused)
}

// stopEnds applies the end of a start, for all partitions.
func (k *checker) stopEnds(e record.Event) {
	for i := range k.parts {
		if len(k.parts[i].cut) > 0 {
			k.advance(e, model.Step{Action: model.Cut})
			return
		}
	}
	k.each(e, func(s *model.State) []model.Step {
		if s.Run == model.RunStarted { // a cut of what has nothing to decide
			return []model.Step{{Action: model.Stop}, {Action: model.StopEnds}}
		}
		return []model.Step{{Action: model.StopEnds}}
	})
}
