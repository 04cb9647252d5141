package fsm_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

type ctxKey string

func TestG6NoForeignCancellation(t *testing.T) {
	errMine := errors.New("mine")
	bubble(t, "who leaves leaves alone", func(t *testing.T) {
		r := newRig(t, "a")
		proceed := make(chan struct{})
		r.at = func(context.Context, string) error { <-proceed; return nil }
		l := r.new()
		ctx, cancel := context.WithCancelCause(background())
		first := begin(t, func() error { return l.Start(ctx) })
		synctest.Wait()
		second := begin(t, func() error { return l.Start(background()) })
		second.mustPend("the second Start")
		cancel(errMine)
		if e := leaveError(t, first.result()); e.Err != errMine || e.Attempt != 1 || e.Part != "a" {
			t.Errorf("the caller that left got %+v; want its own cause, of attempt 1 at part a", e)
		}
		second.mustPend("the Start that stayed")
		wantState(t, l, spec.Starting)
		if r.ctx.Err() != nil {
			t.Errorf("open's context ended with the first caller's: %v", context.Cause(r.ctx))
		}
		close(proceed)
		wantNil(t, "the Start that stayed", second.result())
		if r.ctx.Err() != nil {
			t.Errorf("the resource's context ended with the first caller's: %v", context.Cause(r.ctx))
		}
		r.wantLog("open +a")
		wantNil(t, "Stop", l.Stop(background()))
	})
	bubble(t, "the last one's leaving cancels, whatever open returns", func(t *testing.T) {
		r := newRig(t, "a")
		proceed := make(chan struct{})
		r.at = func(_ context.Context, part string) error { // deaf
			if part == "" && r.opened == 1 {
				<-proceed
			}
			return nil
		}
		l := r.new()
		one, cancelOne := context.WithCancelCause(background())
		two, cancelTwo := context.WithCancelCause(background())
		first := begin(t, func() error { return l.Start(one) })
		second := begin(t, func() error { return l.Start(two) })
		synctest.Wait()
		cancelOne(errBoom)
		wantIs(t, "the first", first.result(), errBoom)
		wantState(t, l, spec.Starting)
		cancelTwo(errMine)
		wantIs(t, "the last", second.result(), errMine)
		wantState(t, l, spec.Stopping) // from that instant, though open still runs
		if context.Cause(r.ctx) != errMine {
			t.Errorf("open's context: %v; want the last caller's cause", context.Cause(r.ctx))
		}
		late := begin(t, func() error { return l.Start(background()) })
		late.mustPend("a Start after the cancellation")
		close(proceed) // open returns nil: too late
		wantNil(t, "the late Start", late.result())
		r.wantLog("open +a -a open +a")
		if got := l.Status().Attempt; got != 2 {
			t.Errorf("Status.Attempt = %d; want 2: nobody joins a cancelled attempt", got)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
	bubble(t, "a context that has ended opens nothing", func(t *testing.T) {
		r := newRig(t, "a")
		r.at = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		r.release = r.at
		l := r.new()
		over, cancel := context.WithCancelCause(background())
		cancel(errMine)
		wantIs(t, "Start, idle", l.Start(over), errMine)
		wantState(t, l, spec.Idle)
		r.wantLog("")
		start := begin(t, func() error { return l.Start(background()) })
		start.mustPend("Start")
		wantIs(t, "Start, starting", l.Start(over), errMine) // and its leaving cancels nothing
		wantNil(t, "Start", start.result())
		stop := begin(t, func() error { return l.Stop(background()) })
		stop.mustPend("Stop")
		wantIs(t, "Start, stopping", l.Start(over), errMine)
		wantNil(t, "Stop", stop.result())
		wantState(t, l, spec.Idle)
		r.wantLog("open +a -a")
	})
	bubble(t, "a deadline counts as an end", func(t *testing.T) {
		r := newRig(t, "a")
		r.at = func(ctx context.Context, part string) error { <-ctx.Done(); return context.Cause(ctx) }
		l := r.new()
		ctx, cancel := context.WithTimeout(background(), time.Second)
		defer cancel()
		began := time.Now()
		wantIs(t, "Start", l.Start(ctx), context.DeadlineExceeded)
		if took := time.Since(began); took != time.Second {
			t.Errorf("Start took %v; want 1s", took)
		}
	})
}

// Only these cancel the attempt. Each gives open the reason, and changes the state at once. What
// open then returns does not matter.
func TestG6CancelledBy(t *testing.T) {
	for _, c := range []struct {
		name  string
		opts  []fsm.Option
		do    func(t *testing.T, l *fsm.Lifecycle[*rig], r *rig, leave context.CancelCauseFunc) *call
		cause error // of open's context
		event spec.Event
		start error // what Start gets
		final fsm.State
	}{
		{name: "the last waiter's leaving",
			do: func(t *testing.T, l *fsm.Lifecycle[*rig], r *rig, leave context.CancelCauseFunc) *call {
				leave(errBoom)
				return nil
			}, cause: errBoom, event: spec.EventAbandoned, start: errBoom},
		{name: "Stop",
			do: func(t *testing.T, l *fsm.Lifecycle[*rig], r *rig, leave context.CancelCauseFunc) *call {
				return begin(t, func() error { return l.Stop(background()) })
			}, cause: fsm.ErrStopped, event: spec.EventStop, start: fsm.ErrStopped},
		{name: "Shutdown",
			do: func(t *testing.T, l *fsm.Lifecycle[*rig], r *rig, leave context.CancelCauseFunc) *call {
				return begin(t, func() error { return l.Shutdown(background()) })
			}, cause: fsm.ErrClosed, event: spec.EventShutdown, start: fsm.ErrClosed, final: spec.Closed},
		{name: "Fail",
			do: func(t *testing.T, l *fsm.Lifecycle[*rig], r *rig, leave context.CancelCauseFunc) *call {
				r.scope.Fail(errBoom)
				return nil
			}, cause: errBoom, event: spec.EventDied, start: errBoom},
		{name: "WithStartTimeout", opts: []fsm.Option{fsm.WithStartTimeout(time.Minute)},
			do: func(t *testing.T, l *fsm.Lifecycle[*rig], r *rig, leave context.CancelCauseFunc) *call {
				time.Sleep(time.Minute)
				return nil
			}, cause: context.DeadlineExceeded, event: spec.EventTimeout, start: context.DeadlineExceeded},
	} {
		for what, result := range map[string]error{"nil": nil, "an error": errors.New("late")} {
			bubble(t, c.name+", open returns "+what, func(t *testing.T) {
				r := newRig(t, "a", "b")
				proceed := make(chan struct{})
				r.at = func(_ context.Context, part string) error {
					if part == "" {
						<-proceed
						return result
					}
					return nil
				}
				var seen []fsm.Transition
				l := r.new(append(c.opts, fsm.WithObserver(func(tr fsm.Transition) { seen = append(seen, tr) }))...)
				ctx, leave := context.WithCancelCause(background())
				start := begin(t, func() error { return l.Start(ctx) })
				start.mustPend("Start")
				stop := c.do(t, l, r, leave)
				synctest.Wait()
				wantState(t, l, spec.Stopping)
				if got := context.Cause(r.ctx); got != c.cause {
					t.Errorf("open's context: %v; want %v", got, c.cause)
				}
				if last := seen[len(seen)-1]; last.Event != c.event || last.From != spec.Starting || last.Cause != c.cause {
					t.Errorf("the transition %+v; want %v with cause %v", last, c.event, c.cause)
				}
				if c.event != spec.EventAbandoned {
					start.mustPend("Start, before its parts are given back")
				}
				close(proceed)
				wantIs(t, "Start", start.result(), c.start)
				if stop != nil {
					wantNil(t, "Stop", stop.result())
				}
				synctest.Wait()
				wantState(t, l, c.final)
				wantIs(t, "Status.Cause", l.Status().Cause, c.cause) // G14
				r.wantLog("open +a +b -b -a")
			})
		}
	}
}

// The context that open gets belongs to the resource.
func TestOpenContext(t *testing.T) {
	bubble(t, "values of the first caller with WithCallerContext, not its end", func(t *testing.T) {
		r := newRig(t, "a")
		r.at = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		l := r.new(fsm.WithCallerContext(itself))
		first, cancel := context.WithTimeout(context.WithValue(background(), ctxKey("who"), "first"), time.Hour)
		start := begin(t, func() error { return l.Start(first) })
		synctest.Wait()
		wantNil(t, "Start", l.Start(context.WithValue(background(), ctxKey("who"), "second")))
		wantNil(t, "Start", start.result())
		cancel()
		synctest.Wait()
		if _, bounded := r.ctx.Deadline(); bounded || r.ctx.Err() != nil {
			t.Errorf("the resource's context has the first caller's end: bounded %v, %v", bounded, r.ctx.Err())
		}
		if got := r.ctx.Value(ctxKey("who")); got != "first" {
			t.Errorf("the resource's context carries the value of %v; want the first caller's", got)
		}
		r.release = func(ctx context.Context, _ string) error {
			if context.Cause(r.ctx) != fsm.ErrStopped {
				t.Errorf("in the release the resource's context is %v; want ErrStopped", context.Cause(r.ctx))
			}
			if got := ctx.Value(ctxKey("who")); got != "first" {
				t.Errorf("the release's context carries the value of %v; want the first caller's", got)
			}
			return nil
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
	bubble(t, "it lives as long as uses drain", func(t *testing.T) {
		r, _, lease, stop := draining(t)
		if r.ctx.Err() != nil {
			t.Error("the resource's context ended before its release began")
		}
		lease.Release()
		wantNil(t, "Stop", stop.result())
		wantIs(t, "the resource's context", context.Cause(r.ctx), fsm.ErrStopped)
	})
	bubble(t, "of a failed attempt it ends with why", func(t *testing.T) {
		r := newRig(t, "a")
		r.at = failLast
		l := r.new()
		wantIs(t, "Start", l.Start(background()), errBoom)
		wantIs(t, "open's context", context.Cause(r.ctx), errBoom)
	})
	bubble(t, "values of WithBaseContext, not its end", func(t *testing.T) {
		r := newRig(t, "a")
		base, cancel := context.WithCancel(context.WithValue(background(), ctxKey("who"), "base"))
		l := r.new(fsm.WithBaseContext(base))
		wantNil(t, "Start", l.Start(context.WithValue(background(), ctxKey("who"), "caller")))
		cancel()
		synctest.Wait()
		if got := r.ctx.Value(ctxKey("who")); got != "base" || r.ctx.Err() != nil {
			t.Errorf("the resource's context: value %v, %v; want base's value and no end", got, r.ctx.Err())
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
}

// detached is how contexts were detached before there was context.WithoutCancel: its
// values, and with them what context.Cause finds, are still those of its parent.
type detached struct{ context.Context }

func (detached) Deadline() (time.Time, bool) { return time.Time{}, false }
func (detached) Done() <-chan struct{}       { return nil }
func (detached) Err() error                  { return nil }

// A call's context has ended if its Err says so. Only the cause may come from its parent.
func TestG6DetachedContext(t *testing.T) {
	bubble(t, "of a parent that has ended", func(t *testing.T) {
		parent, cancel := context.WithCancelCause(background())
		cancel(errBoom)
		ctx := detached{parent}
		r := newRig(t, "a")
		l := r.new()
		wantNil(t, "Start", l.Start(ctx))
		wantNil(t, "Use", l.Use(ctx, func(context.Context, *rig) error { return nil }))
		_, err := l.Wait(ctx, spec.Started)
		wantNil(t, "Wait", err)
		wantNil(t, "Stop", l.Stop(ctx))
		wantNil(t, "Shutdown", l.Shutdown(ctx))
		r.wantLog("open +a -a")
	})
}

// Real threads: from the instant at which an attempt's context ends, every observer finds the state
// Stopping (G6). open reads it all the time.
func TestG6StoppingWhenTheContextEnds(t *testing.T) {
	tries := 2_000
	if testing.Short() {
		tries = 500
	}
	for name, cancel := range map[string]func(l *fsm.Lifecycle[int], s *fsm.Scope, leave func()){
		"Stop":                   func(l *fsm.Lifecycle[int], _ *fsm.Scope, _ func()) { l.Stop(background()) },
		"Shutdown":               func(l *fsm.Lifecycle[int], _ *fsm.Scope, _ func()) { l.Shutdown(background()) },
		"Fail":                   func(_ *fsm.Lifecycle[int], s *fsm.Scope, _ func()) { s.Fail(errBoom) },
		"the last caller leaves": func(_ *fsm.Lifecycle[int], _ *fsm.Scope, leave func()) { leave() },
	} {
		t.Run(name, func(t *testing.T) {
			for range tries {
				var l *fsm.Lifecycle[int]
				opening, saw := make(chan *fsm.Scope, 1), make(chan fsm.State, 1)
				l = fsm.New(func(ctx context.Context, s *fsm.Scope) (int, error) {
					opening <- s
					for ctx.Err() == nil {
						runtime.Gosched()
					}
					saw <- l.State()
					return 0, ctx.Err()
				})
				ctx, leave := context.WithCancel(background())
				start := begin(t, func() error { return l.Start(ctx) })
				cancel(l, <-opening, leave)
				if s := <-saw; s != spec.Stopping {
					t.Fatalf("G6 NoForeignCancellation is broken: the attempt's context has ended and the state is %v; want Stopping", s)
				}
				if start.result() == nil {
					t.Fatal("Start: nil; want why its attempt was cancelled")
				}
				leave()
			}
		})
	}
}
