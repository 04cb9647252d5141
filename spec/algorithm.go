package spec

import (
	"fmt"
	"strconv"
)

// Bound limits a model: it has the constants of tla/Algorithm.tla. It limits only the number
// of calls and failure reports, and never disables a step of a call that has started.
type Bound struct {
	Callers  int  // the goroutines that call the lifecycle: c1 to cN
	Parts    int  // how many parts a complete open acquires
	Retries  bool // a failed try may be repeated (fsm.WithRetry)
	Restarts int  // restarts in a row (fsm.WithRestart); 0: a resource that died is not restarted
	Calls    int  // calls of any kind, all callers together
	Fails    int  // failure reports (Scope.Fail, Lease.Fail)

	hook *hook // see guards.go; nil: as specified
}

// Check returns an error that names a field which is out of range, so that a Snapshot could
// not hold the model's states.
func (b Bound) Check() error {
	for _, f := range []struct {
		name           string
		got, min, most int
	}{
		{"Callers", b.Callers, 1, MaxCallers},
		{"Parts", b.Parts, 0, 255},
		{"Restarts", b.Restarts, 0, 255},
		{"Calls", b.Calls, 1, MaxAttempts},
		{"Fails", b.Fails, 0, 255},
	} {
		if f.got < f.min || f.got > f.most {
			return fmt.Errorf("spec: Bound.%s is %d, want %d to %d", f.name, f.got, f.min, f.most)
		}
	}
	if n := b.Attempts(); n > MaxAttempts {
		return fmt.Errorf("spec: Bound: %d calls, and %d restarts after each of %d failures, begin up to %d attempts, want at most %d",
			b.Calls, b.Restarts, b.Fails, n, MaxAttempts)
	}
	return nil
}

// Attempts returns the largest number of attempts: one for each call, and Restarts after
// each failure report. It is MaxGen in the TLA+.
func (b Bound) Attempts() int { return b.Calls + b.Fails*b.Restarts }

// String returns, for example, "2 callers, 2 parts, 4 calls, 1 failure report(s), retries",
// and the number of restarts unless it is 0.
func (b Bound) String() string {
	s := fmt.Sprintf("%d callers, %d parts, %d calls, %d failure report(s)", b.Callers, b.Parts, b.Calls, b.Fails)
	if b.Retries {
		s += ", retries"
	}
	if b.Restarts > 0 {
		s += fmt.Sprintf(", %d restart(s)", b.Restarts)
	}
	return s
}

// Action is a disjunct of Next in tla/Algorithm.tla, with its name. Terminating is not an
// Action, because it is not a step of the code: see [Bound.Terminated].
type Action uint8

// The actions, in the order of Next. Those up to UseDrop are steps of a caller,
// those from OpenPart on steps of an attempt's operation or of its hooks.
const (
	InvokeStart Action = iota
	InvokeStop
	InvokeShutdown
	InvokeUse
	ContextEnds
	Return
	StartFast
	StartEnter
	StartLeave
	StopEnter
	ShutdownEnter
	StopLeave
	UseLoad
	UseAdd
	UseSlow
	UseEnd
	UseDrop
	OpenPart
	OpenOk
	OpenErr
	OpenRetry
	TryAgain
	Timeout
	Fail
	DrainEnd
	ReleaseOk
	ReleaseErr
	Finish
	Restart
	GivesUp

	numActions = iota
)

var actionNames = [numActions]string{
	"InvokeStart", "InvokeStop", "InvokeShutdown", "InvokeUse", "ContextEnds", "Return",
	"StartFast", "StartEnter", "StartLeave", "StopEnter", "ShutdownEnter", "StopLeave",
	"UseLoad", "UseAdd", "UseSlow", "UseEnd", "UseDrop",
	"OpenPart", "OpenOk", "OpenErr", "OpenRetry", "TryAgain", "Timeout", "Fail", "DrainEnd", "ReleaseOk", "ReleaseErr", "Finish",
	"Restart", "GivesUp",
}

// Actions lists every action, in order.
func Actions() []Action {
	all := make([]Action, numActions)
	for i := range all {
		all[i] = Action(i)
	}
	return all
}

// String returns the action's name in the TLA+.
func (a Action) String() string { return nameOf(actionNames[:], uint8(a)) }

// OfCaller reports whether the action is a caller's: then Step.Arg is the caller.
func (a Action) OfCaller() bool { return a <= UseDrop }

// eventOf has the event of each action that changes st. Finish is not here: its event
// depends on the state that it leads to.
var eventOf = map[Action]Event{
	StartEnter:    EventStart,
	StartLeave:    EventAbandoned,
	StopEnter:     EventStop,
	ShutdownEnter: EventShutdown,
	OpenOk:        EventOpened,
	OpenErr:       EventFailed,
	Timeout:       EventTimeout,
	Fail:          EventDied,
	Restart:       EventStart,
	GivesUp:       EventStart,
}

