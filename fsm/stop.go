package fsm

import (
	"context"

	"github.com/seed3893aba4/surestart/spec"
)

// Stop releases the resource and waits until everything is given back; then the
// lifecycle is Idle and may be started again. A restart that is due (WithRestart) is
// called off. It waits for the uses in flight
// first (G9). A Stop during a start cancels the attempt and waits for its
// rollback; the Starts get ErrStopped (G8). Concurrent Stops join. It returns
//
//   - nil if nothing was held at an instant after it was called; of an idle or
//     closed lifecycle at once, having run nothing (G2);
//   - ErrReentrant, without any effect, if ctx is one that this lifecycle handed
//     to an open, release or use that has not ended (G15);
//   - a *StopError with the releases' errors joined, if any failed; every part
//     has been released all the same;
//   - a *StopError with the cause of ctx once ctx ends. If no other Stop or
//     Shutdown waits and uses are in flight, the drain is then cut short: the
//     uses' contexts are cancelled before Stop returns, CutOff is their number,
//     and the release follows without waiting for them. Otherwise CutOff is 0 and
//     the release goes on without this caller.
//
// A Stop whose ctx has ended already takes effect all the same.
func (l *Lifecycle[R]) Stop(ctx context.Context) error { return l.stop(ctx, false) }

// Shutdown is Stop for good: from its call on no attempt begins, ever, and Start,
// Use and Acquire get ErrClosed; after it returned nil nothing is open (G11). The
// end of its context cuts the drain short, also if other Stops wait (G9). On a closed
// lifecycle it returns nil.
func (l *Lifecycle[R]) Shutdown(ctx context.Context) error { return l.stop(ctx, true) }

// Close is Shutdown bounded by WithStopTimeout, 30 seconds by default. It takes
// no part in the detection of ErrReentrant: a Close from within an open, release
// or use of its own waits for as long as that bound.
func (l *Lifecycle[R]) Close() error {
	l.mustBeMade()
	ctx, cancel := context.WithTimeout(context.Background(), l.stopTimeout)
	defer cancel()
	return l.Shutdown(ctx)
}

func (l *Lifecycle[R]) stop(ctx context.Context, final bool) error {
	action, reason, method := spec.StopEnter, ErrStopped, "Stop"
	if final {
		action, reason, method = spec.ShutdownEnter, ErrClosed, "Shutdown"
	}
	l.point(action, nil)
	c := l.read(ctx, method)
	if c.within {
		return ErrReentrant
	}

	l.mu.Lock()
	a := l.beginStopLocked(final, reason)
	l.tookLocked(action, a)
	if a == nil {
		l.mu.Unlock()
		return nil
	}
	a.stoppers++
	if a.finished == nil {
		a.finished = make(chan struct{})
	}
	finished := a.finished
	l.mu.Unlock()

	if l.wait(spec.StopLeave, a, finished, c.done) {
		return a.stopErr
	}
	l.point(spec.StopLeave, a)
	return l.leaveStop(c, a, final)
}

// beginStopLocked returns the attempt whose end the caller is to wait for, nil
// if there is nothing to stop.
func (l *Lifecycle[R]) beginStopLocked(final bool, reason error) *attempt[R] {
	event := spec.EventStop
	if final {
		event, l.closing = spec.EventShutdown, true
	}
	l.supervisor.stopLocked()
	l.overLocked(nil)
	l.stopped = true
	a := l.current // nil in Idle and in Closed
	if a != nil {
		a.restart = false
	}
	switch l.State() {
	case spec.Idle:
		l.answerQueuedLocked(reason)
		if final {
			l.mustFireLocked(event, reason)
		}
	case spec.Starting:
		l.mustFireLocked(event, reason)
		l.rollBackLocked(a, Cancelled, reason, reason)
	case spec.Started:
		l.releaseLocked(a, event, reason)
	case spec.Stopping:
		l.answerQueuedLocked(reason)
	}
	return a
}

// answerQueuedLocked answers the Starts that wait for the next attempt: they were
// waiting when the Stop took effect.
func (l *Lifecycle[R]) answerQueuedLocked(reason error) {
	if q := l.queued; q != nil {
		l.queued = nil
		q.answerLocked(reason)
	}
}

// leaveStop takes a caller whose context has ended out of the release, and cuts
// the drain short if it is his to cut (G9). Only then the context is asked why it ended.
func (l *Lifecycle[R]) leaveStop(c caller, a *attempt[R], final bool) error {
	l.mu.Lock()
	if a.isFinished {
		l.mu.Unlock()
		return a.stopErr
	}
	a.stoppers--
	cutOff, cut := 0, func() {}
	if a.op == spec.OpDrain && !a.forced && a.inUse > 0 && (final || a.stoppers == 0) {
		cutOff, cut = a.inUse, a.forceLocked()
	}
	l.tookLocked(spec.StopLeave, a)
	l.mu.Unlock()
	cut()
	return &StopError{CutOff: cutOff, Err: c.why()}
}
