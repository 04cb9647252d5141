package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/resilience"
)

var (
	bg       = context.Background()
	errBoom  = errors.New("boom")
	errWrong = errors.New("wrong password")
)

// A service is what a lifecycle opens, with a connection that it must not keep twice.
type service struct {
	t      *testing.T
	fails  func(try int) error // the try counts all that there ever were, from 1
	takes  time.Duration
	tries  int
	held   int
	opened []time.Duration // when, since began
	began  time.Time
}

func newService(t *testing.T, fails func(try int) error) *service {
	return &service{t: t, fails: fails, began: time.Now()}
}

func (s *service) open(ctx context.Context, scope *fsm.Scope) (*service, error) {
	s.tries++
	s.opened = append(s.opened, time.Since(s.began))
	scope.Part("connection")
	if s.held++; s.held != 1 {
		s.t.Errorf("G4 Rollback is broken: try %d opens while %d connections are held", s.tries, s.held-1)
	}
	scope.Defer("connection", func(context.Context) error { s.held--; return nil })
	scope.Part("greeting")
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return s, s.fails(s.tries)
}

// times makes n tries fail with err.
func times(n int, err error) func(int) error {
	return func(try int) error {
		if try <= n {
			return err
		}
		return nil
	}
}

func always(err error) func(int) error { return times(math.MaxInt, err) }

// Pauses without jitter, so that a test can say when.
func steady() *backoff.ExponentialBackOff {
	p := backoff.NewExponentialBackOff()
	p.RandomizationFactor = 0
	return p
}

func seconds(all ...float64) (ds []time.Duration) {
	for _, s := range all {
		ds = append(ds, time.Duration(s*float64(time.Second)))
	}
	return ds
}

func mustBe(t *testing.T, what string, err error, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: %v; want %v", what, err, target)
	}
}

func bubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// When the tries are made, and when no more is.
func TestRetry(t *testing.T) {
	temporary := func(err error) bool { return !errors.Is(err, errWrong) }
	inAnAge := &backoff.RetryAfterError{Duration: math.MaxInt64}
	for name, c := range map[string]struct {
		config resilience.RetryConfig
		fails  func(int) error
		want   []time.Duration
		err    error
	}{
		"until it comes up":   {resilience.RetryConfig{Pauses: steady()}, times(4, errBoom), seconds(0, .5, 1.25, 2.375, 4.0625), nil},
		"tries":               {resilience.RetryConfig{Pauses: steady(), Tries: 3}, always(errBoom), seconds(0, .5, 1.25), errBoom},
		"one try":             {resilience.RetryConfig{Pauses: steady(), Tries: 1}, always(errBoom), seconds(0), errBoom},
		"within":              {resilience.RetryConfig{Pauses: steady(), Within: 2375 * time.Millisecond}, always(errBoom), seconds(0, .5, 1.25, 2.375), errBoom},
		"within, just not":    {resilience.RetryConfig{Pauses: steady(), Within: 2374 * time.Millisecond}, always(errBoom), seconds(0, .5, 1.25), errBoom},
		"final":               {resilience.RetryConfig{Pauses: steady(), Temporary: temporary}, always(fmt.Errorf("log in: %w", errWrong)), seconds(0), errWrong},
		"temporary":           {resilience.RetryConfig{Pauses: steady(), Temporary: temporary}, times(1, syscall.ECONNREFUSED), seconds(0, .5), nil},
		"permanent":           {resilience.RetryConfig{Pauses: steady()}, always(fmt.Errorf("log in: %w", backoff.Permanent(errWrong))), seconds(0), errWrong},
		"later final":         {resilience.RetryConfig{Pauses: steady(), Temporary: temporary}, then(errBoom, errBoom, errWrong), seconds(0, .5, 1.25), errWrong},
		"retry after":         {resilience.RetryConfig{Pauses: steady()}, then(errBoom, errBoom, busy(7), errBoom, nil), seconds(0, .5, 1.25, 8.25, 8.75), nil},
		"retry after, though": {resilience.RetryConfig{Temporary: func(error) bool { return false }}, then(busy(7), nil), seconds(0, 7), nil},
		"retry after, at once": {resilience.RetryConfig{Temporary: func(error) bool { return false }},
			then(&backoff.RetryAfterError{Duration: -time.Hour}, nil), seconds(0, 0), nil},
		"retry after too late": {resilience.RetryConfig{Within: 6 * time.Second}, always(busy(7)), seconds(0), busy(7)},
		"retry after an age":   {resilience.RetryConfig{Within: 6 * time.Second}, always(inAnAge), seconds(0), inAnAge},
		"permanent busy":       {resilience.RetryConfig{}, always(backoff.Permanent(busy(7))), seconds(0), busy(7)},
		"constant":             {resilience.RetryConfig{Pauses: backoff.NewConstantBackOff(time.Hour), Tries: 3}, always(errBoom), seconds(0, 3600, 7200), errBoom},
		"none":                 {resilience.RetryConfig{Pauses: new(backoff.StopBackOff)}, always(errBoom), seconds(0), errBoom},
		"a maximum": {resilience.RetryConfig{Pauses: &backoff.ExponentialBackOff{InitialInterval: time.Second, Multiplier: 3, MaxInterval: 5 * time.Second}},
			times(4, errBoom), seconds(0, 1, 4, 9, 14), nil},
	} {
		bubble(t, name, func(t *testing.T) {
			s := newService(t, c.fails)
			l := fsm.New(s.open, fsm.WithRetry(resilience.NewRetry(c.config)))
			err := l.Start(bg)
			if c.err == nil && err != nil || c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("Start: %v; want %v", err, c.err)
			}
			if !slices.Equal(s.opened, c.want) {
				t.Errorf("tried at %v; want %v", s.opened, c.want)
			}
			if err := l.Close(); err != nil || s.held != 0 {
				t.Errorf("Close: %v, %d held", err, s.held)
			}
		})
	}
}

