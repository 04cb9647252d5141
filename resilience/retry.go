package resilience

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/seed3893aba4/surestart/fsm"
)

// RetryConfig configures a Retry. With the zero value it tries again after every error, for
// as long as the attempt lasts. The first pause is about 0.5 s; each pause is half as long
// again as the one before, up to about a minute.
type RetryConfig struct {
	// Temporary reports whether a try that failed with this error may succeed later. If it
	// returns false, the attempt fails. It is called before each pause. nil means that every
	// error is temporary. The errors of package backoff have precedence: an error wrapped by
	// backoff.Permanent is final; after an error that wraps a *backoff.RetryAfterError the
	// pause is that error's Duration.
	Temporary func(error) bool
	// Tries is the maximum number of tries of an attempt, including the first; with
	// fsm.WithRestart, of restarts in a row. 0 means no limit.
	Tries int
	// Within bounds the time from the failure of the first try to the start of the last try:
	// if a pause would end later, the attempt fails instead. 0 means no limit other than
	// WithStartTimeout and the callers' contexts.
	Within time.Duration
	// Pauses returns the pauses. Its Reset is called before the first pause of each attempt.
	// If NextBackOff returns backoff.Stop, the attempt fails. nil means
	// backoff.NewExponentialBackOff(). A *backoff.ExponentialBackOff is copied; any other
	// BackOff must not be used elsewhere.
	Pauses backoff.BackOff
}

// A Retry is an fsm.Backoff. NewRetry makes one; the methods of a zero or nil Retry panic. Use
// one for each lifecycle: it counts the tries of one attempt at a time. A shared Retry is safe
// for concurrent use, but its pauses and limits then apply to all attempts together.
// fsm.WithRestart also needs a Retry of its own: there a try is a restart, see Restarts.
type Retry struct {
	config RetryConfig

	mu      sync.Mutex
	began   time.Time // when the first try of this attempt failed
	refused int       // how many tries of this attempt a Breaker refused
}

// NewRetry returns a Retry, for fsm.WithRetry, fsm.WithRestart or producer.Config. It panics
// if a field is negative or Pauses cannot work; the panic names the field.
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
		// Without NewExponentialBackOff's values there would be no pauses.
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
		// Jitter may double an interval: the sum must not overflow to a negative one, a Stop.
		own.MaxInterval = min(own.MaxInterval, math.MaxInt64/4)
		own.InitialInterval = min(own.InitialInterval, own.MaxInterval)
		c.Pauses = &own
	}
	return &Retry{config: c}
}

// Next implements fsm.Backoff. A try that a Breaker refused (*OpenError) is not counted. The
// pause after such a try ends with the Breaker's cool-down.
func (r *Retry) Next(try int, err error) (wait time.Duration, again bool) {
	r.mustBeMade()
	return r.next(try, try, err)
}

// Restarts returns the fsm.Backoff that fsm.WithRestart uses instead of r. Its try is the
// number of the next restart, so at most Tries restarts are made in a row. The limits of an
// attempt in RetryConfig apply to all restarts that are counted together.
func (r *Retry) Restarts() fsm.Backoff {
	r.mustBeMade()
	return restarts{r}
}

func (r *Retry) mustBeMade() {
	if r == nil || r.config.Pauses == nil {
		panic("resilience: a zero or nil Retry: make one with NewRetry")
	}
}

type restarts struct{ *Retry }

// Next implements fsm.Backoff.
func (r restarts) Next(try int, err error) (wait time.Duration, again bool) {
	return r.next(try, try-1, err)
}

// next implements both Nexts; made is the number of tries that count against Tries.
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
		c.Pauses.Reset() // as backoff.Retry does: the next failure begins with short pauses again
		wait = after.Duration
	default:
		if wait = c.Pauses.NextBackOff(); wait < 0 { // backoff.Stop
			return 0, false
		}
	}
	return wait, c.Within == 0 || wait <= c.Within-time.Since(r.began) // the sum may overflow
}
