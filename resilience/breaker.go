package resilience

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/oneline"
)

// State says what a Breaker does with the next attempt. String returns closed, half-open
// or open.
type State = gobreaker.State

// The states of a Breaker. As in an electric circuit, Closed means that current flows.
const (
	Closed   = gobreaker.StateClosed   // every attempt is allowed
	HalfOpen = gobreaker.StateHalfOpen // one attempt is allowed, as a trial
	Open     = gobreaker.StateOpen     // every attempt is refused until the end of the cool-down
)

// BreakerConfig configures a Breaker. With the zero value it opens for a minute after five
// attempts in a row have failed.
type BreakerConfig struct {
	// Failures is the number of attempts in a row that must fail before the Breaker opens.
	// An attempt counts once, with all its tries (fsm.WithRetry). 0 means 5.
	Failures int
	// CoolDown is how long an open Breaker refuses every attempt. 0 means a minute.
	CoolDown time.Duration
	// Ignore reports whether an attempt that failed with this error counts neither as a
	// failure nor as a success, for example because the caller causes the error. Most
	// cancelled attempts are not counted in any case, see Breaker. nil means that all other
	// attempts are counted.
	Ignore func(error) bool
	// Changed is called for each change of the state: in order, one at a time, outside
	// every lock. It is called in the goroutine of an attempt or of a call of State, which
	// waits for it. nil means that no function is called.
	Changed func(Change)
}

// A Change is a change of a Breaker's state.
type Change struct {
	From, To State
	Until    time.Time // if To is Open, the end of the cool-down; otherwise zero
	Err      error     // if To is Open, the error of the last attempt that failed; otherwise nil
}

// A Breaker is an fsm.Breaker. NewBreaker makes one; the methods of a zero or nil Breaker
// panic. They may be called concurrently. Lifecycles that depend on the same resource may
// share a Breaker: the failures of each count for all.
//
// The outcome of an attempt decides, not the errors that its error wraps: fsm.Opened is a
// success, fsm.Failed a failure. fsm.Cancelled is neither, except when the last caller left
// because its context's deadline passed, whatever the cause of the context is: a resource
// slower than every caller's deadline counts as down.
type Breaker struct {
	config  BreakerConfig
	circuit *gobreaker.TwoStepCircuitBreaker[struct{}]

	mu        sync.Mutex
	until     time.Time // the end of the latest cool-down
	last      error     // the latest failure
	pending   []Change
	notifying bool // a goroutine calls Changed
}

// An OpenError says why an attempt was refused, without a call of open. errors.As finds it
// in the *fsm.StartError that Start returns.
type OpenError struct {
	// Until is the end of the cool-down: from then on one attempt is allowed. Zero means
	// that the cool-down is over, and that an attempt of another lifecycle with the same
	// Breaker is the trial now.
	Until time.Time
	// Err is the error of the last attempt that failed.
	Err error
}

// Error returns until when attempts are refused, and the last failure.
func (e *OpenError) Error() string {
	if e.Until.IsZero() {
		return fmt.Sprintf("resilience: not tried: a trial by another attempt is under way; the last failure: %s", oneline.Text(e.Err))
	}
	return fmt.Sprintf("resilience: not tried, until %s; the last failure: %s", e.Until.Format("2006-01-02T15:04:05.000Z07:00"), oneline.Text(e.Err))
}

// Unwrap returns Err.
func (e *OpenError) Unwrap() error { return e.Err }

