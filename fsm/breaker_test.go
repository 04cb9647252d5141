package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// A breaker that opens after so many failures in a row, for a minute.
type breaker struct {
	t        *testing.T
	after    int
	failures int
	until    time.Time
	outcomes []fsm.Outcome
	results  []error
	allows   int
	pending  bool
}

var errOpen = errors.New("open for a minute")

func (b *breaker) Allow() (func(fsm.Outcome, error), error) {
	b.allows++
	if b.pending {
		b.t.Error("G1 SingleFlight is broken: two attempts at once")
	}
	if time.Now().Before(b.until) {
		return nil, errOpen
	}
	b.pending = true
	return func(o fsm.Outcome, err error) {
		b.pending = false
		b.outcomes = append(b.outcomes, o)
		b.results = append(b.results, err)
		if err == nil {
			b.failures = 0
		} else if b.failures++; b.failures >= b.after {
			b.until = time.Now().Add(time.Minute)
		}
	}, nil
}

func TestBreaker(t *testing.T) {
	bubble(t, "opens, and lets one attempt through after the cool-down", func(t *testing.T) {
		r := newRig(t, "a")
		r.failing(2, "a")
		b := &breaker{t: t, after: 2}
		l := r.new(fsm.WithBreaker(b))
		for range 2 {
			wantIs(t, "Start", l.Start(background()), errBoom)
		}
		for range 3 { // fails fast, opens nothing, and Stop is not held back
			wantIs(t, "Start while the breaker is open", startError(t, l.Start(background())), errOpen)
			wantNil(t, "Stop", l.Stop(background()))
		}
		if r.opened != 2 {
			t.Errorf("open was called %d times; want 2", r.opened)
		}
		time.Sleep(time.Minute)
		before := b.allows
		var calls []*call
		proceed := make(chan struct{})
		r.at = func(context.Context, string) error { <-proceed; return nil }
		for range 10 {
			calls = append(calls, begin(t, func() error { return l.Start(background()) }))
		}
		calls[0].mustPend("Start")
		close(proceed)
		for _, c := range calls {
			wantNil(t, "Start after the cool-down", c.result())
		}
		synctest.Wait()
		if b.allows != before+1 || b.results[2] != nil || len(b.results) != 3 {
			t.Errorf("Allow was called %d times for ten Starts, and done with %v", b.allows-before, b.results)
		}
		wantNil(t, "Stop", l.Stop(background()))
		wantNil(t, "Shutdown", l.Shutdown(background()))
	})
	bubble(t, "has its done called once for an attempt, with all its tries", func(t *testing.T) {
		r := newRig(t, "a")
		r.failing(2, "a")
		b := &breaker{t: t, after: 100}
		l := r.new(fsm.WithBreaker(b), fsm.WithRetry(&backoff{n: 2}))
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Stop", l.Stop(background()))
		r.failing(100, "a")
		wantIs(t, "Start", l.Start(background()), errBoom)
		if b.allows != 2 || len(b.results) != 2 || b.results[0] != nil || !errors.Is(b.results[1], errBoom) {
			t.Errorf("Allow was called %d times, done with %v", b.allows, b.results)
		}
	})
	for name, retry := range map[string][]fsm.Option{"while open runs": nil, "between tries": {fsm.WithRetry(&backoff{n: 1})}} {
		bubble(t, "gets the cause of a cancelled attempt "+name, func(t *testing.T) {
			r := newRig(t, "a")
			r.at = func(ctx context.Context, _ string) error {
				if retry == nil {
					<-ctx.Done()
				}
				return errBoom
			}
			b := &breaker{t: t, after: 100}
			l := r.new(append(retry, fsm.WithBreaker(b))...)
			start := begin(t, func() error { return l.Start(background()) })
			start.mustPend("Start")
			wantNil(t, "Stop", l.Stop(background()))
			wantIs(t, "Start", start.result(), fsm.ErrStopped)
			if !slices.Equal(b.results, []error{fsm.ErrStopped}) {
				t.Errorf("done was called with %v; want %v", b.results, fsm.ErrStopped)
			}
		})
	}
	bubble(t, "who is refused has nothing to tell", func(t *testing.T) {
		l := newRig(t, "a").new(fsm.WithBreaker(allowFunc(func() (func(fsm.Outcome, error), error) {
			return func(o fsm.Outcome, err error) { t.Errorf("done was called with %v, %v", o, err) }, errOpen
		})))
		wantIs(t, "Start", l.Start(background()), errOpen)
	})
	// However Allow or done ends, the attempt comes to its end.
	for name, how := range map[string]func(){"panics": func() { panic(errBoom) }, "calls Goexit": runtime.Goexit} {
		bubble(t, "Allow "+name, func(t *testing.T) {
			r := newRig(t, "a")
			l := r.new(fsm.WithBreaker(allowFunc(func() (func(fsm.Outcome, error), error) { how(); return nil, nil })))
			startError(t, l.Start(background()))
			wantState(t, l, fsm.Idle)
			r.wantLog("")
		})
		bubble(t, "done "+name, func(t *testing.T) {
			r := newRig(t, "a")
			var log logBuffer
			l := r.new(log.option(), fsm.WithBreaker(allowFunc(func() (func(fsm.Outcome, error), error) {
				called := false
				return func(fsm.Outcome, error) {
					if called {
						t.Error("done is called again")
						return
					}
					called = true
					how()
				}, nil
			})))
			wantNil(t, "Start", l.Start(background()))
			wantNil(t, "Stop", l.Stop(background()))
			r.failing(100, "a")
			wantIs(t, "Start", l.Start(background()), errBoom)
			if name == "panics" && strings.Count(log.String(), "the breaker panicked") != 2 {
				t.Errorf("the log has %q; want both panics", log.String())
			}
		})
	}
}

