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

// State is what a Breaker does with the next attempt. String returns closed, half-open
// or open.
type State = gobreaker.State

// The states of a Breaker. Closed, as of a circuit: the current flows.
const (
	Closed   = gobreaker.StateClosed   // it lets every attempt through
	HalfOpen = gobreaker.StateHalfOpen // it lets one through, to see whether the trouble is over
	Open     = gobreaker.StateOpen     // it refuses all, until the cool-down is over
)

// BreakerConfig is how a Breaker decides. The zero value opens for a minute after five
// attempts in a row have failed.
type BreakerConfig struct {
	// Failures is how many attempts in a row must fail for it to open. An attempt
	// counts once, however often it was tried again (fsm.WithRetry). 0: 5.
	Failures int
	// CoolDown is how long it then refuses every attempt. 0: a minute.
	CoolDown time.Duration
	// Ignore reports whether an attempt that failed with this error counts neither as a
	// failure nor as a success: an error of which the caller alone is the cause. An
	// attempt that was cancelled does not count anyway, see Breaker. nil: all others count.
	Ignore func(error) bool
	// Changed is told each change of the state, in order, one at a time, outside every
	// lock, by whoever's attempt brought it about, which it holds up. nil: nobody is.
	Changed func(Change)
}

// A Change is what BreakerConfig.Changed is told.
type Change struct {
	From, To State
	Until    time.Time // to Open: when the cool-down is over; else zero
	Err      error     // to Open: what the last attempt failed with; else nil
}

// A Breaker is an fsm.Breaker. Make one with NewBreaker; its methods may be called
// concurrently. Several lifecycles that depend on the same thing may share one: then
// what one of them meets holds for all.
//
// What an attempt came to decides: fsm.Opened is a success, fsm.Failed a failure, whatever
// the error wraps. fsm.Cancelled is neither, except when the last caller left by its
// deadline (context.DeadlineExceeded): a resource slower than every caller's deadline
// counts as down.
type Breaker struct {
	config BreakerConfig
	two    *gobreaker.TwoStepCircuitBreaker[struct{}]

	mu      sync.Mutex
	until   time.Time // the end of the latest cool-down
	last    error     // the latest failure
	untold  []Change
	telling bool // somebody tells Changed
}

// An OpenError is why an attempt was refused: open was not called. errors.As finds it in
// the *fsm.StartError that Start returns.
type OpenError struct {
	// Until is when the cool-down is over: from then on one attempt is let through.
	// Zero: it is over, and the attempt of another lifecycle, with which the Breaker is
	// shared, is under way; how that ends decides.
	Until time.Time
	// Err is what the last attempt failed with.
	Err error
}

// Error says until when attempts are refused, and why.
func (e *OpenError) Error() string {
	if e.Until.IsZero() {
		return fmt.Sprintf("resilience: not tried: another attempt is finding out whether the trouble is over; the last one that failed: %s", oneline.Text(e.Err))
	}
	return fmt.Sprintf("resilience: not tried, until %s; the last attempt failed: %s", e.Until.Format("2006-01-02T15:04:05.000Z07:00"), oneline.Text(e.Err))
}

// Unwrap returns Err.
func (e *OpenError) Unwrap() error { return e.Err }

// NewBreaker returns a Breaker that is closed, for fsm.WithBreaker or producer.Config.
// It panics if a field could not work, and names it.
func NewBreaker(c BreakerConfig) *Breaker {
	if c.Failures < 0 {
		panic(fmt.Sprintf("resilience: BreakerConfig.Failures is %d: want 0 (the default, 5) or more", c.Failures))
	}
	// Nobody's is that short; CoolDown: 10 was meant to be 10 seconds.
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
	b.two = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		// It refuses at the instant that Timeout names, and lets through after it: so
		// at until, which is no earlier, it lets through.
		Timeout:       c.CoolDown - 1,
		ReadyToTrip:   func(n gobreaker.Counts) bool { return int64(n.ConsecutiveFailures) >= int64(c.Failures) },
		IsExcluded:    func(err error) bool { return err == errIgnored },
		OnStateChange: b.changedLocked,
	})
	return b
}

var errIgnored = errors.New("counts neither as a failure nor as a success")

// Allow implements fsm.Breaker. Its error is an *OpenError.
func (b *Breaker) Allow() (done func(fsm.Outcome, error), err error) {
	var told func(error)
	allowed := false
	defer func() {
		if told != nil && !allowed { // Changed panicked: there is no attempt, and nobody to tell how it ends
			b.mu.Lock()
			defer b.mu.Unlock()
			told(errIgnored)
		}
	}()
	b.do(func() {
		if told, err = b.two.Allow(); err == nil {
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
		counts := result // a failure, if Ignore panics: the next attempt must not wait for this one for ever
		defer b.do(func() {
			if counts != nil && counts != errIgnored {
				b.last = counts
			}
			told(counts)
		})
		if outcome != fsm.Opened && b.ignores(outcome, result) {
			counts = errIgnored
		}
	}, nil
}

// ignores reports whether an attempt that came to outcome says nothing about the resource.
func (b *Breaker) ignores(outcome fsm.Outcome, err error) bool {
	if outcome == fsm.Cancelled && !errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	return b.config.Ignore != nil && b.config.Ignore(err)
}

// State returns what it would do with an attempt now: once the cool-down is over,
// HalfOpen. It does not block.
func (b *Breaker) State() (s State) {
	b.do(func() { s = b.two.State() })
	return s
}

// changedLocked is called by gobreaker within its calls, with its lock held.
func (b *Breaker) changedLocked(_ string, from, to State) {
	c := Change{From: from, To: to}
	if to == Open {
		b.until = time.Now().Add(b.config.CoolDown)
		c.Until, c.Err = b.until, b.last
	}
	if b.config.Changed != nil {
		b.untold = append(b.untold, c)
	}
}

// do calls f with the lock held, and then tells what changed, unless somebody does: who
// tells sees to it that the order is kept.
func (b *Breaker) do(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	if b.telling {
		return
	}
	b.telling = true
	defer func() { b.telling = false }()
	for len(b.untold) > 0 {
		c := b.untold[0]
		b.untold = b.untold[1:]
		b.tell(c)
	}
}

// tell lets go of the lock while Changed runs, however that ends.
func (b *Breaker) tell(c Change) {
	b.mu.Unlock()
	defer b.mu.Lock()
	b.config.Changed(c)
}