// Events returns the events of the table by which a leads from one state to the other:
// none if they are the same, two for a Finish that begins the queued attempt, otherwise
// one. It returns an error for an action that may not change st.
func (a Action) Events(from, to State) ([]Event, error) {
	switch e, known := eventOf[a]; {
	case from == to:
		return nil, nil
	case known:
		return []Event{e}, nil
	case a == Finish && to == Idle:
		return []Event{EventReleased}, nil
	case a == Finish && to == Closed:
		return []Event{EventClosed}, nil
	case a == Finish && to == Starting: // through Idle, within one critical section
		return []Event{EventReleased, EventStart}, nil
	}
	return nil, fmt.Errorf("spec: %v leads from %v to %v and stands for no event", a, from, to)
}

// Step is an action with its parameter.
type Step struct {
	Action Action
	Arg    uint8 // a caller counted from 0, or an attempt counted from 1
}

// String returns, for example, "StartEnter(c1)" or "OpenPart(1)".
func (st Step) String() string {
	if st.Action.OfCaller() {
		return st.Action.String() + "(c" + strconv.Itoa(int(st.Arg)+1) + ")"
	}
	return st.Action.String() + "(" + strconv.Itoa(int(st.Arg)) + ")"
}

// ActionNumber returns the number of the step's action, and how many actions there are.
func (st Step) ActionNumber() (number, of int) { return int(st.Action), numActions }

// StepOf returns the step of an action that leads from one state to the other: TLC's
// labels have no parameters. A caller's step changes only its own pc, or the end of its own
// context. An operation's step changes the op or held of its attempt. StepOf returns false
// for a Fail that changes nothing: it could be a report of any attempt.
func StepOf(action Action, from, to *Snapshot) (Step, bool) {
	switch {
	case action.OfCaller():
		for c := range from.Callers {
			if f, t := &from.Callers[c], &to.Callers[c]; f.PC != t.PC || f.Ended != t.Ended {
				return Step{action, uint8(c)}, true
			}
		}
		return Step{}, false
	case action == Timeout:
		return Step{action, from.Gen}, from.St != to.St
	case action == Fail:
		return Step{action, from.Gen}, from.St != to.St || *from.Attempt(from.Gen) != *to.Attempt(from.Gen)
	case action == Restart, action == GivesUp:
		return Step{action, from.Gen}, true
	}
	for g := range from.Attempts { // the lowest: Finish may begin the next attempt too
		if f, t := &from.Attempts[g], &to.Attempts[g]; f.Op != t.Op || f.Held != t.Held {
			return Step{action, uint8(g + 1)}, true
		}
	}
	return Step{}, false
}

// Init returns the initial state.
func (b Bound) Init() Snapshot { return Snapshot{} }

// Next returns the state after one step from s, or s and false if the step is not enabled.
func (b Bound) Next(s Snapshot, st Step) (Snapshot, bool) {
	if st.Action.OfCaller() {
		if int(st.Arg) >= b.Callers {
			return s, false
		}
	} else if st.Arg < 1 || int(st.Arg) > b.Attempts() {
		return s, false
	}
	ok := b.take(&s, st)
	return s, ok
}

// take is Next in place. An action whose guards fail leaves s untouched.
func (b *Bound) take(s *Snapshot, st Step) bool {
	switch arg := st.Arg; st.Action {
	case InvokeStart:
		return b.invokeStart(s, arg)
	case InvokeStop:
		return b.invokeStop(s, arg)
	case InvokeShutdown:
		return b.invokeShutdown(s, arg)
	case InvokeUse:
		return b.invokeUse(s, arg)
	case ContextEnds:
		return b.contextEnds(s, arg)
	case Return:
		return b.doReturn(s, arg)
	case StartFast:
		return b.startFast(s, arg)
	case StartEnter:
		return b.startEnter(s, arg)
	case StartLeave:
		return b.startLeave(s, arg)
	case StopEnter:
		return b.stopEnter(s, arg)
	case ShutdownEnter:
		return b.shutdownEnter(s, arg)
	case StopLeave:
		return b.stopLeave(s, arg)
	case UseLoad:
		return b.useLoad(s, arg)
	case UseAdd:
		return b.useAdd(s, arg)
	case UseSlow:
		return b.useSlow(s, arg)
	case UseEnd:
		return b.useEnd(s, arg)
	case UseDrop:
		return b.useDrop(s, arg)
	case OpenPart:
		return b.openPart(s, arg)
	case OpenOk:
		return b.openOk(s, arg)
	case OpenErr:
		return b.openErr(s, arg)
	case OpenRetry:
		return b.openRetry(s, arg)
	case TryAgain:
		return b.tryAgain(s, arg)
	case Timeout:
		return b.timeout(s, arg)
	case Fail:
		return b.fail(s, arg)
	case DrainEnd:
		return b.drainEnd(s, arg)
	case ReleaseOk:
		return b.releaseOk(s, arg)
	case ReleaseErr:
		return b.releaseErr(s, arg)
	case Finish:
		return b.finish(s, arg)
	case Restart:
		return b.doRestart(s, arg)
	case GivesUp:
		return b.givesUp(s, arg)
	}
	return false
}

