package abstract

import "fmt"

// Action is an action of tla/Abstract.tla, by its name.
type Action uint8

// The actions, in the order in which the module defines them.
const (
	Invoke Action = iota
	ContextEnds
	Return
	StartOfOpen
	StartRefused
	StartJoins
	Opened
	OpenFails
	StartLeaves
	StopOfEmpty
	StopTakesEffect
	StopLeaves
	Died
	Released
	RestartEnds
	UseAdmitted
	UseRefused
	UseEnds
	numActions
)

var actionNames = [numActions]string{
	"Invoke", "ContextEnds", "Return", "StartOfOpen", "StartRefused", "StartJoins", "Opened", "OpenFails",
	"StartLeaves", "StopOfEmpty", "StopTakesEffect", "StopLeaves", "Died", "Released", "RestartEnds", "UseAdmitted", "UseRefused", "UseEnds",
}

func (a Action) String() string { return actionNames[a] }

// OfCaller reports whether the action is a caller's: then Step.Caller is set.
func (a Action) OfCaller() bool {
	switch a {
	case Opened, OpenFails, Died, Released, RestartEnds:
		return false
	}
	return true
}

// Step is an action with its parameters.
type Step struct {
	Action Action
	Caller uint8
	Kind   Call // Invoke: InStart, InStop, InShut or InUse
	S      Set  // StopOfEmpty, StopTakesEffect, Released, RestartEnds: S in the TLA+
	Bad    bool // Released
	Begins bool // RestartEnds
}

// String returns, for example, "Invoke(c1, start)".
func (st Step) String() string {
	s := st.Action.String()
	switch {
	case st.Action == Invoke:
		return fmt.Sprintf("%s(c%d, %v)", s, st.Caller+1, st.Kind)
	case st.Action == Released && st.Bad:
		s += "(TRUE)"
	case st.Action == Released:
		s += "(FALSE)"
	case st.Action == RestartEnds && st.Begins:
		s += "(TRUE)"
	case st.Action == RestartEnds:
		s += "(FALSE)"
	case st.Action.OfCaller():
		s = fmt.Sprintf("%s(c%d)", s, st.Caller+1)
	}
	if st.S != 0 {
		s += fmt.Sprintf(" with S = %b", st.S)
	}
	return s
}

// Next returns the state after a step; false if the step is not enabled. The guards and
// effects are those of the TLA+, line by line.
func Next(s State, st Step) (State, bool) {
	c := int(st.Caller)
	var can bool
	switch st.Action {
	case Invoke:
		if can = s.Call[c] == Idle; can {
			s.Call[c] = st.Kind
		}
	case ContextEnds:
		switch s.Call[c] {
		case InStart, Join, InStop, StopWait, InShut, ShutWait:
			can = !s.Ended[c]
		}
		s.Ended[c] = true
	case Return:
		can = s.Call[c] == Done
		s.Call[c], s.Out[c], s.Ended[c] = Idle, Result{}, false
	case Died:
		can = s.Res == Open
		s.Res = Closing
		s.Due = s.Restarts
		s.cutUses()
	case UseAdmitted:
		can = s.Call[c] == InUse && s.Res == Open
		s.Call[c] = Using
	case UseRefused:
		can = s.Call[c] == InUse && s.Res != Open
		if s.Final {
			s.answer(c, Result{Out: Closed})
		} else {
			s.answer(c, Result{Out: NotStarted})
		}
	case UseEnds:
		can = s.Call[c] == Using || s.Call[c] == Cut
		s.answer(c, Result{Out: Ok})
	case StartOfOpen, StartRefused, StartJoins, Opened, OpenFails, StartLeaves:
		can = s.start(st.Action, c)
	case StopOfEmpty, StopTakesEffect, StopLeaves:
		can = s.stop(st, c)
	case Released:
		can = s.released(st)
	case RestartEnds:
		can = s.restartEnds(st)
	}
	return s, can
}

func (s *State) cutUses() {
	for c, where := range s.Call {
		if where == Using {
			s.Call[c] = Cut
		}
	}
}