// What ended an attempt decides its outcome, not what open returns or what its error wraps (R36:
// ai-gateway #199, cockroach #35433). A resource that opens at that moment is not kept (G6).
func TestR36OutcomeIsWhatEndedTheAttempt(t *testing.T) {
	errMine := errors.New("mine")
	type world struct {
		r     *rig
		l     *fsm.Lifecycle[*rig]
		leave context.CancelCauseFunc
	}
	for name, c := range map[string]struct {
		end     func(w world)
		outcome fsm.Outcome
		want    error
	}{
		"nothing":                  {func(world) {}, 0, nil}, // as open's error says
		"the start timeout":        {func(world) { time.Sleep(time.Minute) }, fsm.Failed, context.DeadlineExceeded},
		"Scope.Fail":               {func(w world) { w.r.scope.Fail(errMine) }, fsm.Failed, errMine},
		"Stop":                     {func(w world) { go w.l.Stop(background()) }, fsm.Cancelled, fsm.ErrStopped},
		"Shutdown":                 {func(w world) { go w.l.Shutdown(background()) }, fsm.Cancelled, fsm.ErrClosed},
		"the last caller's end":    {func(w world) { w.leave(errMine) }, fsm.Cancelled, errMine},
		"the last caller's cancel": {func(w world) { w.leave(nil) }, fsm.Cancelled, context.Canceled},
	} {
		for _, returns := range []error{nil, context.Canceled, context.DeadlineExceeded, fsm.ErrStopped, fsm.ErrClosed, errBoom} {
			bubble(t, fmt.Sprintf("%s, and open returns %v", name, returns), func(t *testing.T) {
				r := newRig(t, "a")
				wrapped := returns
				if returns != nil {
					wrapped = fmt.Errorf("the query: %w", returns)
				}
				proceed := make(chan struct{})
				r.at = func(_ context.Context, part string) error { // deaf
					if part == "" {
						<-proceed
						return wrapped
					}
					return nil
				}
				b := &breaker{t: t, after: 100}
				l := r.new(fsm.WithBreaker(b), fsm.WithStartTimeout(time.Minute))
				ctx, leave := context.WithCancelCause(background())
				defer leave(nil)
				start := begin(t, func() error { return l.Start(ctx) })
				start.mustPend("Start")
				c.end(world{r, l, leave})
				synctest.Wait()
				if len(b.outcomes) > 0 {
					t.Errorf("the breaker's done was called with %v while open runs", b.outcomes)
				}
				close(proceed)
				err := start.result()
				outcome, want := c.outcome, c.want
				switch {
				case outcome == 0 && returns == nil:
					outcome = fsm.Opened
				case outcome == 0:
					outcome, want = fsm.Failed, wrapped
				}
				if (err == nil) != (outcome == fsm.Opened) {
					t.Errorf("Start: %v, and the outcome should be %v", err, outcome)
				}
				synctest.Wait()
				if len(b.outcomes) != 1 || b.outcomes[0] != outcome || b.results[0] != want {
					t.Errorf("the breaker's done was called with %v, %v; want %v, %v", b.outcomes, b.results, outcome, want)
				}
				wantNil(t, "Close", l.Close())
			})
		}
	}
}

