package fsm

import (
	"context"
	"time"

	"github.com/seed3893aba4/surestart/spec"
)

// WithRestart makes a lifecycle supervise its resource: one that died while it
// ran (Scope.Fail, Lease.Fail) is started again once it has been released. b says
// when: its try counts the restarts, from 1, since the last Stop or since the
// resource last ran for a minute, and its err is why it died, or why the restart
// before failed. That goes on until the resource runs, until a Stop, Shutdown or
// Close takes effect (of an idle lifecycle too), or until b gives up: that is
// logged, and Status keeps the cause (G14). A Start does not wait for a restart that
// is due: it starts at once.
//
// Whoever restarts is a caller like any other (tla/Supervisor.tla): it calls Start,
// joins what others have begun, and while it waits an attempt is not abandoned
// (G6). A Stop calls it off in the instant in which it takes effect: nothing that
// began before it is opened after it (G8). While a restart is due there is a timer
// and no goroutine (G7). An attempt that somebody else's Start began and that
// fails is not made again for its sake; with WithRetry it is. The attempt's context
// has the values of the one that died. If b.Next panics, it has given up. A nil b
// panics.
func WithRestart(b Backoff) Option {
	if b == nil {
		panic("fsm: WithRestart(nil): want a Backoff")
	}
	return func(c *config) { c.restart = b }
}

// A supervisor starts the resource again. All is under l.mu.
type supervisor struct {
	due     bool        // a restart is to be made
	at      time.Time   // when, once that is known
	timer   *time.Timer // until then; nil: none
	asking  bool        // the Backoff is being asked
	another bool        // and there was another death since
	calling bool        // its Start is under way
	off     bool        // and was called off

	tries  int             // see WithRestart
	opened time.Time       // when the resource was, last
	values context.Context // of the attempt that died
}

// steady is how long a resource has to run for its restarts to be counted anew.
const steady = time.Minute

// diedLocked: the running resource of an attempt with these values has died.
func (s *supervisor) diedLocked(values context.Context) {
	if s == nil {
		return
	}
	s.due, s.another, s.values = true, true, values
	if time.Since(s.opened) >= steady {
		s.tries = 0
	}
}

// openedLocked: it is open, whoever opened it.
func (s *supervisor) openedLocked() {
	if s == nil {
		return
	}
	s.cancelLocked()
	s.opened = time.Now()
}

// stopLocked: a Stop or Shutdown takes effect.
func (s *supervisor) stopLocked() {
	if s == nil {
		return
	}
	s.cancelLocked()
	s.tries, s.off = 0, true
}

func (s *supervisor) cancelLocked() {
	s.due, s.at = false, time.Time{}
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// supervise sees to the restart that is due, if one is.
func (l *Lifecycle[R]) supervise() {
	if l.supervisor != nil {
		l.mu.Lock()
		l.superviseLocked()
	}
}

// superviseLocked asks the Backoff when to make the restart that is due, if the
// lifecycle is idle and nobody sees to it already. It lets go of the lock.
func (l *Lifecycle[R]) superviseLocked() {
	s := l.supervisor
	if !s.due || s.asking || s.timer != nil || s.calling || l.State() != spec.Idle {
		l.mu.Unlock()
		return
	}
	s.asking, s.another = true, false
	s.tries++
	try, cause := s.tries, l.cause
	l.mu.Unlock()

	var wait time.Duration
	again := false
	defer func() { // whatever Next did
		l.mu.Lock()
		s.asking = false
		gaveUp := false
		switch {
		case !s.due || s.another:
		case again:
			l.scheduleLocked(wait)
		default:
			gaveUp = true
			s.cancelLocked()
		}
		l.superviseLocked() // another death has its own answer
		if gaveUp {
			l.log().Error("surestart: a resource that died is not started again any more", "restarts", try-1, "error", cause)
		}
	}()
	err := contain(func() error {
		wait, again = l.restart.Next(try, cause)
		return nil
	})
	if err != nil {
		l.log().Error("surestart: the backoff of the restarts panicked", "error", err)
	}
}

func (l *Lifecycle[R]) scheduleLocked(wait time.Duration) {
	s := l.supervisor
	s.at = time.Now().Add(wait)
	var timer *time.Timer
	timer = time.AfterFunc(wait, func() { l.startAgain(&timer) })
	s.timer = timer
}

// startAgain is what the timer runs: a Start.
func (l *Lifecycle[R]) startAgain(timer **time.Timer) {
	s := l.supervisor
	a := l.enterAgain(timer)
	if a == nil {
		return
	}
	err := l.await(context.Background(), a) // it does not leave

	l.mu.Lock()
	s.calling = false
	_, failed := err.(*StartError)
	s.due = s.due || failed && !s.off && l.State() != spec.Started
	l.superviseLocked()
}

// enterAgain returns the attempt that the restart is to wait for, nil if it was called
// off at this moment. That must not be read before, as other callers' contexts are, or
// a Stop could come between (WeakMayGoOn). From here on a Stop answers it as it does
// any Start.
func (l *Lifecycle[R]) enterAgain(timer **time.Timer) *attempt[R] {
	s := l.supervisor
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.timer != *timer {
		return nil
	}
	s.cancelLocked()
	s.calling, s.off = true, false
	return l.joinLocked(s.values) // were it started or closed, the timer would have been called off
}
