package fsm

import (
	"context"
	"time"

	"github.com/seed3893aba4/surestart/spec"
)

// WithRestart makes a lifecycle supervise its resource: a resource that dies while it is
// open (Scope.Fail, Lease.Fail) is started again after its release. A restart that fails is
// followed by another. Restarts end when one opens the resource, when a Stop, Shutdown or
// Close takes effect, also while Idle, or when b gives up. If b gives up, one line is
// logged, and Status keeps the cause (G14).
//
// b.Next returns the pause before each restart. Its try is the number of the restart, from
// 1, counted since the last Stop, since b last gave up, or since the resource last ran for
// a minute. Its err is the cause of death, or the error of the previous restart. If b has a
// method Restarts() Backoff, as resilience.Retry has, its result replaces b. If b.Next
// panics, b has given up. A nil b panics.
//
// From the death on, a Start waits for the restart: it joins that attempt and gets its
// outcome, or leaves when its own context ends. So callers that Start and Use in a loop do
// not defeat the backoff. If a Stop takes effect, the waiting Start returns ErrStopped;
// after a Shutdown it returns ErrClosed (G8). A later Start after a Stop opens at once. If b
// gives up while Starts wait, an attempt starts for them at once.
//
// A restart continues when the callers that joined it leave (G6). While a restart is due,
// a timer waits, not a goroutine (G7). The context of the restart has the values of the
// attempt that died. If an attempt of a Start fails, WithRestart does not repeat it;
// WithRetry does.
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

// A supervisor makes the restarts. Its fields are under l.mu.
type supervisor struct {
	due      bool            // a restart is due: Starts wait for it
	restarts int             // how many were made in a row, see WithRestart
	opened   time.Time       // when the resource was last opened
	values   context.Context // of the attempt that died; nil unless a restart is due

	awaitingDelay bool        // Next of the Backoff is running
	diedAgain     bool        // another restart has become due since that call of Next
	restartAt     time.Time   // when the restart starts; zero: not known
	timer         *time.Timer // starts the restart; nil: none
}

// steady is how long a resource has to run before its restarts are counted from 1 again.
const steady = time.Minute

// isDueLocked reports whether Starts wait for a restart.
func (s *supervisor) isDueLocked() bool { return s != nil && s.due }

// diedLocked makes a restart due: the open resource of an attempt with these values has died.
func (s *supervisor) diedLocked(values context.Context) {
	if s == nil {
		return
	}
	s.dueLocked(values)
	if time.Since(s.opened) >= steady {
		s.restarts = 0
	}
}

// dueLocked makes a restart with these values due.
func (s *supervisor) dueLocked(values context.Context) {
	s.due, s.diedAgain, s.values = true, true, values
}

// openedLocked records that an attempt has opened the resource.
func (s *supervisor) openedLocked() {
	if s != nil {
		s.opened = time.Now()
	}
}

// stopLocked ends the restarts, because a Stop or Shutdown takes effect or the Backoff gives up.
func (s *supervisor) stopLocked() {
	if s == nil {
		return
	}
	s.clearDueLocked()
	s.restarts = 0
}

// clearDueLocked makes no restart due, and stops the timer.
func (s *supervisor) clearDueLocked() {
	s.due, s.restartAt, s.values = false, time.Time{}, nil
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// supervise schedules the restart that is due, if one is.
func (l *Lifecycle[R]) supervise() {
	if l.supervisor != nil {
		l.mu.Lock()
		l.superviseLocked()
	}
}

// superviseLocked calls Next of the Backoff for the restart that is due, and sets the
// timer. It does nothing if Next is running, a timer is set, or the lifecycle is not Idle. It
// unlocks l.mu.
func (l *Lifecycle[R]) superviseLocked() {
	s := l.supervisor
	if !s.due || s.awaitingDelay || s.timer != nil || l.State() != spec.Idle {
		l.mu.Unlock()
		return
	}
	s.awaitingDelay, s.diedAgain = true, false
	try, cause := s.restarts+1, l.cause
	l.mu.Unlock()

	var wait time.Duration
	again := false
	defer func() { // also after a panic or runtime.Goexit of Next
		l.mu.Lock()
		s.awaitingDelay = false
		gaveUp := false
		switch {
		case !s.due || s.diedAgain: // a Stop, and perhaps another death, happened meanwhile
		case again:
			l.scheduleLocked(wait)
		default:
			gaveUp = true
			l.stepGaveUpLocked(cause)
			l.endRunsLocked(cause)
			l.giveUpLocked()
		}
		l.superviseLocked() // after another death Next is called again
		if gaveUp {
			l.log().Error("surestart: the backoff gave up; the dead resource is not restarted", "restarts", try-1, "error", cause)
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
	s.restartAt = time.Now().Add(wait)
	var timer *time.Timer
	timer = time.AfterFunc(wait, func() { l.startAgain(&timer) })
	s.timer = timer
}

// startAgain is called by the timer. It starts the restart, unless that has just been
// cancelled.
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
	s.clearDueLocked()
	s.restarts++
	l.beginNextLocked(a)
	l.tookLocked(spec.Restart, a)
}

// giveUpLocked ends the restarts. If Starts wait, it starts an attempt for them, as the next
// Start would (G12).
func (l *Lifecycle[R]) giveUpLocked() {
	l.supervisor.stopLocked()
	a := l.queued
	if a != nil {
		l.beginNextLocked(a)
	}
	l.tookLocked(spec.GivesUp, a)
}

// beginNextLocked starts an attempt, and its operation in a goroutine of its own.
func (l *Lifecycle[R]) beginNextLocked(a *attempt[R]) {
	l.queued = nil
	l.beginLocked(a)
	l.spawn(func() { l.operate(a) })
}
