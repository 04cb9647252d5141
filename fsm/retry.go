package fsm

import (
	"context"
	"fmt"
	"time"

	"github.com/seed3893aba4/surestart/spec"
)

// A Backoff decides whether a failed open is tried again, and when: see WithRetry, and
// WithRestart for a resource that died. Package resilience makes one from
// github.com/cenkalti/backoff.
type Backoff interface {
	// With WithRetry, Next is called after each try that failed, in the attempt's own
	// goroutine, one call at a time. try is the number of the failed try in this attempt,
	// from 1, and err is open's error. Next returns the pause before the next try (a
	// negative pause means none), or false to let the attempt fail with err. If the attempt
	// has been cancelled meanwhile, the result is not used. If Next panics, or calls
	// runtime.Goexit, the attempt fails with err; a panic is logged.
	Next(try int, err error) (wait time.Duration, again bool)
}

// WithRetry makes an attempt try again when open returns an error and b.Next returns true.
// The state remains Starting: the Starts continue to wait, and others may join. The parts
// that a try holds are released, in reverse, before the pause (G4). The next try has a
// context of its own, with the values of the first.
//
// A pause ends at once when a Stop or Shutdown takes effect, the last caller leaves, or the
// start timeout passes, which bounds the attempt with all its tries (G6, G8). If a release
// after a try fails, its error is logged, and the next try is made all the same. A panic of
// open is not tried again. A nil b panics.
func WithRetry(b Backoff) Option {
	if b == nil {
		panic("fsm: WithRetry(nil): want a Backoff")
	}
	return func(c *config) { c.backoff = b }
}

// A Breaker allows attempts to start, or refuses them for a while after many have failed.
// github.com/sony/gobreaker's TwoStepCircuitBreaker, with an adapter, is one; package
// resilience makes one whose errors say until when it refuses.
type Breaker interface {
	// Allow is called once at the start of each attempt, in the attempt's own goroutine,
	// before open. If it returns an error, open is not called, and the attempt fails with
	// that error in its StartError. Otherwise done, unless it is nil, is called once, in the
	// same goroutine, outside every lock. That happens after open has returned and the
	// outcome of the attempt is decided, before any Start returns the attempt's failure, and
	// before Allow is called again.
	//
	// The outcome depends on the event that ended the attempt, not on the errors that
	// open's error wraps. A panic of done is logged. If done blocks, it delays the rollback
	// of its attempt or, if the attempt opened the resource, the end of its release.
	Allow() (done func(Outcome, error), err error)
}

// Outcome is the outcome of an attempt to start, which a Breaker's done receives. The zero
// Outcome is not a valid outcome.
type Outcome uint8

const (
	// Opened: the resource is open. The error is nil.
	Opened Outcome = iota + 1
	// Failed: open returned an error or panicked, the start timeout passed, or a
	// failure was reported before open had returned. The error is the cause.
	Failed
	// Cancelled: a Stop or Shutdown took effect, or the last caller left, before the
	// resource was open. The error is ErrStopped, ErrClosed, or the cause of that caller's
	// context. The cause is in a *LeaveError if only one of the two, the cause and the Err
	// of that context, is context.DeadlineExceeded: errors.Is then matches both.
	Cancelled
)

// String returns opened, failed or cancelled.
func (o Outcome) String() string {
	switch o {
	case Opened:
		return "opened"
	case Failed:
		return "failed"
	case Cancelled:
		return "cancelled"
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}

// WithBreaker makes each attempt call b.Allow first. Only one attempt exists at a time
// (G1), so an attempt that b allows as a trial is the only one: other Starts join it. Stop
// and Shutdown do not call b. A nil b panics.
func WithBreaker(b Breaker) Option {
	if b == nil {
		panic("fsm: WithBreaker(nil): want a Breaker")
	}
	return func(c *config) { c.breaker = b }
}

// try calls open. In the first try it calls the Breaker's Allow before.
func (a *attempt[R]) try() (err error) {
	l := a.l
	if l.breaker != nil && a.tried == 0 {
		done, err := l.breaker.Allow()
		if err != nil {
			return err
		}
		if done != nil {
			a.done, a.doneReturned = done, make(chan struct{})
		}
	}
	a.resource, err = l.open(a.ctx, &Scope{a, a.tried})
	a.backoffDue = l.backoff != nil
	return err
}

// askBackoff returns the error of the try, and calls Next of the Backoff with it, once. A
// failure that was reported before open returned counts, whatever open returned.
func (l *Lifecycle[R]) askBackoff(a *attempt[R], err error) error {
	if !a.backoffDue { // open panicked or exited, or Next was called
		return err
	}
	l.mu.Lock()
	if a.reported != nil {
		err = a.reported
	}
	l.mu.Unlock()
	if err == nil {
		return nil
	}
	a.backoffDue, a.hookErr = false, err // if Next exits, the goroutine that continues finds this error
	failed := contain(func() error {
		a.pause, a.retry = l.backoff.Next(a.tried+1, err)
		return nil
	})
	if failed != nil {
		l.log().Error("surestart: the backoff panicked", "attempt", a.number, "error", failed)
	}
	return err
}

// callDone calls the Breaker's done if the outcome is decided. done may call runtime.Goexit.
func (a *attempt[R]) callDone() {
	done := a.done
	if done == nil || a.outcome == 0 {
		return
	}
	a.done = nil
	defer close(a.doneReturned)
	var why error
	if a.outcome != Opened {
		why = a.reason
	}
	if l := a.left; l != nil && (l.Err == context.DeadlineExceeded) != l.Is(context.DeadlineExceeded) {
		why = l
	}
	if err := contain(func() error { done(a.outcome, why); return nil }); err != nil {
		a.l.log().Error("surestart: the breaker panicked", "attempt", a.number, "error", err)
	}
}

// retryLocked ends a try that another one follows. Its parts are released next.
func (a *attempt[R]) retryLocked(err error) {
	a.stepLocked(StepRetry, a.acquiring, 0, err)
	a.l.cause = a.failure(err)
	a.cancel(err)
	a.reported = nil
	a.tried++ // from here on the Scope of the failed try has no effect
	a.lastTry = err
	a.openContextLocked() // of the next try; it also ends the pause if the attempt is cancelled
}

// tryAgain waits until the next try is due. It returns false if no try follows, or if the
// attempt was cancelled.
func (l *Lifecycle[R]) tryAgain(a *attempt[R]) bool {
	if !a.retry {
		return false
	}
	due := make(chan struct{})
	timer := time.AfterFunc(a.pause, func() { close(due) })
	defer timer.Stop()
	if l.wait(spec.TryAgain, a, a.ctx.Done(), due) {
		return false
	}
	l.point(spec.TryAgain, a)
	l.mu.Lock()
	if l.State() != spec.Starting { // cancelled at this moment
		l.mu.Unlock()
		return false
	}
	bad := a.releaseErrs
	a.op, a.ran, a.retry, a.acquiring = spec.OpOpen, false, false, ""
	a.failedPart, a.releaseErrs = "", nil
	a.stepLocked(StepTryAgain, "", 0, nil)
	l.tookLocked(spec.TryAgain, a)
	l.mu.Unlock()
	for _, err := range bad {
		l.log().Error("surestart: a release failed before another try", "attempt", a.number, "error", err)
	}
	return true
}

// failure returns the StartError of an attempt that failed with err.
func (a *attempt[R]) failure(err error) error {
	if a.tried > 0 {
		err = &triedError{err, a.tried, a.lastTry}
	}
	return &StartError{Attempt: a.number, Part: a.acquiring, Err: err}
}