// A Stop between the return of open and the decision makes the outcome Cancelled; done
// is called outside the lock, before a caller receives a failure, in the attempt's goroutine.
func TestR36DoneComesAfterTheDecision(t *testing.T) {
	bubble(t, "it finds the outcome, and no caller has a failure before", func(t *testing.T) {
		var l *fsm.Lifecycle[*rig]
		r := newRig(t, "a")
		var start atomic.Pointer[call]
		var found []string
		l = r.new(fsm.WithBreaker(allowFunc(func() (func(fsm.Outcome, error), error) {
			return func(o fsm.Outcome, _ error) {
				time.Sleep(time.Second) // whatever can run, runs
				s := l.Status()
				pending := "answered"
				if start.Load().pending() {
					pending = "pending"
				}
				found = append(found, fmt.Sprint(o, " ", s.State, " ", s.Held, " ", pending))
			}, nil
		})))
		r.failing(1, "a")
		start.Store(begin(t, func() error { return l.Start(background()) }))
		startError(t, start.Load().result())
		start.Store(begin(t, func() error { return l.Start(background()) }))
		wantNil(t, "Start", start.Load().result())
		time.Sleep(time.Hour)
		wantNil(t, "Stop", l.Stop(background()))
		r.at = func(ctx context.Context, _ string) error { <-ctx.Done(); return nil }
		start.Store(begin(t, func() error { return l.Start(background()) }))
		start.Load().mustPend("Start")
		wantNil(t, "Stop", l.Stop(background()))
		if want := []string{"failed Stopping [] pending", "opened Started [a] answered", "cancelled Stopping [a] pending"}; !slices.Equal(found, want) {
			t.Errorf("done found %q; want %q", found, want)
		}
	})
	// It does not end before done has returned for the attempt before: a breaker
	// counts one attempt at a time (G1).
	bubble(t, "Allow is not called before it has returned", func(t *testing.T) {
		r := newRig(t, "a")
		b := &breaker{t: t, after: 100}
		slow := allowFunc(func() (func(fsm.Outcome, error), error) {
			done, err := b.Allow()
			return func(o fsm.Outcome, err error) { time.Sleep(time.Hour); done(o, err) }, err
		})
		l := r.new(fsm.WithBreaker(slow))
		for range 3 {
			wantNil(t, "Start", l.Start(background()))
			wantNil(t, "Stop", l.Stop(background()))
		}
		wantNil(t, "Start", l.Start(background()))
		over, cancel := context.WithCancel(background())
		cancel()
		wantIs(t, "Stop with an ended context while done runs", l.Stop(over), context.Canceled) // G12
		wantNil(t, "Stop", l.Stop(background()))
		if len(b.outcomes) != 4 || b.allows != 4 {
			t.Errorf("Allow was called %d times, done with %v", b.allows, b.outcomes)
		}
	})
	bubble(t, "a nil done is not called", func(t *testing.T) {
		l := newRig(t, "a").new(fsm.WithBreaker(allowFunc(func() (func(fsm.Outcome, error), error) { return nil, nil })))
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Stop", l.Stop(background()))
	})
}

type allowFunc func() (func(fsm.Outcome, error), error)

func (f allowFunc) Allow() (func(fsm.Outcome, error), error) { return f() }
