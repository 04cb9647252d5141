package resilience

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/seed3893aba4/surestart/fsm"
)

// RetryConfig is how a Retry decides. The zero value tries again whatever the error,
// for as long as the attempt lasts, after pauses of about 0.5 s that grow by half each
// time, to about a minute.
type RetryConfig struct {
	// Temporary tells whether an error may pass by itself; if it says no the attempt
	// fails. It is called before each pause. nil: every error may. Package
	// backoff's words come before it: an error that backoff.Permanent has wrapped is
	// final, one with a *backoff.RetryAfterError in it is tried again, after its Duration.
	Temporary func(error) bool
	// Tries is how many tries an attempt has at most, the first included; with
	// fsm.WithRestart, how many restarts are made in a row. 0: as many as the other
	// limits permit.
	Tries int
	// Within is how long after the failure of the first try the last one may begin: a
	// pause that would end later is not begun, the attempt fails. 0: as long as the
	// attempt lasts, which WithStartTimeout or the callers' contexts bound.
	Within time.Duration
	// Pauses says how long to pause; its Reset is called as each attempt begins to
	// pause, and backoff.Stop from it ends the attempt. nil: what
	// backoff.NewExponentialBackOff returns. A *backoff.ExponentialBackOff is copied,
	// any other must be this Retry's alone.
	Pauses backoff.BackOff
}

// Retry is an fsm.Backoff. Make one with NewRetry for each lifecycle: it counts for one
// attempt at a time. Shared all the same, it is safe, but its pauses and limits are
// those of all the attempts together. fsm.WithRestart takes one of its own, too: there
// a try is a restart, see Restarts.
type Retry struct {
	config RetryConfig

	mu      sync.Mutex
	began   time.Time // the first try of this attempt had failed
	refused int       // tries of this attempt that a Breaker refused
}

// NewRetry returns a Retry, for fsm.WithRetry or producer.Config. It panics if a field
// could not work, and names it.
func NewRetry(c RetryConfig) *Retry {
	refuse := func(field string, value any, want string) {
		panic(fmt.Sprintf("resilience: RetryConfig.%s is %v: want %s", field, value, want))
	}
	if c.Tries < 0 {
		refuse("Tries", c.Tries, "0 (no limit) or more")
	}
	if c.Within < 0 {
		refuse("Within", c.Within, "0 (no limit) or more")
	}
	if v := reflect.ValueOf(c.Pauses); v.Kind() == reflect.Pointer && v.IsNil() {
		refuse("Pauses", fmt.Sprintf("a nil %T", c.Pauses), "a usable one, or plain nil")
	}
	switch p := c.Pauses.(type) {
	case nil:
		c.Pauses = backoff.NewExponentialBackOff()
	case *backoff.ExponentialBackOff:
		own := *p
		// One that was not made by NewExponentialBackOff would never pause.
		switch {
		case own.InitialInterval <= 0:
			refuse("Pauses.InitialInterval", own.InitialInterval, "more than 0, as NewExponentialBackOff sets it")
		case !(own.Multiplier >= 1):
			refuse("Pauses.Multiplier", own.Multiplier, "1 or more, as NewExponentialBackOff sets it")
		case own.MaxInterval < own.InitialInterval:
			refuse("Pauses.MaxInterval", own.MaxInterval, fmt.Sprintf("at least the InitialInterval, %v", own.InitialInterval))
		case !(own.RandomizationFactor >= 0 && own.RandomizationFactor <= 1):
			refuse("Pauses.RandomizationFactor", own.RandomizationFactor, "0 to 1")
		}
		c.Pauses = &own
	}
	return &Retry{config: c}
}

// Next implements fsm.Backoff. What a Breaker refused (*OpenError) was not tried: it
// does not count, and the pause is as long as the Breaker says.
func (r *Retry) Next(try int, err error) (wait time.Duration, again bool) {
	return r.next(try, try, err)
}

// Restarts returns the fsm.Backoff that fsm.WithRestart uses in the place of r. Its try
// is the number of a restart that is yet to be made, so that Tries restarts are made in a
// row, and what is said of an attempt holds for all the restarts that are counted together.
func (r *Retry) Restarts() fsm.Backoff { return restarts{r} }

type restarts struct{ *Retry }

// Next implements fsm.Backoff.
func (r restarts) Next(try int, err error) (wait time.Duration, again bool) {
	return r.next(try, try-1, err)
}

// next is Next: of the tries before this one so many have been made.
func (r *Retry) next(try, made int, err error) (wait time.Duration, again bool) {
	c := &r.config
	var refused *OpenError
	var permanent *backoff.PermanentError
	var after *backoff.RetryAfterError
	switch {
	case errors.As(err, &refused):
	case errors.As(err, &permanent):
		return 0, false
	case errors.As(err, &after):
	case c.Temporary != nil && !c.Temporary(err):
		return 0, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if try == 1 {
		c.Pauses.Reset()
		r.began, r.refused = time.Now(), 0
	}
	switch {
	case refused != nil:
		r.refused++
	case c.Tries > 0 && made-r.refused >= c.Tries:
		return 0, false
	}
	switch {
	case refused != nil && !refused.Until.IsZero():
		wait = max(time.Until(refused.Until), 0)
	case after != nil:
		c.Pauses.Reset() // as backoff.Retry does: what comes next is another trouble
		wait = after.Duration
	default:
		if wait = c.Pauses.NextBackOff(); wait < 0 { // backoff.Stop
			return 0, false
		}
	}
	return wait, c.Within == 0 || time.Since(r.began)+wait <= c.Within
}
