package fsm

import (
	"errors"

	"github.com/seed3893aba4/surestart/spec"
)

// releaseLocked closes the gate of the running attempt and begins its release.
func (l *Lifecycle[R]) releaseLocked(a *attempt[R], event spec.Event, reason error) {
	// The gate closes before the state changes: a caller that has seen Stopping is not admitted.
	a.inUse = int(a.gate.Add(gateClosed) - gateClosed)
	l.mustFireLocked(event, reason)
	a.op, a.reason = spec.OpDrain, reason
	if a.inUse > 0 {
		a.drained = make(chan struct{})
	}
	l.spawn(func() { l.operate(a) })
}

// forceLocked cuts the drain short (G9). The caller unlocks and then calls cut. cut ends the
// contexts of the uses, and then lets the release begin. There may be many uses, so cut runs
// without the lock.
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
	a.op = spec.OpRelease // from here on it cannot be forced
	a.cancel(a.reason)
	a.popLocked()
	l.tookLocked(spec.DrainEnd, a)
}

// release runs the release of the part that is due. If there is none, it ends the try or
// the attempt. It returns the attempt to operate next: a, the queued one, or nil.
func (l *Lifecycle[R]) release(a *attempt[R]) *attempt[R] {
	if a.releasing == nil {
		if l.tryAgain(a) {
			return a
		}
		if a.retry { // it was cancelled between two tries
			a.callDone()
		}
		if a.doneReturned != nil {
			<-a.doneReturned // the goroutine that opened a calls done: it must return before the next Allow
		}
		l.point(spec.Finish, a)
		next, unreported := l.finish(a)
		if unreported != nil {
			l.log().Error("surestart: a release failed and no caller waits for its error", "attempt", a.number, "error", unreported)
		}
		l.supervise()
		return next
	}
	err := a.runHook(func() error { return a.runRelease(a.releasing, a.forced) })
	action := outcome(err, spec.ReleaseOk, spec.ReleaseErr)
	l.point(action, a)

	l.mu.Lock()
	defer l.mu.Unlock()
	a.stepLocked(StepReleased, a.releasing.name, 0, err)
	if err != nil {
		if a.releaseErrs == nil {
			a.failedPart = a.releasing.name
		}
		a.releaseErrs = append(a.releaseErrs, &partError{a.releasing.name, err})
	}
	a.popLocked()
	l.tookLocked(action, a)
	return a
}

// popLocked makes the part that was acquired last the next to be released.
func (a *attempt[R]) popLocked() {
	a.releasing, a.ran = nil, false
	if n := len(a.parts); n > 0 {
		p := a.parts[n-1]
		a.parts, a.releasing = a.parts[:n-1], &p
		a.stepLocked(StepReleasing, p.name, 0, nil)
	}
}

// finish ends an attempt that holds nothing any more, and answers its waiters. If Starts are
// queued, it starts their attempt in the same critical section, unless they wait for a
// restart that is due. unreported is an error that no caller receives.
func (l *Lifecycle[R]) finish(a *attempt[R]) (next *attempt[R], unreported error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(a.parts) > 0 { // parts that were registered after open had returned
		a.popLocked()
		return a, nil
	}
	if bad := errors.Join(a.releaseErrs...); bad != nil {
		a.stopErr = &StopError{Part: a.failedPart, Err: bad}
		l.rememberLocked(a, bad)
		_, shown := a.rollbackErr.(*StartError) // in its Rollback
		if a.stoppers == 0 && (a.waiters == 0 || !shown) {
			unreported = a.stopErr
		}
	}
	// Answer after the transition: an answered caller runs at once, and State takes no lock.
	// In the other order a Stop could return while the state is still Stopping.
	defer func() {
		a.answerLocked(a.rollbackErr)
		a.finishLocked()
		l.tookLocked(spec.Finish, a)
	}()
	if a.restart { // not cancelled: the restart has failed
		l.supervisor.dueLocked(a.values)
	}
	a.op = spec.OpNone
	l.current = nil
	l.opened.Store(nil)
	if l.closing {
		l.mustFireLocked(spec.EventClosed, nil)
		return nil, unreported
	}
	l.mustFireLocked(spec.EventReleased, nil)
	if next = l.queued; next == nil || l.supervisor.isDueLocked() {
		return nil, unreported
	}
	l.queued = nil
	l.beginLocked(next)
	return next, unreported
}

// rememberLocked adds the errors of the releases to the cause that Status keeps (G14). It
// copies an error before it changes it: callers may have the error already.
func (l *Lifecycle[R]) rememberLocked(a *attempt[R], bad error) {
	failed, ok := l.cause.(*StartError)
	switch {
	case ok && a.rollbackErr != nil:
		with := *failed
		with.Rollback = bad
		if a.rollbackErr == l.cause {
			a.rollbackErr = &with
		}
		l.cause = &with
	case l.cause != nil:
		l.cause = &bothError{l.cause, a.stopErr}
	default:
		l.cause = a.stopErr
	}
}

// finishLocked gives the stoppers of the attempt their result, stopErr.
func (a *attempt[R]) finishLocked() {
	a.isFinished, a.stoppers = true, 0
	if a.finished != nil {
		close(a.finished)
	}
}
