package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/resilience"
)

// A lab is a service, a breaker, and the changes that it reported.
type lab struct {
	*service
	*fsm.Lifecycle[*service]
	breaker *resilience.Breaker
	changes []string
}

func newLab(t *testing.T, c resilience.BreakerConfig, fails func(int) error, opts ...fsm.Option) *lab {
	l := &lab{service: newService(t, fails)}
	c.Changed = func(c resilience.Change) {
		line := fmt.Sprintf("%v %s to %s", time.Since(l.began), c.From, c.To)
		if c.To == resilience.Open {
			line += fmt.Sprintf(" until %v: %v", c.Until.Sub(l.began), c.Err)
		}
		l.changes = append(l.changes, line)
		l.breaker.State() // it may ask
	}
	l.breaker = resilience.NewBreaker(c)
	l.Lifecycle = fsm.New(l.open, append(opts, fsm.WithBreaker(l.breaker))...)
	return l
}

// fails makes n starts fail with err.
func (l *lab) mustFail(n int, err error) {
	l.t.Helper()
	for range n {
		mustBe(l.t, "Start", l.Start(bg), err)
	}
}

// refuses fails the test unless a Start is refused at once, until so long after the
// beginning.
func (l *lab) refuses(until time.Duration, last error) {
	l.t.Helper()
	tries, began := l.tries, time.Now()
	err := l.Start(bg)
	var failed *fsm.StartError
	var open *resilience.OpenError
	if !errors.As(err, &failed) || failed.Part != "" || !errors.As(err, &open) || open.Until.Sub(l.began) != until {
		l.t.Errorf("Start: %v; want an OpenError until %v", err, until)
	}
	mustBe(l.t, "what an OpenError is", err, last)
	mustBe(l.t, "G14: the cause", l.Status().Cause, last)
	if l.tries != tries || time.Since(began) != 0 || l.State() != fsm.Idle {
		l.t.Errorf("it was refused, and there were %d tries, it took %v, the state is %v", l.tries-tries, time.Since(began), l.State())
	}
	if err := l.Stop(bg); err != nil { // never held back
		l.t.Errorf("Stop while it is open: %v", err)
	}
}

func (l *lab) wantState(s resilience.State) {
	l.t.Helper()
	if got := l.breaker.State(); got != s {
		l.t.Errorf("the breaker is %v; want %v", got, s)
	}
}

