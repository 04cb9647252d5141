package fsm

import (
	"context"

	"github.com/seed3893aba4/surestart/spec"
)

// Stop waits for the uses in flight (G9), releases the resource, and waits until every
// part is released. Then the lifecycle is Idle and may be started again. A Stop during a
// start cancels the attempt and waits for its rollback; the waiting Starts return
// ErrStopped (G8). A Stop cancels a restart that is due (WithRestart). Concurrent Stops wait
// for the same release. Stop returns
//
//   - nil once everything is released: at an instant between call and return no part was
//     held. On an idle or closed lifecycle Stop runs nothing and returns at once (G2);
//   - ErrReentrant, without any effect, if ctx belongs to an open, release or use of
//     this lifecycle that has not ended (G15);
//   - a *StopError with the releases' errors, joined, if any failed; every release has been
//     called all the same;
//   - a *StopError with the cause of ctx once ctx ends. If uses are in flight then, and no
//     other Stop or Shutdown waits, the drain is cut short: the uses' contexts are
//     cancelled before Stop returns, CutOff is the number of uses, and the release does
//     not wait for them. Otherwise CutOff is 0. In both cases the release continues.
//
// A Stop whose ctx has already ended takes effect all the same.
func (l *Lifecycle[R]) Stop(ctx context.Context) error { return l.stop(ctx, false) }

// Shutdown is Stop for good: from its call on no attempt starts, and Start, Use and
// Acquire return ErrClosed. After it has returned nil, nothing is open (G11). The end of
// its context cuts the drain short even if other Stops wait (G9). On a closed lifecycle it
// returns nil.
func (l *Lifecycle[R]) Shutdown(ctx context.Context) error { return l.stop(ctx, true) }

// Close is Shutdown with a context that ends after WithStopTimeout, 30 seconds by default.
// It never returns ErrReentrant: within an open, release or use of its own lifecycle it may
// wait for itself until that time has passed.
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
	return l.awaitStop(c, a, final)
}

// awaitStop unlocks l.mu, and waits for the end of a. If a is nil, it does not wait.
func (l *Lifecycle[R]) awaitStop(c caller, a *attempt[R], final bool) error {
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

// beginStopLocked starts the stop. It returns the attempt whose end the caller waits for,
// nil if there is nothing to stop.
func (l *Lifecycle[R]) beginStopLocked(final bool, reason error) *attempt[R] {
	event := spec.EventStop
	if final {
		event, l.closing = spec.EventShutdown, true
	}
	l.supervisor.stopLocked()
	l.endRunsLocked(nil)
	l.stopped, l.holders = true, nil
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

// answerQueuedLocked answers the Starts that wait for the next attempt: the Stop also stops
// them.
func (l *Lifecycle[R]) answerQueuedLocked(reason error) {
	if q := l.queued; q != nil {
		l.queued = nil
		q.answerLocked(reason)
	}
}

// leaveStop removes a caller whose context has ended from the stoppers, and cuts the drain
// short if this caller may do that (G9). Only then does it call methods of the context.
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
