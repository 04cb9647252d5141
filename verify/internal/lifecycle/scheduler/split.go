package scheduler

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/spec"
	"github.com/seed3893aba4/surestart/verify/internal/lifecycle/sections"
	"github.com/seed3893aba4/surestart/verify/internal/walk"
)

// The walk of tla/Sections.tla. The code stops between the writes of a critical section, with the
// lock held, where other goroutines take their lock-free steps. Its code is fsm's as sections.Split
// rewrites it: it calls Writes before each write.

// section is what a World knows of the section that runs.
type section struct {
	of     *thread   // which stands between two writes; nil: none does
	step   spec.Step // whose it is
	next   string    // the word that it writes next
	writes string    // the last that it has written
}

// Writes is called in a section before it writes a word, or answers callers. The first one of a section does not stop it.
func (w *World) Writes(word string) {
	s := w.section
	if s == nil || w.closing || w.running == nil {
		return
	}
	first, more := s.writes == "", s.writes == word && word == "answers"
	s.writes = word
	if first || more {
		return
	}
	s.of, s.next = w.running, word
	w.running.pause(point{kind: atWrite, action: s.step.Action, attempt: w.running.at.attempt})
}

// ExploreSections walks the graph of a model of Sections.
func ExploreSections(ctx context.Context, g *spec.GraphOf[sections.Bound, sections.State, sections.Step], progress func(Progress)) (Cover, error) {
	return walk.Explore(ctx, walk.Machine[sections.Step]{
		States: len(g.States), Edges: g.Steps(), From: g.From,
		Out: func(state int) iter.Seq2[int, sections.Step] {
			return func(yield func(int, sections.Step) bool) {
				for i, e := range g.Edges(state) {
					if !yield(i, e.Step) {
						return
					}
				}
			}
		},
		New: func() walk.Code[sections.Step] {
			s := &split{graph: g}
			s.World = newWorld(&s.own)
			s.World.section = new(section)
			return s
		},
	}, progress)
}

// split is a World that is walked, and the state of Sections that it must agree with.
type split struct {
	*World
	graph *spec.GraphOf[sections.Bound, sections.State, sections.Step]
	own   threads
	model sections.State
	steps []sections.Step

	progress atomic.Int64
	buf      []spec.Step
}

func (s *split) Begin() {
	s.model, s.steps = s.graph.Bound.Init(), s.steps[:0]
	*s.section = section{}
	s.begin(s.graph.Bound.Bound)
}

func (s *split) Position() (state int, hidden uint64) {
	state, _ = s.graph.Lookup(&s.model)
	return state, 0
}

func (s *split) Taken() []sections.Step { return s.steps }
func (s *split) Refuse() (int, error)   { return 0, nil }
func (s *split) Progress() int64        { return s.progress.Load() }
func (s *split) End()                   { s.own.close() }

func (s *split) Close() error {
	if t := s.section.of; t != nil && !s.broken {
		s.section.of, s.closing = nil, true
		s.resume(t) // the lock is free then
		s.sweep()
	}
	if s.World.Close(); s.panicked != nil {
		return s.differs(s.model.Half, spec.Difference{Var: spec.VarPanic, Want: "none", Got: fmt.Sprint(s.panicked)})
	}
	return nil
}

func (s *split) Stuck() error {
	return s.differs(s.model.Half, spec.Difference{Var: "pc", Want: "the next point", Got: "blocked for ever"})
}

// Moves returns the possible next steps, or a difference if code and model have different ones.
func (s *split) Moves() (steps []sections.Step, err error) {
	defer s.contain(&err)
	s.buf = s.Enabled(s.buf[:0])
	var code []sections.Step
	for _, st := range s.buf {
		if s.section.of == nil || sections.IsLockFree(st.Action) && !s.isAnswered(st) {
			code = append(code, sections.Step{Step: st})
		}
	}
	if s.section.of != nil {
		code = append(code, sections.Step{Step: s.section.step, Onward: true})
	}
	model := s.graph.Bound.Enabled(&s.model, nil)
	for _, st := range model {
		if !slices.Contains(code, st) {
			return nil, s.differs(s.model.Half, spec.Missing(st.Step))
		}
	}
	for _, st := range code {
		if !slices.Contains(model, st) {
			return nil, s.differs(s.model.Half, spec.Extra(st.Step))
		}
	}
	return model, nil
}

// isAnswered reports whether the step ends the context of a Start whose resource is open by now.
// The code no longer reads that context.
func (s *split) isAnswered(st spec.Step) bool {
	at := &s.callers[st.Arg].thread.at
	return st.Action == spec.ContextEnds && at.kind == atWait && at.action == spec.StartLeave &&
		s.section.step.Action == spec.OpenOk && s.life.State() == spec.Started && number(at.attempt) == s.section.step.Arg
}

