package fsm

import (
	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/spec"
)

// Package control says what these functions are for. They read the fields themselves, not a
// copy that could differ.

func init() {
	control.Inspect = func(l any) control.Machine { return l.(interface{ inspect() control.Machine }).inspect() }
	control.InspectRestart = func(l any) control.Restart {
		return l.(interface{ inspectRestart() control.Restart }).inspectRestart()
	}
	control.Timeout = func(a control.Attempt) { a.(interface{ fireTimeout() }).fireTimeout() }
	control.TimerOfRestart = func(l any) func() { return l.(interface{ timerOfRestart() func() }).timerOfRestart() }
	control.Fire = func(l any, e spec.Event) error { return l.(interface{ fire(spec.Event) error }).fire(e) }
	control.LeaseOf = func(lease any) control.Attempt {
		return lease.(interface{ attemptOf() control.Attempt }).attemptOf()
	}
}

func (l *Lifecycle[R]) inspect() control.Machine {
	return control.Machine{
		StateWord: l.State(), State: l.machine.state(), Closing: l.closing, Begun: l.begun,
		Current: exposed(l.current), Queued: exposed(l.queued), Opened: exposed(l.opened.Load()),
		Due: l.supervisor.isDueLocked(), Again: l.current != nil && l.current.restart, Restarts: l.restarts(),
	}
}

func (l *Lifecycle[R]) restarts() int {
	if l.supervisor == nil {
		return 0
	}
	return l.supervisor.restarts
}

func (l *Lifecycle[R]) inspectRestart() control.Restart {
	s := l.supervisor
	return control.Restart{AwaitingDelay: s.awaitingDelay, DiedAgain: s.diedAgain, Timer: s.timer != nil}
}

// exposed returns a as a control.Attempt, nil for a nil *attempt.
func exposed[R any](a *attempt[R]) control.Attempt {
	if a == nil {
		return nil
	}
	return a
}

func (a *attempt[R]) fireTimeout() { a.l.timeout(a) }

func (l *Lifecycle[R]) timerOfRestart() func() {
	timer := l.supervisor.timer
	if timer == nil {
		return nil
	}
	return func() { l.startAgain(&timer) }
}

func (l *Lifecycle[R]) fire(e spec.Event) error {
	_, err := l.machine.fire(e)
	return err
}

func (x *Lease[R]) attemptOf() control.Attempt { return exposed(x.a) }

// Number implements control.Attempt.
func (a *attempt[R]) Number() uint64 { return a.number }

// View implements control.Attempt.
func (a *attempt[R]) View(v *control.View) {
	held := len(a.parts)
	if a.releasing != nil {
		held++
	}
	*v = control.View{
		Number: a.number,
		Op:     a.op, Held: held, Open: a.gate.Load() >= 0, InUse: a.inUseLocked(),
		Forced: a.forced, RelErr: a.releaseErrs != nil, Reported: a.reported != nil,
		Waiters: a.waiters, Stoppers: a.stoppers,
		Answered: a.isAnswered, StartErr: a.startErr,
		Finished: a.isFinished, StopErr: a.stopErr, RollbackErr: a.rollbackErr, Acquiring: a.acquiring,
	}
}
