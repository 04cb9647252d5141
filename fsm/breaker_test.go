package fsm_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// A breaker that opens after so many failures in a row, for a minute.
type breaker struct {
	t        *testing.T
	after    int
	failures int
	until    time.Time
	settled  []error
	asked    int
	pending  bool
}

var errOpen = errors.New("open for a minute")

func (b *breaker) Allow() (func(error), error) {
	b.asked++
	if b.pending {
		b.t.Error("G1 SingleFlight is broken: two attempts at once")
	}
	if time.Now().Before(b.until) {
		return nil, errOpen
	}
	b.pending = true
	return func(err error) {
		b.pending = false
		b.settled = append(b.settled, err)
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
		asked := b.asked
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
		if b.asked != asked+1 || b.settled[2] != nil || len(b.settled) != 3 {
			t.Errorf("the breaker was asked %d times for ten Starts and told %v", b.asked-asked, b.settled)
		}
		wantNil(t, "Stop", l.Stop(background()))
		wantNil(t, "Shutdown", l.Shutdown(background()))
	})
	bubble(t, "is told once of an attempt, however often it tries", func(t *testing.T) {
		r := newRig(t, "a")
		r.failing(2, "a")
		b := &breaker{t: t, after: 100}
		l := r.new(fsm.WithBreaker(b), fsm.WithRetry(&backoff{n: 2}))
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Stop", l.Stop(background()))
		r.failing(100, "a")
		wantIs(t, "Start", l.Start(background()), errBoom)
		if b.asked != 2 || len(b.settled) != 2 || b.settled[0] != nil || !errors.Is(b.settled[1], errBoom) {
			t.Errorf("asked %d times, told %v", b.asked, b.settled)
		}
	})
	for name, retry := range map[string][]fsm.Option{"while open runs": nil, "between tries": {fsm.WithRetry(&backoff{n: 1})}} {
		bubble(t, "is told why an attempt was cancelled "+name, func(t *testing.T) {
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
			if !slices.Equal(b.settled, []error{fsm.ErrStopped}) {
				t.Errorf("told %v; want %v", b.settled, fsm.ErrStopped)
			}
		})
	}
	bubble(t, "who is refused has nothing to tell", func(t *testing.T) {
		l := newRig(t, "a").new(fsm.WithBreaker(allowFunc(func() (func(error), error) {
			return func(err error) { t.Errorf("done was called with %v", err) }, errOpen
		})))
		wantIs(t, "Start", l.Start(background()), errOpen)
	})
	// However Allow or done ends, the attempt comes to its end.
	for name, how := range map[string]func(){"panics": func() { panic(errBoom) }, "calls Goexit": runtime.Goexit} {
		bubble(t, "Allow "+name, func(t *testing.T) {
			r := newRig(t, "a")
			l := r.new(fsm.WithBreaker(allowFunc(func() (func(error), error) { how(); return nil, nil })))
			startError(t, l.Start(background()))
			wantState(t, l, fsm.Idle)
			r.wantLog("")
		})
		bubble(t, "done "+name, func(t *testing.T) {
			r := newRig(t, "a")
			var log logBuffer
			l := r.new(log.option(), fsm.WithBreaker(allowFunc(func() (func(error), error) {
				called := false
				return func(error) {
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

// What an attempt came to is what the breaker is told, also if open, deaf to the end of
// its context, returns nil: that is not kept (G6), and Start fails.
func TestBreakerIsToldWhatStartReturned(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(r *rig, l *fsm.Lifecycle[*rig])
		want error
	}{
		"start timeout": {func(*rig, *fsm.Lifecycle[*rig]) {}, context.DeadlineExceeded},
		"Scope.Fail":    {func(r *rig, _ *fsm.Lifecycle[*rig]) { r.scope.Fail(errBoom) }, errBoom},
		"Stop":          {func(_ *rig, l *fsm.Lifecycle[*rig]) { go l.Stop(background()) }, fsm.ErrStopped},
	} {
		bubble(t, name, func(t *testing.T) {
			r := newRig(t, "a")
			r.at = func(context.Context, string) error { time.Sleep(time.Hour); return nil } // deaf
			b := &breaker{t: t, after: 100}
			l := r.new(fsm.WithBreaker(b), fsm.WithStartTimeout(time.Minute))
			start := begin(t, func() error { return l.Start(background()) })
			start.mustPend("Start")
			c.end(r, l)
			wantIs(t, "Start", start.result(), c.want)
			if len(b.settled) != 1 || !errors.Is(b.settled[0], c.want) {
				t.Errorf("the breaker was told %v; want %v, as Start was", b.settled, c.want)
			}
		})
	}
}

type allowFunc func() (func(error), error)

func (f allowFunc) Allow() (func(error), error) { return f() }