// then makes the tries fail one after the other with the errors.
func then(errs ...error) func(int) error {
	return func(try int) error { return errs[min(try, len(errs))-1] }
}

// busy is the same error each time.
func busy(seconds int) error { return busyErrors[seconds] }

var busyErrors = map[int]error{7: backoff.RetryAfter(7)}

// Each attempt begins anew: its pauses, its tries, its time.
func TestRetryIsResetForEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, always(errBoom))
		l := fsm.New(s.open, fsm.WithRetry(resilience.NewRetry(resilience.RetryConfig{Pauses: steady(), Tries: 4, Within: 3 * time.Second})))
		for range 3 {
			s.opened, s.began = nil, time.Now()
			mustBe(t, "Start", l.Start(bg), errBoom)
			if want := seconds(0, .5, 1.25, 2.375); !slices.Equal(s.opened, want) {
				t.Errorf("tried at %v; want %v", s.opened, want)
			}
			time.Sleep(time.Hour)
		}
	})
}

// The default pauses are those of the library: they grow, and no two producers make the
// same.
func TestRetryJitter(t *testing.T) {
	r, seen := resilience.NewRetry(resilience.RetryConfig{}), make(map[time.Duration]bool)
	for range 100 {
		interval := backoff.DefaultInitialInterval
		for try := 1; try <= 20; try++ {
			wait, again := r.Next(try, errBoom)
			if low, high := interval/2, interval*3/2+1; !again || wait < low || wait > high {
				t.Fatalf("after try %d: %v, %t; want %v to %v", try, wait, again, low, high)
			}
			seen[wait] = true
			interval = min(interval*3/2, backoff.DefaultMaxInterval)
		}
	}
	if len(seen) < 1900 {
		t.Errorf("%d of 2000 pauses are different", len(seen))
	}
}

// The longest interval with jitter is a pause, too, and not a negative number, which would end
// the attempt.
func TestRetryLongestInterval(t *testing.T) {
	p := backoff.NewExponentialBackOff()
	p.InitialInterval, p.MaxInterval, p.RandomizationFactor = math.MaxInt64, math.MaxInt64, 1
	r := resilience.NewRetry(resilience.RetryConfig{Pauses: p})
	for try := range 100 {
		if wait, again := r.Next(try+1, errBoom); wait < 0 || !again {
			t.Fatalf("try %d: %v, %t", try+1, wait, again)
		}
	}
}