// start takes a step of Start. If it returns false, s must not be used.
func (s *State) start(a Action, c int) (can bool) {
	switch a {
	case StartOfOpen:
		can = s.Call[c] == InStart && s.Res == Open
		s.answer(c, Result{Out: Ok})
	case StartRefused:
		can = s.Call[c] == InStart && s.Res != Open && (s.Final || s.Ended[c])
		if s.Final {
			s.answer(c, Result{Out: Closed})
		} else {
			s.answer(c, Result{Out: Ctx})
		}
	case StartJoins:
		can = s.Call[c] == InStart && (s.Res == Empty || s.Res == Opening) && !s.Due && !s.Final && !s.Ended[c]
		s.Res, s.Call[c] = Opening, Join
	case Opened:
		can = s.Res == Opening
		s.Res, s.Again = Open, false
		for d, where := range s.Call {
			if where == Join {
				s.answer(d, Result{Out: Ok})
			}
		}
	case OpenFails:
		can = s.Res == Opening
		s.Res, s.Why = Closing, Failed
	case StartLeaves:
		can = s.Call[c] == Join && s.Ended[c]
		if s.Res == Opening && s.At(Join) == 1<<c && !s.Again {
			s.Res, s.Why = Closing, Abandoned
		}
		s.answer(c, Result{Out: Ctx})
	}
	return can
}

// stop takes a step of Stop or Shutdown.
func (s *State) stop(st Step, c int) bool {
	switch where := s.Call[c]; st.Action {
	case StopOfEmpty:
		if where != InStop && where != InShut || s.Res != Empty ||
			st.S&^s.At(InStart) != 0 || !s.Due && st.S != 0 {
			return false
		}
		s.answerAll(st.S, s.verdict(c))
		s.Due, s.Final = false, s.Final || where == InShut
		s.answer(c, Result{Out: Ok})
	case StopTakesEffect:
		if where != InStop && where != InShut || s.Res == Empty ||
			st.S&^s.At(InStart) != 0 || s.Res != Closing && st.S != 0 {
			return false
		}
		verdict := s.verdict(c)
		s.Final = s.Final || where == InShut
		if s.Res == Opening {
			s.Why = verdict
		}
		s.Res = Closing
		s.Due, s.Again = false, false
		s.Call[c] = where + 1 // StopWait, ShutWait
		s.answerAll(st.S, verdict)
	case StopLeaves:
		stopping := s.Stopping()
		if !stopping.Has(c) || !s.Ended[c] {
			return false
		}
		if n := s.At(Using).Len(); n > 0 && (where == ShutWait || stopping == 1<<c) {
			s.cutUses()
			s.answer(c, Result{CutOff, uint8(n)})
		} else {
			s.answer(c, Result{Out: Ctx})
		}
	}
	return true
}

func (s *State) answerAll(some Set, out Out) {
	for c := range s.Call {
		if some.Has(c) {
			s.answer(c, Result{Out: out})
		}
	}
}

func (s *State) released(st Step) bool {
	due := s.Due || s.Again && s.Why == Failed
	if s.Res != Closing || s.At(Using) != 0 || st.S&^s.At(InStart) != 0 || (s.Final || due) && st.S != 0 {
		return false
	}
	s.Due, s.Again = due, false
	stopped := Result{Out: Ok}
	if st.Bad {
		stopped.Out = RelErr
	}
	for c, where := range s.Call {
		switch {
		case st.S.Has(c):
			s.Call[c] = Join
		case where == Join:
			s.answer(c, Result{Out: s.Why})
		case where == StopWait || where == ShutWait:
			s.answer(c, stopped)
		}
	}
	s.Res, s.Why = Empty, None
	if st.S != 0 {
		s.Res = Opening
	}
	return true
}

func (s *State) restartEnds(st Step) bool {
	if s.Res != Empty || !s.Due || st.S&^s.At(InStart) != 0 {
		return false
	}
	s.Due, s.Again = false, st.Begins
	if st.Begins || st.S != 0 {
		s.Res = Opening
	}
	for c := range s.Call {
		if st.S.Has(c) {
			s.Call[c] = Join
		}
	}
	return true
}
