package fsm

import (
	"errors"

	"github.com/seed3893aba4/surestart/spec"
)

// releaseLocked closes the gate of the running attempt and begins its release.
func (l *Lifecycle[R]) releaseLocked(a *attempt[R], event spec.Event, reason error) {
	// The gate before the word: who has seen Stopping is not admitted any more.
	a.inUse = int(a.gate.Add(gateClosed) - gateClosed)
	l.mustFireLocked(event, reason)
	a.op, a.reason = spec.OpDrain, reason
	if a.inUse > 0 {
		a.drained = make(chan struct{})
	}
	l.spawn(func() { l.operate(a) })
}

// forceLocked cuts the drain short (G9). The caller calls cut as soon as it has
// let go of the lock: it ends the uses' contexts, of which there may be many, and only
// then lets the release go ahead.
func (a *attempt[R]) forceLocked() (cut func()) {
	a.stepLocked(StepForced, "", a.inUse, nil)
	a.forced = true
	inUse, end := a.inUse, a.uses.endLocked(a.reason)
	return func() {
		end()
		if inUse > 0 {
			close(a.drained)
		}
	}
}

// drain waits until no admitted use is in flight, or the drain is forced.
func (l *Lifecycle[R]) drain(a *attempt[R]) {
	if l.hook != nil {
		l.hook.Wait(spec.DrainEnd, a, a.drained, nil)
	}
	if a.drained != nil {
		<-a.drained
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a.op = spec.OpRelease // from here nobody can force it
	a.cancel(a.reason)
	a.popLocked()
	l.tookLocked(spec.DrainEnd, a)
}

// release runs the release of the part that is due, or ends the attempt if there
// is none. It returns what is to be operated next: a, the attempt that was
// queued behind it, or nil.
func (l *Lifecycle[R]) release(a *attempt[R]) *attempt[R] {
	if a.releasing == nil {
		if l.tryAgain(a) {
			return a
		}
		if a.again { // it was cancelled between two tries
			a.report()
		}
		if a.returned != nil {
			<-a.returned // by the goroutine that opened it: before another attempt asks Allow
		}
		l.point(spec.Finish, a)
		next, unheard := l.finish(a)
		if unheard != nil {
			l.log().Error("surestart: a release failed and nobody waits for it", "attempt", a.number, "error", unheard)
		}
		l.supervise()
		return next
	}
	err := a.once(func() error { return a.runRelease(a.releasing, a.forced) })
	action := outcome(err, spec.ReleaseOk, spec.ReleaseErr)
	l.point(action, a)

	l.mu.Lock()
	defer l.mu.Unlock()
	a.stepLocked(StepReleased, a.releasing.name, 0, err)
	if err != nil {
		if a.badErrs == nil {
			a.badPart = a.releasing.name
		}
		a.badErrs = append(a.badErrs, &partError{a.releasing.name, err})
	}
	a.popLocked()
	l.tookLocked(action, a)
	return a
}

// popLocked takes the part that is to be released next, the last acquired.
func (a *attempt[R]) popLocked() {
	a.releasing, a.ran = nil, false
	if n := len(a.parts); n > 0 {
		p := a.parts[n-1]
		a.parts, a.releasing = a.parts[:n-1], &p
		a.stepLocked(StepReleasing, p.name, 0, nil)
	}
}

// finish ends an attempt that holds nothing any more. Every waiter is answered. Queued
// Starts get an attempt of their own at the same instant, or wait on for the restart
// that is due. unheard is a failure that no caller receives.
func (l *Lifecycle[R]) finish(a *attempt[R]) (next *attempt[R], unheard error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(a.parts) > 0 { // registered after open had returned
		a.popLocked()
		return a, nil
	}
	if bad := errors.Join(a.badErrs...); bad != nil {
		a.stopErr = &StopError{Part: a.badPart, Err: bad}
		l.rememberLocked(a, bad)
		_, told := a.fate.(*StartError) // Rollback says it
		if a.stoppers == 0 && (a.waiters == 0 || !told) {
			unheard = a.stopErr
		}
	}
	// An answered caller runs at once, and State takes no lock: the answers come
	// after the transition, or a Stop would return while the state is Stopping.
	defer func() {
		a.answerLocked(a.fate)
		a.finishLocked()
		l.tookLocked(spec.Finish, a)
	}()
	if a.restart { // not called off: so it has failed
		l.supervisor.dueLocked(a.values)
	}
	a.op, a.restart = spec.OpNone, false
	l.current = nil
	l.gate.Store(nil)
	if l.closing {
		l.mustFireLocked(spec.EventClosed, nil)
		return nil, unheard
	}
	l.mustFireLocked(spec.EventReleased, nil)
	if next = l.queued; next == nil || l.supervisor.isDueLocked() {
		return nil, unheard
	}
	l.queued = nil
	l.beginLocked(next)
	return next, unheard
}

// rememberLocked adds what failed in the releases to why the attempt failed (G14).
// Errors that callers may hold already are not written to.
func (l *Lifecycle[R]) rememberLocked(a *attempt[R], bad error) {
	failed, ok := l.cause.(*StartError)
	switch {
	case ok && a.fate != nil:
		with := *failed
		with.Rollback = bad
		if a.fate == l.cause {
			a.fate = &with
		}
		l.cause = &with
	case l.cause != nil:
		l.cause = &bothError{l.cause, a.stopErr}
	default:
		l.cause = a.stopErr
	}
}

// finishLocked gives the attempt's stoppers their result, stopErr.
func (a *attempt[R]) finishLocked() {
	a.isFinished, a.stoppers = true, 0
	if a.finished != nil {
		close(a.finished)
	}
}
