package trace

import (
	"context"
	"os"
	"path/filepath"

	"github.com/seed3893aba4/surestart/spec"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

// TLCModel is a model in which TLC searches for traces.
type TLCModel struct {
	Config string // in tla
	Bound  spec.Bound
}

// TLCModels are one model for traces without restarts and one for those with.
var TLCModels = []TLCModel{
	{"Trace.cfg", spec.Bound{Callers: 5, Parts: 2, Retries: true, Calls: spec.MaxAttempts, Fails: 16}},
	{"TraceRestart.cfg", spec.Bound{Callers: 5, Parts: 2, Retries: true, Restarts: 2, Calls: 8, Fails: 4}},
}

// Takes reports whether TLC can search for the trace in the model. The trace has as many parts as
// the model and no more of the rest; if the model has restarts, one is due in the trace.
func (m *TLCModel) Takes(t *Trace) bool {
	b, most, fails, due := t.Bound, m.Bound, 0, false
	for i := range t.Sections {
		if t.Sections[i].Action == spec.Fail {
			fails++
		}
		due = due || t.Sections[i].Due
	}
	return b.Parts == most.Parts && b.Callers <= most.Callers && b.Calls <= most.Calls && fails <= most.Fails &&
		b.Restarts <= most.Restarts && (b.Restarts > 0) == (most.Restarts > 0) && due == (most.Restarts > 0)
}

// Widen sets the trace's bound to the model's. Only then does Search find as many states as TLC.
func (m *TLCModel) Widen(t *Trace) {
	t.Bound.Restarts, t.Bound.Calls, t.Bound.Fails = m.Bound.Restarts, m.Bound.Calls, m.Bound.Fails
}

// Ask runs TLC once, to search for each trace in the model (tla/Trace.tla). dir is for its files.
func (m *TLCModel) Ask(ctx context.Context, t tlc.TLC, dir string, traces []*Trace) (tlc.Answer, error) {
	cfg, err := os.ReadFile(filepath.Join(t.Root, "tla", m.Config))
	if err != nil {
		return tlc.Answer{}, err
	}
	var texts []string
	for _, tr := range traces {
		texts = append(texts, string(tr.tla()))
	}
	return t.Traces(ctx, dir, string(cfg), "Trace", texts)
}

func (t *Trace) tla() tlc.Text {
	var threads, sections []tlc.Text
	for _, events := range t.Threads {
		var steps []tlc.Text
		for i := range events {
			steps = append(steps, events[i].tla())
		}
		threads = append(threads, tlc.TupleOf(steps))
	}
	for i := range t.Sections {
		sections = append(sections, t.Sections[i].tla())
	}
	return tlc.Tuple(tlc.TupleOf(threads), tlc.TupleOf(sections))
}

func (e *Event) tla() tlc.Text {
	switch {
	case e.Kind == Locked:
		return tlc.Tuple("S", e.Section+1, e.Left)
	case e.Kind == Looked:
		return tlc.Tuple("State", spec.State(e.Saw))
	case e.Kind == Cancels:
		return tlc.Tuple("Cancel", e.Saw+1, e.Call+1)
	case e.Action == spec.Return:
		return tlc.Tuple("Return", e.Out, e.N)
	}
	return tlc.Tuple(e.Action, e.Saw)
}

func (s *Section) tla() tlc.Text {
	var views []tlc.Text
	for _, v := range s.Views {
		views = append(views, tlc.Tuple(v.Number, v.Op, v.Held, v.Fate, v.Open, v.InUse, v.Forced, v.RelErr, v.Waiters, v.Stoppers, v.Reported))
	}
	return tlc.Tuple(s.Action, s.Thread+1, s.Attempt, s.Waits,
		tlc.Tuple(s.St, s.Gen, s.Cur, s.Closing, s.Queued, tlc.TupleOf(views), s.Due, s.Again, s.Restarts))
}
