// Package sections is tla/Sections.tla in Go: the model of package spec with split critical
// sections. Each section that writes several words for lock-free readers is split between the
// writes.
package sections

import (
	"fmt"

	"github.com/seed3893aba4/surestart/spec"
)

// Half is how much of a section is done: the first part of the variable section in the TLA+.
type Half uint8

const (
	Free    Half = iota // no section is half done
	Gate                // an attempt opens: its gate is open
	Opened              // the word is Started
	Pointer             // the pointer leads to the gate
	Stop                // a Stop releases: the gate is closed
	Shut                // so does a Shutdown
	Fail                // so does a failure report
	Ends                // an attempt ends: the pointer is nil
	Begins              // the word is Idle, and the queued attempt begins
	Answers             // the word is as the answers say
)

var names = [...]string{"free", "gate", "opened", "pointer", "stop", "shut", "fail", "ends", "begins", "answers"}

func (h Half) String() string { return names[h] }

// Writes returns the word that the section writes next, by the code's names: one of the fields, or
// answers.
func (h Half) Writes() string {
	switch h {
	case Opened:
		return "opened"
	case Pointer, Answers:
		return "answers"
	}
	return "stateWord"
}

// Guarantee returns the guarantee that rests on the order of the section's writes, as
// tla/manifest.json lists it for SectionsWeak.
func (h Half) Guarantee() string {
	if h >= Ends {
		return "NoLeak"
	}
	return "UseOnlyStarted"
}

// State is a state of Sections: St is the algorithm's state, Word the word that a lock-free reader
// loads.
type State struct {
	spec.Snapshot
	Word spec.State
	Half Half
	Of   uint8 // the caller of a Stop or Shutdown, else the attempt; 0 if Free
}

// String returns the state in one line.
func (s State) String() string {
	return fmt.Sprintf("%v, the word is %v, of %d is done: %v", s.Snapshot, s.Word, s.Of, s.Half)
}

// Step is a step of Sections: one of the algorithm, the first write of its section, or (Onward) a later one.
type Step struct {
	spec.Step
	Onward bool
}

// String names the step.
func (st Step) String() string {
	if st.Onward {
		return st.Step.String() + " goes on"
	}
	return st.Step.String()
}

// Bound is the model within a bound.
type Bound struct{ spec.Bound }

// Model is the bound of tla/Sections.cfg.
var Model = Bound{spec.Bound{Callers: 2, Parts: 1, Retries: true, Calls: 3, Fails: 1}}

// Init is the initial state.
func (b Bound) Init() State { return State{} }

// IsLockFree reports whether an action takes no lock.
func IsLockFree(a spec.Action) bool {
	switch a {
	case spec.InvokeStart, spec.InvokeStop, spec.InvokeShutdown, spec.InvokeUse, spec.ContextEnds, spec.Return,
		spec.StartFast, spec.UseLoad, spec.UseAdd, spec.UseEnd:
		return true
	}
	return false
}

// beingAnswered reports whether c waits for a resource that is open by now. Its context is no
// longer read.
func (s *State) beingAnswered(c uint8) bool {
	v := &s.Callers[c]
	return (s.Half == Opened || s.Half == Pointer) && v.PC == spec.PCWait && v.On == s.Of && v.Out == spec.OutNone
}

// Enabled appends to buf the steps that are enabled in s.
func (b Bound) Enabled(s *State, buf []Step) []Step {
	var all [64]spec.Step
	for _, st := range b.Bound.Enabled(&s.Snapshot, all[:0]) {
		switch {
		case st.Action == spec.ContextEnds && s.beingAnswered(st.Arg):
		case s.Half == Free || IsLockFree(st.Action):
			buf = append(buf, Step{Step: st})
		}
	}
	if s.Half != Free {
		buf = append(buf, Step{s.half(), true})
	}
	return buf
}

