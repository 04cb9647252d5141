// Package supervisor is the executable model of tla/Supervisor.tla: Algorithm's, of
// package spec, with one caller that starts again what died.
package supervisor

import (
	"fmt"

	"github.com/seed3893aba4/surestart/spec"
)

// Stage is the variable start: how far the supervisor's Start is.
type Stage uint8

// The values of start.
const (
	None   Stage = iota
	Wanted       // it is under way
	Off          // and was called off
)

// String returns the value's name in the TLA+.
func (s Stage) String() string { return [...]string{"none", "wanted", "off"}[s] }

// State is one of Supervisor.tla: all of Algorithm's variables, and its own.
type State struct {
	spec.Snapshot
	Due   bool  // a restart is to be made
	Start Stage // the supervisor's call
}

// Step is one of Algorithm's, those of the supervisor among them (its InvokeStart is
// the action Restart), or that its Backoff gives up.
type Step struct {
	spec.Step
	GivesUp bool
}

// String reads like a spec.Step's.
func (st Step) String() string {
	if st.GivesUp {
		return "GivesUp"
	}
	return st.Step.String()
}

// Model is the module at a bound: the last of the callers is the supervisor.
type Model struct{ spec.Bound }

// Self is the supervisor, as a Step's Arg.
func (m Model) Self() uint8 { return uint8(m.Callers - 1) }

// Of is the supervisor's step of an action.
func (m Model) Of(action spec.Action) Step {
	return Step{Step: spec.Step{Action: action, Arg: m.Self()}}
}

// Next takes one step from s. It returns false, and s, where the step is not enabled.
func (m Model) Next(s State, st Step) (State, bool) {
	if st.GivesUp {
		if !s.Due || s.Start != None {
			return s, false
		}
		s.Due = false
		return s, true
	}
	own := st.Action.OfCaller() && st.Arg == m.Self()
	if own && !m.may(&s, st.Action) {
		return s, false
	}
	from := s
	var ok bool
	if s.Snapshot, ok = m.Bound.Next(from.Snapshot, st.Step); !ok {
		return from, false
	}
	switch {
	case own && st.Action == spec.InvokeStart:
		s.Due, s.Start = false, Wanted
	case own && st.Action == spec.Return:
		failed := from.Callers[m.Self()].Out == spec.OutFailed
		s.Due, s.Start = from.Due || from.Start == Wanted && failed && from.St != spec.Started, None
	case st.Action == spec.StopEnter, st.Action == spec.ShutdownEnter:
		s.Due = false
		if s.Start == Wanted {
			s.Start = Off
		}
	case st.Action == spec.Fail:
		s.Due = from.Due || from.St == spec.Started && s.St == spec.Stopping
	case st.Action == spec.OpenOk:
		s.Due = from.Due && s.St != spec.Started
	}
	return s, true
}

// may tells whether the supervisor's own guards allow an action of a caller to it.
func (m Model) may(s *State, action spec.Action) bool {
	switch action {
	case spec.InvokeStart:
		return s.Due && s.Start == None
	case spec.StartFast, spec.StartEnter, spec.StartLeave:
		return s.Start != Off || s.Callers[m.Self()].Ended
	case spec.ContextEnds:
		return s.Start == Off
	}
	return action == spec.Return
}

// Enabled appends to buf the steps that Next would take from s.
func (m Model) Enabled(s *State, buf []Step) []Step {
	var some [64]spec.Step
	for _, st := range m.Bound.Enabled(&s.Snapshot, some[:0]) {
		if _, ok := m.Next(*s, Step{Step: st}); ok {
			buf = append(buf, Step{Step: st})
		}
	}
	if _, ok := m.Next(*s, Step{GivesUp: true}); ok {
		buf = append(buf, Step{GivesUp: true})
	}
	return buf
}

// Each calls state for every state that can be reached, level by level from Init, and
// edge for every step from it. It returns how many levels there are.
func (m Model) Each(state func(State), edge func(from State, st Step, to State)) (depth int) {
	begin := State{Snapshot: m.Init()}
	seen := map[State]bool{begin: true}
	var steps []Step
	for level := []State{begin}; len(level) > 0; depth++ {
		var next []State
		for _, s := range level {
			state(s)
			steps = m.Enabled(&s, steps[:0])
			for _, st := range steps {
				to, ok := m.Next(s, st)
				if !ok {
					panic(fmt.Sprintf("supervisor: %v is enabled in %v, and is not", st, s))
				}
				edge(s, st, to)
				if !seen[to] {
					seen[to] = true
					next = append(next, to)
				}
			}
		}
		level = next
	}
	return depth
}
