package fsm

import (
	"context"
	"time"

	"github.com/seed3893aba4/surestart/spec"
)

// WithRestart makes a lifecycle supervise its resource: one that died while it ran
// (Scope.Fail, Lease.Fail) is started again once it has been released. b says when:
// its try is the number of the restart, from 1, counted since the last Stop, since b
// last gave up, or since the resource last ran for a minute; its err is why the
// resource died, or why the restart before failed. If b has a method
// Restarts() Backoff, as resilience.Retry has, what that returns is asked instead.
// Restarts are made until one opens the resource, until a Stop, Shutdown or Close
// takes effect (of an idle lifecycle too), or until b gives up: that is logged, and
// Status keeps the cause (G14).
//
// From the death on, a Start waits for the restart: it joins that attempt and gets
// its outcome, or leaves when its own context ends. So callers that Start and Use in
// a loop do not defeat the backoff. A Stop answers it ErrStopped, a Shutdown
// ErrClosed (G8); a Start after a Stop opens at once. If b gives up while Starts
// wait, an attempt begins for them, as it does for the next Start.
//
// A restart is not abandoned when the callers that joined it leave (G6). While a
// restart is due there is a timer and no goroutine (G7). The attempt's context has the
// values of the attempt that died. An attempt that a Start began and that fails is not
// made again; with WithRetry it is. If b.Next panics, b has given up. A nil b panics.
func WithRestart(b Backoff) Option {
	if b == nil {
		panic("fsm: WithRestart(nil): want a Backoff")
	}
	if r, ok := b.(interface{ Restarts() Backoff }); ok {
		if b = r.Restarts(); b == nil {
			panic("fsm: WithRestart: the Backoff's method Restarts returned nil: want a Backoff")
		}
	}
	return func(c *config) { c.restart = b }
}

// A supervisor starts the resource again. All is under l.mu.
type supervisor struct {
	due      bool            // a restart is to be made: Starts wait for it
	restarts int             // made in a row, see WithRestart
	opened   time.Time       // when the resource was, last
	values   context.Context // of the attempt that died; nil unless a restart is due

	asking  bool        // the Backoff is being asked when
	renewed bool        // what is due is no longer what it was asked about
	at      time.Time   // when the restart begins, once that is known
	timer   *time.Timer // until then; nil: none
}

// steady is how long a resource has to run for its restarts to be counted anew.
const steady = time.Minute

// isDueLocked reports whether Starts wait for a restart.
func (s *supervisor) isDueLocked() bool { return s != nil && s.due }

// diedLocked: the running resource of an attempt with these values has died.
func (s *supervisor) diedLocked(values context.Context) {
	if s == nil {
		return
	}
	s.dueLocked(values)
	if time.Since(s.opened) >= steady {
		s.restarts = 0
	}
}

// dueLocked: a restart is to be made, with these values.
func (s *supervisor) dueLocked(values context.Context) {
	s.due, s.renewed, s.values = true, true, values
}

// openedLocked: a restart, or an attempt of a Start, has opened the resource.
func (s *supervisor) openedLocked() {
	if s != nil {
		s.opened = time.Now()
	}
}

// stopLocked: a Stop or Shutdown takes effect, or the Backoff gives up.
func (s *supervisor) stopLocked() {
	if s == nil {
		return
	}
	s.settleLocked()
	s.restarts = 0
}

// settleLocked: nothing is due any more.
func (s *supervisor) settleLocked() {
	s.due, s.at, s.values = false, time.Time{}, nil
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
// lifecycle is idle and that is not known or being asked already. It lets go of the
// lock.
func (l *Lifecycle[R]) superviseLocked() {
	s := l.supervisor
	if !s.due || s.asking || s.timer != nil || l.State() != spec.Idle {
		l.mu.Unlock()
		return
	}
	s.asking, s.renewed = true, false
	try, cause := s.restarts+1, l.cause
	l.mu.Unlock()

	var wait time.Duration
	again := false
	defer func() { // whatever Next did
		l.mu.Lock()
		s.asking = false
		gaveUp := false
		switch {
		case !s.due || s.renewed: // a Stop, and perhaps another death since
		case again:
			l.scheduleLocked(wait)
		default:
			gaveUp = true
			l.overLocked(cause)
			l.giveUpLocked()
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

// startAgain is what the timer runs: the restart begins, unless it was called off at
// this moment.
func (l *Lifecycle[R]) startAgain(timer **time.Timer) {
	s := l.supervisor
	l.point(spec.Restart, nil)
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.timer != *timer {
		return
	}
	a := l.queued
	if a == nil {
		a = l.newAttempt(s.values, nil)
	}
	a.values, a.outer, a.restart = s.values, nil, true
	s.settleLocked()
	s.restarts++
	l.beginNextLocked(a)
	l.tookLocked(spec.Restart, a)
}

// giveUpLocked: nothing is started again. Those who wait for it get an attempt of
// their own, as the next Start would (G12).
func (l *Lifecycle[R]) giveUpLocked() {
	l.supervisor.stopLocked()
	a := l.queued
	if a != nil {
		l.beginNextLocked(a)
	}
	l.tookLocked(spec.GivesUp, a)
}

// beginNextLocked begins an attempt for those who wait for it, in a goroutine of its own.
func (l *Lifecycle[R]) beginNextLocked(a *attempt[R]) {
	l.queued = nil
	l.beginLocked(a)
	l.spawn(func() { l.operate(a) })
}