// half returns the step of the algorithm whose section is half done.
func (s *State) half() spec.Step {
	action := spec.Finish
	switch s.Half {
	case Gate, Opened, Pointer:
		action = spec.OpenOk
	case Stop:
		action = spec.StopEnter
	case Shut:
		action = spec.ShutdownEnter
	case Fail:
		action = spec.Fail
	}
	return spec.Step{Action: action, Arg: s.Of}
}

// Next returns the state after one step from s, or s and false if the step is not enabled.
func (b Bound) Next(s State, st Step) (State, bool) {
	switch {
	case st.Onward:
		if s.Half == Free || st.Step != s.half() {
			return s, false
		}
		return b.onward(s), true
	case st.Action == spec.StartFast: // it loads the word
		word := s.Snapshot
		word.St = s.Word
		after, ok := b.Bound.Next(word, st.Step)
		after.St = s.St
		return State{after, s.Word, s.Half, s.Of}, ok
	case st.Action == spec.ContextEnds && s.beingAnswered(st.Arg):
		return s, false
	case IsLockFree(st.Action):
		after, ok := b.Bound.Next(s.Snapshot, st.Step)
		return State{after, s.Word, s.Half, s.Of}, ok
	case s.Half != Free:
		return s, false
	}
	after, ok := b.Bound.Next(s.Snapshot, st.Step)
	if !ok {
		return s, false
	}
	if half := splits(&s.Snapshot, &after, st.Step); half != Free {
		s.Half, s.Of = half, st.Arg
		switch half {
		case Gate: // O1
			s.Attempt(st.Arg).Open = true
		case Ends: // F1
			s.Cur = 0
		default: // R1
			s.Attempt(s.Gen).Open = false
		}
		return s, true
	}
	return State{after, after.St, Free, 0}, true // Whole
}

// splits returns what is done after the first write of a step's section. Free: the section writes
// at most one word.
func splits(before, after *spec.Snapshot, st spec.Step) Half {
	switch {
	case st.Action == spec.OpenOk && after.St == spec.Started:
		return Gate
	case st.Action == spec.Finish:
		return Ends
	case before.St != spec.Started || after.St == spec.Started:
		return Free
	case st.Action == spec.StopEnter:
		return Stop
	case st.Action == spec.ShutdownEnter:
		return Shut
	}
	return Fail
}

// onward makes the next write of the section that is half done.
func (b Bound) onward(s State) State {
	g := s.Of
	switch s.Half {
	case Gate: // O2
		s.St, s.Word, s.Again = spec.Started, spec.Started, false
		s.Attempt(g).Op = spec.OpNone
		s.Half = Opened
	case Opened: // O3
		s.Cur = g
		s.Half = Pointer
	case Pointer: // O4
		for c := range s.Callers {
			if s.beingAnswered(uint8(c)) {
				s.Callers[c].Out = spec.OutOK
			}
		}
		s.Half, s.Of = Free, 0
	case Ends: // F2
		s.Word, s.Half = spec.Idle, Answers
		if after := b.whole(s); s.Closing {
			s.Word = spec.Closed
		} else if after.St == spec.Starting {
			s.Half = Begins
		}
	case Begins: // F3
		s.Word, s.Half = spec.Starting, Answers
	case Answers: // F4
		after := b.whole(s)
		return State{after, s.Word, Free, 0}
	default: // R2
		after := b.whole(s)
		return State{after, spec.Stopping, Free, 0}
	}
	return s
}

// whole takes the algorithm's step whose section is half done.
func (b Bound) whole(s State) spec.Snapshot {
	after, ok := b.Bound.Next(s.Snapshot, s.half())
	if !ok {
		panic(fmt.Sprintf("sections: %v cannot go on in %v", s.half(), s))
	}
	return after
}

// LockFree returns the part of a state that lock-free steps read and write, in addition to the
// word. Everything else is zero.
func LockFree(s spec.Snapshot) spec.Snapshot {
	seen := spec.Snapshot{Cur: s.Cur, Calls: s.Calls, Callers: s.Callers}
	for i := range s.Attempts {
		seen.Attempts[i].Open, seen.Attempts[i].InUse = s.Attempts[i].Open, s.Attempts[i].InUse
	}
	return seen
}
