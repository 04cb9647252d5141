package fsm

import (
	"context"
	"slices"
	"sync"

	"github.com/seed3893aba4/surestart/spec"
)

// Ready waits until the resource is open, then returns nil. It starts nothing. It waits
// while an attempt is opening, while a Start waits for the end of a release, and while a
// restart is due (WithRestart). Once nothing is going to open the resource, it returns
//
//   - ErrClosed once Shutdown or Close has been called;
//   - ErrStopped if a Stop took effect and no attempt has started since;
//   - ErrNotStarted if no attempt has ever started;
//   - otherwise Status.Cause: the *StartError of the attempt that failed, or the cause of
//     death of a resource that is not restarted.
//
// If ctx ends while Ready waits, it returns the cause of ctx. It may be called
// concurrently. It never returns ErrReentrant: within an open of its own lifecycle it waits
// for itself until ctx ends. A nil ctx panics.
func (l *Lifecycle[R]) Ready(ctx context.Context) error {
	c := l.read(ctx, "Ready")
	answer := make(chan error, 1)
	l.mu.Lock()
	err, decided := l.readyLocked()
	if !decided {
		l.readyWaiters = append(l.readyWaiters, answer)
	}
	l.mu.Unlock()
	if decided {
		return err
	}
	err, answered := receive(&l.mu, c, answer, func() {
		l.readyWaiters = slices.DeleteFunc(l.readyWaiters, func(other chan error) bool { return other == answer })
	})
	if !answered {
		return c.why()
	}
	return err
}

// receive waits for a value on ch, which has a buffer of one. If c's context ends first, it
// calls forgetLocked, after which no value is sent, and returns false.
func receive[T any](mu *sync.Mutex, c caller, ch <-chan T, forgetLocked func()) (value T, came bool) {
	select {
	case value = <-ch:
		return value, true
	case <-c.done:
	}
	mu.Lock()
	forgetLocked()
	mu.Unlock()
	select {
	case value = <-ch: // sent before forgetLocked
		return value, true
	default:
		return value, false
	}
}

// readyLocked returns the result of a Ready; decided is false while Ready waits.
func (l *Lifecycle[R]) readyLocked() (err error, decided bool) {
	switch {
	case l.State() == spec.Started:
		return nil, true
	case l.closing:
		return ErrClosed, true
	case l.State() == spec.Starting, l.queued != nil, l.supervisor.isDueLocked(), l.current != nil && l.current.restart:
		return nil, false
	case l.begun == 0:
		return ErrNotStarted, true
	case l.stopped || l.cause == nil:
		return ErrStopped, true
	}
	return l.cause, true
}

// answerReadyLocked answers every waiting Ready, if its result is decided.
func (l *Lifecycle[R]) answerReadyLocked() {
	err, decided := l.readyLocked()
	if !decided {
		return
	}
	for _, answer := range l.readyWaiters {
		answer <- err // has a buffer of one
	}
	l.readyWaiters = nil
}
