package fsm

import (
	"fmt"
	"time"

	"github.com/seed3893aba4/surestart/spec"
)

// Backoff decides whether an attempt to start that has failed is made again, and
// when. Package resilience makes one of github.com/cenkalti/backoff.
type Backoff interface {
	// Next is called after each try that failed, in the attempt's own goroutine,
	// one call at a time: try counts the tries of this attempt, from 1, and err is
	// what open returned. It returns how long to pause before the next try (less
	// than zero is zero), or false to let the attempt fail with err. If the attempt
	// has been cancelled meanwhile the answer is not used. If Next
	// panics, or calls runtime.Goexit, the attempt fails with err; a panic is logged.
	Next(try int, err error) (wait time.Duration, again bool)
}

// WithRetry makes an attempt try again, inside itself, when open returns an error
// and b says so: the state remains Starting, whoever waits goes on waiting, and
// others may join. What a try holds is given back, in reverse, before the pause
// (G4); the next try has a context of its own, with the values of the first.
// Neither a Stop, a Shutdown, the start timeout (which bounds the attempt, with
// all its tries), nor the leaving of the last caller waits for a pause to end (G6,
// G8). A release that fails while a try is given back is logged, and does not
// keep the next try from being made. What open has panicked with is not tried
// again. A nil b panics.
func WithRetry(b Backoff) Option {
	if b == nil {
		panic("fsm: WithRetry(nil): want a Backoff")
	}
	return func(c *config) { c.backoff = b }
}

// Breaker lets attempts to start through, or refuses them for a while after many
// have failed. github.com/sony/gobreaker's TwoStepCircuitBreaker is one; package
// resilience makes one that says until when it refuses.
type Breaker interface {
	// Allow is called once as each attempt begins, in the attempt's own goroutine, before
	// open. With an error the attempt fails, with that error in its StartError, and open
	// is not called. Otherwise done, unless it is nil, is called once: in the same
	// goroutine, outside every lock, after the outcome of the attempt is decided and
	// open has returned, before any Start returns the attempt's failure, and before
	// Allow is called again. What decides is what ended the attempt, not what open's
	// error wraps. A done that panics is logged; one that blocks holds up its attempt's
	// rollback or, if that opened the resource, the end of its release.
	Allow() (done func(Outcome, error), err error)
}

// Outcome is what an attempt to start came to, as a Breaker's done gets it.
type Outcome uint8

const (
	// Opened: the resource is open. The error is nil.
	Opened Outcome = iota + 1
	// Failed: open returned an error or panicked, the start timeout passed, or a
	// failure was reported before open had returned. The error says which.
	Failed
	// Cancelled: a Stop or Shutdown took effect, or the last caller left, before the
	// resource was open. The error is ErrStopped, ErrClosed, or the cause of that
	// caller's context.
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

// WithBreaker makes each attempt ask b first. As there is one attempt at a time
// (G1), the attempt that b lets through to see whether the trouble is over is the
// only one: whoever else calls Start joins it. Stop and Shutdown do not ask. A nil
// b panics.
func WithBreaker(b Breaker) Option {
	if b == nil {
		panic("fsm: WithBreaker(nil): want a Breaker")
	}
	return func(c *config) { c.breaker = b }
}

// try calls open, if the Breaker allows it, and asks the Backoff about its error.
func (a *attempt[R]) try() (err error) {
	l := a.l
	if l.breaker != nil && a.tried == 0 {
		done, err := l.breaker.Allow()
		if err != nil {
			return err
		}
		if done != nil {
			a.done, a.returned = done, make(chan struct{})
		}
	}
	a.resource, err = l.open(a.ctx, &Scope{a, a.tried})
	a.unasked = l.backoff != nil
	return err
}

// consider returns what the try ended with, and asks the Backoff about it, once. A
// failure that was reported before open returned counts, whatever open returned.
func (l *Lifecycle[R]) consider(a *attempt[R], err error) error {
	if !a.unasked { // open panicked or exited, or the Backoff did
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
	a.unasked = false
	failed := contain(func() error {
		a.pause, a.again = l.backoff.Next(a.tried+1, err)
		return nil
	})
	if failed != nil {
		l.log().Error("surestart: the backoff panicked", "attempt", a.number, "error", failed)
	}
	return err
}

// report calls the Breaker's done if the outcome is decided. It may end the goroutine.
func (a *attempt[R]) report() {
	done := a.done
	if done == nil || a.outcome == 0 {
		return
	}
	a.done = nil
	defer close(a.returned)
	var why error
	if a.outcome != Opened {
		why = a.reason
	}
	if err := contain(func() error { done(a.outcome, why); return nil }); err != nil {
		a.l.log().Error("surestart: the breaker panicked", "attempt", a.number, "error", err)
	}
}

// retryLocked ends a try that is to be made again: what it holds is released next.
func (a *attempt[R]) retryLocked(err error) {
	a.stepLocked(StepRetry, a.acquiring, 0, err)
	a.l.cause = a.failure(err)
	a.cancel(err)
	a.reported = nil
	a.tried++ // from here on its Scope is of no effect
	a.lastTry = err
	a.openContextLocked() // the next one's: it ends if the attempt is cancelled before
}

// tryAgain waits until the next try is due. It returns false if the attempt was
// cancelled.
func (l *Lifecycle[R]) tryAgain(a *attempt[R]) bool {
	if !a.again {
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
	bad := a.badErrs
	a.op, a.ran, a.again, a.acquiring = spec.OpOpen, false, false, ""
	a.badPart, a.badErrs = "", nil
	a.stepLocked(StepTryAgain, "", 0, nil)
	l.tookLocked(spec.TryAgain, a)
	l.mu.Unlock()
	for _, err := range bad {
		l.log().Error("surestart: a release failed before another try", "attempt", a.number, "error", err)
	}
	return true
}

// failure is the error of the attempt that failed because of err.
func (a *attempt[R]) failure(err error) error {
	if a.tried > 0 {
		err = &triedError{err, a.tried, a.lastTry}
	}
	return &StartError{Attempt: a.number, Part: a.acquiring, Err: err}
}