func (l *lab) wantChanges(want ...string) {
	l.t.Helper()
	if !slices.Equal(l.changes, want) {
		l.t.Errorf("received\n\t%s\nwant\n\t%s", strings.Join(l.changes, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestBreaker(t *testing.T) {
	bubble(t, "opens, refuses, probes, closes", func(t *testing.T) {
		l := newLab(t, resilience.BreakerConfig{Failures: 3, CoolDown: 10 * time.Second}, times(4, errBoom))
		l.mustFail(2, errBoom)
		l.wantState(resilience.Closed)
		l.mustFail(1, errBoom)
		l.wantState(resilience.Open)
		l.refuses(10*time.Second, errBoom)
		time.Sleep(10*time.Second - 1)
		l.refuses(10*time.Second, errBoom)
		l.wantState(resilience.Open)
		time.Sleep(time.Nanosecond) // it has said until when, and keeps its word
		l.wantState(resilience.HalfOpen)
		l.mustFail(1, errBoom) // the trial: one is enough
		l.refuses(20*time.Second, errBoom)
		time.Sleep(time.Hour)
		if err := l.Start(bg); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		l.wantState(resilience.Closed)
		if err := l.Stop(bg); err != nil {
			t.Error(err)
		}
		l.wantChanges("0s closed to open until 10s: boom", "10s open to half-open",
			"10s half-open to open until 20s: boom", "1h0m10s open to half-open", "1h0m10s half-open to closed")
	})
	bubble(t, "by default after five, for a minute", func(t *testing.T) {
		l := newLab(t, resilience.BreakerConfig{}, always(errBoom))
		l.mustFail(5, errBoom)
		l.refuses(time.Minute, errBoom)
	})
	bubble(t, "counts those in a row", func(t *testing.T) {
		l := newLab(t, resilience.BreakerConfig{Failures: 2}, then(errBoom, nil, errBoom, nil, errBoom, errBoom))
		for range 2 {
			l.mustFail(1, errBoom)
			if err := l.Start(bg); err != nil {
				t.Error(err)
			}
			if err := l.Stop(bg); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Hour)
		}
		l.mustFail(2, errBoom)
		l.wantState(resilience.Open)
	})
	bubble(t, "one trial for all who ask", func(t *testing.T) {
		l := newLab(t, resilience.BreakerConfig{Failures: 1}, times(1, errBoom))
		l.mustFail(1, errBoom)
		time.Sleep(time.Minute)
		l.takes = time.Second
		results := make(chan error, 100)
		for range cap(results) {
			go func() { results <- l.Start(bg) }()
		}
		for range cap(results) {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if l.tries != 2 {
			t.Errorf("%d tries; want the one that failed and the trial", l.tries)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	bubble(t, "an attempt counts once, with all its tries", func(t *testing.T) {
		retry := resilience.NewRetry(resilience.RetryConfig{Tries: 10, Pauses: backoff.NewConstantBackOff(time.Second)})
		l := newLab(t, resilience.BreakerConfig{Failures: 2}, always(errBoom), fsm.WithRetry(retry))
		l.mustFail(1, errBoom)
		l.wantState(resilience.Closed)
		l.mustFail(1, errBoom)
		l.refuses(18*time.Second+time.Minute, errBoom)
		if l.tries != 20 {
			t.Errorf("%d tries; want 20, and none of what was refused", l.tries)
		}
	})
}

// How an attempt ends decides whether it counts, as a failure or not at all.
func TestBreakerCounts(t *testing.T) {
	errOwn, errMine, errDown := errors.New("own"), errors.New("mine"), errors.New("down")
	ignore := func(target error) resilience.BreakerConfig {
		return resilience.BreakerConfig{Ignore: func(err error) bool { return errors.Is(err, target) }}
	}
	type end func(l *lab, leave context.CancelCauseFunc)
	stop := func(l *lab, _ context.CancelCauseFunc) { l.Stop(bg) }
	leaves := func(cause error) end { return func(_ *lab, leave context.CancelCauseFunc) { leave(cause) } }
	nothing := func(*lab, context.CancelCauseFunc) {}
	tooLate := func(*lab, context.CancelCauseFunc) { time.Sleep(time.Minute) }
	later := func(do end) end { // between two tries
		return func(l *lab, leave context.CancelCauseFunc) {
			time.Sleep(time.Hour + time.Minute)
			do(l, leave)
		}
	}
	retry := fsm.WithRetry(resilience.NewRetry(resilience.RetryConfig{
		Pauses:    backoff.NewConstantBackOff(time.Hour),
		Temporary: func(err error) bool { return err == errBoom },
	}))
	for name, c := range map[string]struct {
		end    end
		config resilience.BreakerConfig
		opts   []fsm.Option
		late   error // the cause of the caller's context, whose deadline passes in a minute
		counts bool
	}{
		"Stop":                               {end: stop},
		"Stop between tries":                 {end: later(stop), opts: []fsm.Option{retry}},
		"the last leaves":                    {end: leaves(nil)},
		"leaves between tries":               {end: later(leaves(nil)), opts: []fsm.Option{retry}},
		"leaves too late":                    {end: tooLate, late: context.DeadlineExceeded, counts: true},
		"too late, with a cause":             {end: tooLate, late: errOwn, counts: true},
		"leaves with a cause":                {end: leaves(errOwn)},
		"with another's deadline as cause":   {end: leaves(context.DeadlineExceeded)}, // errgroup's: the error of another goroutine
		"with a cause that wraps a deadline": {end: leaves(fmt.Errorf("the query: %w", context.DeadlineExceeded))},
		"too late, ignored":                  {end: tooLate, late: context.DeadlineExceeded, config: ignore(context.DeadlineExceeded)},
		"too late, its cause ignored":        {end: tooLate, late: errOwn, config: ignore(errOwn)},
		"start timeout":                      {end: nothing, opts: []fsm.Option{fsm.WithStartTimeout(time.Minute)}, counts: true},
		"open fails":                         {end: nothing, counts: true},
		"which is ignored":                   {end: nothing, config: ignore(errBoom)},
		"another is ignored":                 {end: nothing, config: ignore(errMine), counts: true},
		"Ignore panics":                      {end: nothing, config: resilience.BreakerConfig{Ignore: func(error) bool { panic(errMine) }}, counts: true},
	} {
		bubble(t, name, func(t *testing.T) {
			err := errDown
			c.config.Failures = 2
			l := newLab(t, c.config, func(int) error { return err }, append(c.opts, fsm.WithLogger(slog.New(slog.DiscardHandler)))...)
			attempt := func() {
				t.Helper()
				l.takes, err = time.Hour, errBoom
				defer func() { l.takes, err = 0, errDown }()
				ctx, leave := context.WithCancelCause(bg)
				defer leave(nil)
				if c.late != nil {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeoutCause(ctx, time.Minute, c.late)
					defer cancel()
				}
				result := make(chan error, 1)
				go func() { result <- l.Start(ctx) }()
				synctest.Wait()
				c.end(l, leave)
				if err := <-result; err == nil {
					t.Fatal("the start did not fail")
				}
				l.Wait(bg, fsm.Idle)
				synctest.Wait()
			}
			l.mustFail(1, errDown)
			attempt()
			if !c.counts { // and is no success: the next failure is the second in a row
				l.wantState(resilience.Closed)
				l.mustFail(1, errDown)
			}
			l.wantState(resilience.Open)
			time.Sleep(time.Minute)
			attempt() // as the trial
			if c.counts {
				l.wantState(resilience.Open)
				time.Sleep(time.Minute)
			}
			l.wantState(resilience.HalfOpen)
			err = nil
			if err := l.Start(bg); err != nil { // the next one is
				t.Error(err)
			}
			synctest.Wait()
			l.wantState(resilience.Closed)
			if err := l.Close(); err != nil || l.held != 0 {
				t.Errorf("Close: %v, %d held", err, l.held)
			}
		})
	}
}

// Who ended the attempt decides, not what open's error wraps (R36: ai-gateway #199, cockroach #35433).
func TestR36WhoCancelledCounts(t *testing.T) {
	for _, wrapped := range []error{context.Canceled, context.DeadlineExceeded, fsm.ErrStopped, fsm.ErrClosed, errBoom} {
		bubble(t, "open fails with "+wrapped.Error(), func(t *testing.T) {
			err := fmt.Errorf("the query: %w", wrapped)
			l := newLab(t, resilience.BreakerConfig{Failures: 1}, always(err))
			l.mustFail(1, err)
			l.refuses(time.Minute, err)
			time.Sleep(time.Minute)
			l.mustFail(1, err) // as the trial
			l.refuses(2*time.Minute, err)
		})
		bubble(t, "Stop, and open returns "+wrapped.Error(), func(t *testing.T) {
			l := newLab(t, resilience.BreakerConfig{Failures: 1}, nil)
			l.Lifecycle = fsm.New(func(ctx context.Context, _ *fsm.Scope) (*service, error) {
				<-ctx.Done()
				return nil, fmt.Errorf("the query: %w", wrapped)
			}, fsm.WithBreaker(l.breaker))
			go l.Start(bg)
			synctest.Wait()
			if err := l.Stop(bg); err != nil {
				t.Error(err)
			}
			l.wantState(resilience.Closed)
		})
	}
}

// Shutdown during an attempt counts for no other lifecycle that shares the breaker. Only one of
// them probes.
func TestBreakerIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := newLab(t, resilience.BreakerConfig{Failures: 2}, always(errBoom))
		two := &lab{service: newService(t, func(int) error { return nil }), breaker: one.breaker}
		two.Lifecycle = fsm.New(two.open, fsm.WithBreaker(one.breaker))
		one.mustFail(2, errBoom)
		two.refuses(time.Minute, errBoom)
		time.Sleep(time.Minute)

		two.takes = time.Hour
		trial := make(chan error, 1)
		begin := func() {
			go func() { trial <- two.Start(bg) }()
			synctest.Wait()
		}
		begin()
		err := one.Start(bg)
		var open *resilience.OpenError
		if !errors.As(err, &open) || !open.Until.IsZero() || !strings.Contains(err.Error(), "a trial by another attempt is under way") {
			t.Errorf("Start while the other lifecycle's attempt is the trial: %v", err)
		}
		mustBe(t, "Start", err, errBoom)
		if err := two.Shutdown(bg); err != nil {
			t.Error(err)
		}
		mustBe(t, "the trial", <-trial, fsm.ErrClosed)
		one.wantState(resilience.HalfOpen)

		two.Lifecycle = fsm.New(two.open, fsm.WithBreaker(one.breaker))
		begin()
		if err := <-trial; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		one.wantState(resilience.Closed)
		one.mustFail(1, errBoom)
		two.Close()
	})
}

// However Changed ends, the breaker goes on.
func TestBreakerChangedFails(t *testing.T) {
	for name, ends := range map[string]func(){"panics": func() { panic(errBoom) }, "calls Goexit": runtime.Goexit} {
		bubble(t, name, func(t *testing.T) {
			var received []resilience.State
			b := resilience.NewBreaker(resilience.BreakerConfig{Failures: 1, Changed: func(c resilience.Change) {
				received = append(received, c.To)
				ends()
			}})
			s := newService(t, times(1, errBoom))
			l := fsm.New(s.open, fsm.WithBreaker(b), fsm.WithLogger(slog.New(slog.DiscardHandler)))
			mustBe(t, "Start", l.Start(bg), errBoom)
			time.Sleep(time.Minute)
			if err := l.Start(bg); err == nil || s.tries != 1 { // within Allow
				t.Errorf("Start when Changed %s: %v, after %d tries", name, err, s.tries)
			}
			if err := l.Start(bg); err != nil { // the trial was not lost by that
				t.Error(err)
			}
			synctest.Wait()
			if want := []resilience.State{resilience.Open, resilience.HalfOpen, resilience.Closed}; !slices.Equal(received, want) {
				t.Errorf("received %v; want %v", received, want)
			}
			l.Close()
		})
	}
}

// Changed is called in order, one call at a time, whichever attempt causes the change.
func TestBreakerChangesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		last, received := resilience.Closed, 0
		b := resilience.NewBreaker(resilience.BreakerConfig{Failures: 1, CoolDown: time.Second, Changed: func(c resilience.Change) {
			if c.From != last {
				t.Errorf("received %v to %v after %v", c.From, c.To, last)
			}
			time.Sleep(time.Second)
			last = c.To
			received++
		}})
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				for i := range 500 {
					if done, err := b.Allow(); err == nil {
						if (i+n)%3 == 0 {
							done(fsm.Failed, errBoom)
						} else {
							done(fsm.Opened, nil)
						}
					}
					b.State()
					time.Sleep(time.Duration(n) * 100 * time.Millisecond)
				}
			})
		}
		all.Wait()
		if received < 100 {
			t.Errorf("%d changes were received: the test shows little", received)
		}
		t.Logf("CHECKED breaker changes=%d", received)
	})
}

func TestOpenErrorSaysUntilWhen(t *testing.T) {
	until := time.Date(2026, 3, 1, 12, 30, 0, 250e6, time.UTC)
	err := error(&resilience.OpenError{Until: until, Err: errBoom})
	if want := "resilience: not tried, until 2026-03-01T12:30:00.250Z; the last failure: boom"; err.Error() != want {
		t.Errorf("%q; want %q", err, want)
	}
}

func TestNewBreakerRefuses(t *testing.T) {
	for name, bad := range map[string][]resilience.BreakerConfig{
		"Failures": {{Failures: -1}},
		"CoolDown": {{CoolDown: -time.Second}, {CoolDown: 10}},
	} {
		for _, c := range bad {
			refused(t, "resilience: BreakerConfig."+name+" is ", func() { resilience.NewBreaker(c) })
		}
	}
}