// Take takes a step in code and model.
func (s *split) Take(st sections.Step) (err error) {
	before := s.model
	after, ok := s.graph.Bound.Next(before, st)
	if !ok {
		return fmt.Errorf("scheduler: %v is not enabled in %v", st, before)
	}
	s.model = after
	s.steps = append(s.steps, st)
	s.progress.Add(1)
	defer s.contain(&err)
	if st.Onward {
		s.onward()
	} else {
		s.World.Do(st.Step)
	}
	half := max(before.Half, after.Half)
	switch broken := append(s.unkept, s.chose...); {
	case len(s.complaints) > 0:
		return s.differs(half, spec.Difference{Var: "held", Want: "as promised", Got: s.complaints[0]})
	case len(broken) > 0:
		return s.differs(half, broken[0].difference())
	}
	return s.compare(half)
}

// onward makes the section continue to its next write, or to its end.
func (s *split) onward() {
	t := s.section.of
	s.begins(s.section.step)
	s.granted = false // its point is behind it
	s.section.of = nil
	s.resume(t)
	if s.section.of == nil {
		s.sweep()
		s.ends()
	}
}

// compare compares what lock-free steps see with the model, and between sections the whole state.
func (s *split) compare(half sections.Half) error {
	order := func(want, got any) error {
		return s.differs(half, spec.Difference{Var: "the order of the writes", Want: fmt.Sprint(want), Got: fmt.Sprint(got)})
	}
	switch of := s.section.of; {
	case of == nil && s.model.Half != sections.Free:
		return order(s.model.Half.Writes()+" is yet to be written", "the section is over")
	case of != nil && s.model.Half == sections.Free:
		return order("the section is over", s.section.next+" is yet to be written")
	}
	if want, got := s.model.Word, s.life.State(); got != want {
		return s.differs(half, spec.Difference{Var: "word", Want: want.String(), Got: got.String()})
	}
	got, err := s.Snapshot()
	want := Canonical(s.model.Snapshot)
	if s.section.of != nil {
		if got, err = s.lockFree(); err == nil {
			want = sections.LockFree(want)
		}
	}
	if err != nil {
		return s.differs(half, spec.Difference{Var: "st", Want: "a state of the model", Got: err.Error()})
	}
	if got != want {
		return s.differs(half, spec.Diff(want, got)[0])
	}
	if s.section.of != nil && s.section.next != s.model.Half.Writes() {
		return order(s.model.Half.Writes()+" is written next", s.section.next)
	}
	return nil
}

// lockFree reads what lock-free steps read and write, in the middle of a section.
func (s *split) lockFree() (spec.Snapshot, error) {
	m := control.Inspect(s.life)
	seen := spec.Snapshot{Cur: number(m.Opened), Calls: s.calls}
	s.views = slices.Grow(s.views[:0], len(s.attempts))[:len(s.attempts)]
	for i, a := range s.attempts {
		v := &s.views[i]
		a.View(v)
		seen.Attempts[i].Open, seen.Attempts[i].InUse = v.Open, uint8(v.InUse)
	}
	for i, c := range s.callers {
		if err := c.vars(m, &seen.Callers[i]); err != nil {
			return seen, fmt.Errorf("c%d: %w", i+1, err)
		}
	}
	return seen, nil
}

func (s *split) contain(err *error) {
	if v := recover(); v != nil {
		s.broken = true
		*err = s.differs(s.model.Half, spec.Difference{Var: spec.VarPanic, Want: "none", Got: fmt.Sprint(v)})
	}
}

// differs returns a difference in a section, or between sections.
func (s *split) differs(half sections.Half, d spec.Difference) *SectionDifference {
	var last spec.Step
	if n := len(s.steps); n > 0 {
		last = s.steps[n-1].Step
	}
	guarantee := spec.Blame(last, d)
	if half != sections.Free {
		guarantee, _ = spec.GuaranteeOf(half.Guarantee())
	}
	return &SectionDifference{slices.Clone(s.steps), d, guarantee}
}

// SectionDifference is a difference between the code and the model of Sections.
type SectionDifference struct {
	Steps     []sections.Step
	What      spec.Difference
	Guarantee spec.Guarantee
}

// Error says what differs, names the guarantee and lists the steps.
func (d *SectionDifference) Error() string {
	var steps strings.Builder
	for _, st := range d.Steps {
		fmt.Fprintf(&steps, "\n  %v", st)
	}
	return fmt.Sprintf("code and model differ after %d steps: %s %s is broken\n  %v\nThe steps:%s", len(d.Steps), d.Guarantee.ID, d.Guarantee.Name, d.What, steps.String())
}

// Length returns the number of steps that lead to the difference.
func (d *SectionDifference) Length() int { return len(d.Steps) }