// NewBreaker returns a closed Breaker, for fsm.WithBreaker or producer.Config. It panics if a
// field is negative, or if CoolDown is less than a millisecond but not 0.
func NewBreaker(c BreakerConfig) *Breaker {
	if c.Failures < 0 {
		panic(fmt.Sprintf("resilience: BreakerConfig.Failures is %d: want 0 (the default, 5) or more", c.Failures))
	}
	// No real cool-down is that short: CoolDown: 10 probably means 10 seconds.
	if c.CoolDown < 0 || c.CoolDown > 0 && c.CoolDown < time.Millisecond {
		panic(fmt.Sprintf("resilience: BreakerConfig.CoolDown is %v: want 0 (the default, a minute) or at least 1ms, such as 10*time.Second", c.CoolDown))
	}
	if c.Failures == 0 {
		c.Failures = 5
	}
	if c.CoolDown == 0 {
		c.CoolDown = time.Minute
	}
	b := &Breaker{config: c}
	b.circuit = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		// At the exact end of Timeout gobreaker still refuses. A nanosecond less makes it
		// allow an attempt at until.
		Timeout:       c.CoolDown - 1,
		ReadyToTrip:   func(n gobreaker.Counts) bool { return int64(n.ConsecutiveFailures) >= int64(c.Failures) },
		IsExcluded:    func(err error) bool { return err == errIgnored },
		OnStateChange: b.changedLocked,
	})
	return b
}

var errIgnored = errors.New("counts neither as a failure nor as a success")

func (b *Breaker) mustBeMade() {
	if b == nil || b.circuit == nil {
		panic("resilience: a zero or nil Breaker: make one with NewBreaker")
	}
}

// Allow implements fsm.Breaker. Its error is an *OpenError.
func (b *Breaker) Allow() (done func(fsm.Outcome, error), err error) {
	b.mustBeMade()
	var report func(error)
	allowed := false
	defer func() {
		if report != nil && !allowed { // Changed panicked: no attempt follows that would report its end
			b.mu.Lock()
			defer b.mu.Unlock()
			report(errIgnored)
		}
	}()
	b.do(func() {
		if report, err = b.circuit.Allow(); err == nil {
			return
		}
		refused := &OpenError{Err: b.last}
		if errors.Is(err, gobreaker.ErrOpenState) {
			refused.Until = b.until
		}
		err = refused
	})
	if allowed = true; err != nil {
		return nil, err
	}
	return func(outcome fsm.Outcome, result error) {
		counts := result // also if Ignore panics: otherwise the next attempt would wait for this one without end
		defer b.do(func() {
			if counts != nil && counts != errIgnored {
				b.last = counts
			}
			report(counts)
		})
		if outcome != fsm.Opened && b.ignores(outcome, result) {
			counts = errIgnored
		}
	}, nil
}

// ignores reports whether an attempt with this outcome and error is not counted.
func (b *Breaker) ignores(outcome fsm.Outcome, err error) bool {
	if outcome == fsm.Cancelled && !atDeadline(err) {
		return true
	}
	return b.config.Ignore != nil && b.config.Ignore(err)
}

// atDeadline reports whether the last caller of a cancelled attempt left because its
// context's deadline passed. The errors that a cause wraps do not show that: a cause may be
// the error of another operation, as errgroup's is.
func atDeadline(err error) bool {
	if left, ok := err.(*fsm.LeaveError); ok {
		return left.Is(context.DeadlineExceeded)
	}
	return err == context.DeadlineExceeded
}

// State returns the present state, which is HalfOpen after the cool-down. It blocks only
// while it calls BreakerConfig.Changed.
func (b *Breaker) State() (s State) {
	b.mustBeMade()
	b.do(func() { s = b.circuit.State() })
	return s
}

// changedLocked is called by gobreaker, inside its methods, with its lock held.
func (b *Breaker) changedLocked(_ string, from, to State) {
	c := Change{From: from, To: to}
	if to == Open {
		b.until = time.Now().Add(b.config.CoolDown)
		c.Until, c.Err = b.until, b.last
	}
	if b.config.Changed != nil {
		b.pending = append(b.pending, c)
	}
}

// do calls f with the lock held. It then calls Changed with the pending changes, unless
// another goroutine is doing that: only one goroutine at a time, to keep the order.
func (b *Breaker) do(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	if b.notifying {
		return
	}
	b.notifying = true
	defer func() { b.notifying = false }()
	for len(b.pending) > 0 {
		c := b.pending[0]
		b.pending = b.pending[1:]
		b.notify(c)
	}
}

// notify calls Changed without the lock, and locks again however Changed ends.
func (b *Breaker) notify(c Change) {
	b.mu.Unlock()
	defer b.mu.Lock()
	b.config.Changed(c)
}