// An attempt ends at once, also during a pause. The next one is not affected.
func TestRetryPauseIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, always(errBoom))
		l := fsm.New(s.open, fsm.WithStartTimeout(time.Minute),
			fsm.WithRetry(resilience.NewRetry(resilience.RetryConfig{Pauses: backoff.NewConstantBackOff(time.Hour)})))
		result := make(chan error, 1)
		begin := func(ctx context.Context) {
			go func() { result <- l.Start(ctx) }()
			synctest.Wait()
			if len(result) > 0 {
				t.Fatalf("Start does not wait for the pause: %v", <-result)
			}
		}
		ctx, leave := context.WithCancel(bg)
		began := time.Now()
		begin(ctx)
		leave()
		mustBe(t, "Start of the last who left", <-result, context.Canceled)
		begin(bg)
		if err := l.Stop(bg); err != nil {
			t.Error(err)
		}
		mustBe(t, "Start", <-result, fsm.ErrStopped)
		if took := time.Since(began); took != 0 {
			t.Errorf("two cancelled pauses took %v", took)
		}
		begin(bg)
		err := <-result
		mustBe(t, "Start", err, context.DeadlineExceeded)
		mustBe(t, "Start", err, errBoom)
		if took := time.Since(began); took != time.Minute {
			t.Errorf("the start timeout came after %v", took)
		}
		begin(bg)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		mustBe(t, "Start", <-result, fsm.ErrClosed)
		if s.tries != 4 || s.held != 0 {
			t.Errorf("%d tries, %d held", s.tries, s.held)
		}
	})
}

// What could not work is refused, and the panic says what would.
func TestNewRetryRefuses(t *testing.T) {
	var none *backoff.ExponentialBackOff
	spoilt := func(spoil func(*backoff.ExponentialBackOff)) resilience.RetryConfig {
		p := backoff.NewExponentialBackOff()
		spoil(p)
		return resilience.RetryConfig{Pauses: p}
	}
	for name, bad := range map[string][]resilience.RetryConfig{
		"Tries":                  {{Tries: -1}},
		"Within":                 {{Within: -1}},
		"Pauses":                 {{Pauses: none}, {Pauses: (*backoff.ConstantBackOff)(nil)}},
		"Pauses.InitialInterval": {{Pauses: new(backoff.ExponentialBackOff)}, spoilt(func(p *backoff.ExponentialBackOff) { p.InitialInterval = -1 })},
		"Pauses.Multiplier":      {spoilt(func(p *backoff.ExponentialBackOff) { p.Multiplier = .9 }), spoilt(func(p *backoff.ExponentialBackOff) { p.Multiplier = math.NaN() })},
		"Pauses.MaxInterval":     {spoilt(func(p *backoff.ExponentialBackOff) { p.MaxInterval = 499 * time.Millisecond })},
		"Pauses.RandomizationFactor": {spoilt(func(p *backoff.ExponentialBackOff) { p.RandomizationFactor = 1.1 }),
			spoilt(func(p *backoff.ExponentialBackOff) { p.RandomizationFactor = -.1 }),
			spoilt(func(p *backoff.ExponentialBackOff) { p.RandomizationFactor = math.NaN() })},
	} {
		for _, c := range bad {
			refused(t, "resilience: RetryConfig."+name+" is ", func() { resilience.NewRetry(c) })
		}
	}
	p := steady()
	r := resilience.NewRetry(resilience.RetryConfig{Pauses: p})
	p.InitialInterval = time.Hour
	if wait, again := r.Next(1, errBoom); wait != 500*time.Millisecond || !again {
		t.Errorf("a change of what Pauses points at changes a Retry: %v, %t", wait, again)
	}
}

func refused(t *testing.T, begins string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if text := fmt.Sprint(recover()); !strings.HasPrefix(text, begins) || !strings.Contains(text, ": want ") {
			t.Errorf("the panic says %q; want %q..., and what would be right", text, begins)
		}
	}()
	f()
}

// What was not made says so.
func TestZeroAndNilPanicWithASentence(t *testing.T) {
	for name, call := range map[string]func(){
		"zero Retry":              func() { new(resilience.Retry).Next(1, errBoom) },
		"nil Retry":               func() { (*resilience.Retry)(nil).Next(1, errBoom) },
		"zero Retry for restarts": func() { fsm.WithRestart(new(resilience.Retry)) },
		"nil Retry for restarts":  func() { fsm.WithRestart((*resilience.Retry)(nil)) },
		"zero Breaker":            func() { new(resilience.Breaker).Allow() },
		"nil Breaker":             func() { (*resilience.Breaker)(nil).Allow() },
		"State of a zero Breaker": func() { new(resilience.Breaker).State() },
	} {
		func() {
			defer func() {
				if said := fmt.Sprint(recover()); !strings.Contains(said, "make one with New") {
					t.Errorf("%s: %s", name, said)
				}
			}()
			call()
		}()
	}
}
