package fsm

import (
	"context"
	"slices"
	"sync"

	"github.com/seed3893aba4/surestart/spec"
)

// Ready waits until the resource is open and returns nil; it starts nothing. As soon
// as nobody is going to open it, Ready returns why:
//
//   - ErrClosed once Shutdown or Close has been called;
//   - ErrStopped if a Stop took effect and no Start has begun an attempt since;
//   - ErrNotStarted if no attempt ever began;
//   - otherwise the cause that Status keeps: the *StartError of the attempt that
//     failed, or why the resource died and is not started again.
//
// While an attempt is opening, while a Start waits for a release to end, and while a
// restart is due (WithRestart), Ready waits. It returns the cause of ctx once ctx
// ends. It may be called concurrently, and takes no part in the detection of
// ErrReentrant: within an open of its own it waits for itself. A nil ctx panics.
func (l *Lifecycle[R]) Ready(ctx context.Context) error {
	c := l.read(ctx, "Ready")
	answer := make(chan error, 1)
	l.mu.Lock()
	err, decided := l.readyLocked()
	if !decided {
		l.readies = append(l.readies, answer)
	}
	l.mu.Unlock()
	if decided {
		return err
	}
	err, answered := receive(&l.mu, c, answer, func() {
		l.readies = slices.DeleteFunc(l.readies, func(other chan error) bool { return other == answer })
	})
	if !answered {
		return c.why()
	}
	return err
}

// receive waits for the value that comes on ch, which has room for one. It returns false
// if c's context ends first: forgetLocked sees to it that from then on none comes.
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
	case value = <-ch: // it came first
		return value, true
	default:
		return value, false
	}
}

// readyLocked returns what Ready does now; false: it waits.
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

// answerReadiesLocked answers every Ready, if there is something to answer.
func (l *Lifecycle[R]) answerReadiesLocked() {
	err, decided := l.readyLocked()
	if !decided {
		return
	}
	for _, answer := range l.readies {
		answer <- err // has room for one
	}
	l.readies = nil
}