// Enabled appends to buf the steps that are enabled in s. It reads each caller's pc and
// each attempt's op once, and does not try every action. A test checks on every state of
// the graph that this finds the same steps.
func (b Bound) Enabled(s *Snapshot, buf []Step) []Step {
	for c := range uint8(b.Callers) {
		buf = b.enabledCaller(s, c, buf)
	}
	for g := uint8(1); int(g) <= b.Attempts() && g <= s.Gen; g++ {
		buf = b.enabledAttempt(s, g, buf)
	}
	return buf
}

func (b *Bound) enabledCaller(s *Snapshot, c uint8, buf []Step) []Step {
	v := &s.Callers[c]
	switch v.PC {
	case PCIdle:
		if b.mayInvoke(s, c) {
			buf = append(buf, Step{InvokeStart, c}, Step{InvokeStop, c}, Step{InvokeShutdown, c}, Step{InvokeUse, c})
		}
	case PCStart:
		buf = append(buf, Step{StartFast, c})
	case PCEnter:
		buf = append(buf, Step{StartEnter, c})
	case PCStop:
		buf = append(buf, Step{StopEnter, c})
	case PCShut:
		buf = append(buf, Step{ShutdownEnter, c})
	case PCUse:
		buf = append(buf, Step{UseLoad, c})
	case PCAdd:
		buf = append(buf, Step{UseAdd, c})
	case PCSlow:
		buf = append(buf, Step{UseSlow, c})
	case PCUsing:
		buf = append(buf, Step{UseEnd, c})
	case PCDrop:
		buf = append(buf, Step{UseDrop, c})
	case PCWait:
		if b.mayLeave(s, c) && v.Out == OutNone {
			buf = append(buf, Step{StartLeave, c})
		}
	case PCStopWait, PCShutWait:
		if b.mayLeave(s, c) && v.Out == OutNone {
			buf = append(buf, Step{StopLeave, c})
		}
	}
	if hasContext(v.PC) && v.Out == OutNone && !v.Ended {
		buf = append(buf, Step{ContextEnds, c})
	}
	if v.Out != OutNone {
		buf = append(buf, Step{Return, c})
	}
	return buf
}

func (b *Bound) enabledAttempt(s *Snapshot, g uint8, buf []Step) []Step {
	v := s.Attempt(g)
	switch v.Op {
	case OpOpen:
		if int(v.Held) < b.Parts {
			buf = append(buf, Step{OpenPart, g})
		}
		if b.complete(s, g) && b.stillAlive(s, g) {
			buf = append(buf, Step{OpenOk, g})
		}
		buf = append(buf, Step{OpenErr, g})
		if b.Retries {
			buf = append(buf, Step{OpenRetry, g})
		}
	case OpDrain:
		if b.drained(s, g) || v.Forced {
			buf = append(buf, Step{DrainEnd, g})
		}
	case OpRelease:
		if b.mayRelease(s, g) {
			buf = append(buf, Step{ReleaseOk, g}, Step{ReleaseErr, g})
		}
		if b.rolledBack(s, g) && b.mayRetry(s, g) {
			buf = append(buf, Step{TryAgain, g})
		}
		if b.allReleased(s, g) && s.St == Stopping {
			buf = append(buf, Step{Finish, g})
		}
	}
	if s.St == Starting && s.Gen == g {
		buf = append(buf, Step{Timeout, g})
	}
	if int(s.Fails) < b.Fails {
		buf = append(buf, Step{Fail, g})
	}
	if b.mayRestart(s, g) {
		if int(s.Restarts) < b.Restarts {
			buf = append(buf, Step{Restart, g})
		}
		buf = append(buf, Step{GivesUp, g})
	}
	return buf
}

// Terminated reports whether all calls have been made and have returned, and no operation
// is running; the TLA+ has the step Terminating there. The only other step of such a state
// is Fail. A state that is not terminated has a step, unless the model has a deadlock.
func (b Bound) Terminated(s *Snapshot) bool {
	for c := range b.Callers {
		if s.Callers[c].PC != PCIdle {
			return false
		}
	}
	for g := range b.Attempts() {
		if s.Attempts[g].Op != OpNone {
			return false
		}
	}
	return int(s.Calls) == b.Calls && !s.Due
}
