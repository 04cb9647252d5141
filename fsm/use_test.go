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

func TestG10UseOnlyStarted(t *testing.T) {
	refused := func(t *testing.T, l *fsm.Lifecycle[*rig], want error) {
		t.Helper()
		lease, err := l.Acquire()
		wantIs(t, "Acquire", err, want)
		lease.Release() // of a zero lease: nothing
		lease.Fail(errBoom)
		wantIs(t, "Use", l.Use(background(), func(context.Context, *rig) error {
			t.Error("G10 UseOnlyStarted is broken: a use was admitted")
			return nil
		}), want)
	}
	bubble(t, "refused in every other state", func(t *testing.T) {
		r := newRig(t, "a")
		r.at = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		r.release = r.at
		l := r.new()
		refused(t, l, fsm.ErrNotStarted)
		start := begin(t, func() error { return l.Start(background()) })
		synctest.Wait()
		wantState(t, l, spec.Starting)
		refused(t, l, fsm.ErrNotStarted)
		wantNil(t, "Start", start.result())
		stop := begin(t, func() error { return l.Stop(background()) })
		synctest.Wait()
		wantState(t, l, spec.Stopping)
		refused(t, l, fsm.ErrNotStarted)
		wantNil(t, "Stop", stop.result())
		refused(t, l, fsm.ErrNotStarted)

		wantNil(t, "Start", l.Start(background()))
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		shut := begin(t, func() error { return l.Shutdown(background()) })
		shut.mustPend("Shutdown")
		refused(t, l, fsm.ErrClosed) // while draining
		lease.Release()
		synctest.Wait()
		wantState(t, l, spec.Stopping)
		refused(t, l, fsm.ErrClosed) // while releasing
		wantNil(t, "Shutdown", shut.result())
		refused(t, l, fsm.ErrClosed)
		r.wantLog("open +a -a open +a -a")
	})
	t.Run("who is admitted finds it Started", func(t *testing.T) {
		// Real threads: between the two words that a successful start writes there is
		// an instant, which is hit now and then.
		tries := 20_000
		if testing.Short() {
			tries = 4_000
		}
		for i := range tries {
			l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 0, nil })
			start := begin(t, func() error { return l.Start(background()) })
			lease, err := l.Acquire()
			for ; err != nil; lease, err = l.Acquire() {
				for range i % 64 { // not always asking, or it would always stand before the lock
					l.State()
				}
				runtime.Gosched()
			}
			if s := l.State(); s != spec.Started {
				t.Fatalf("G10 UseOnlyStarted is broken: a use is admitted while %v", s)
			}
			lease.Release()
			wantNil(t, "Start", start.result())
		}
	})
	bubble(t, "an attempt that is rolled back admits no use", func(t *testing.T) {
		r := failingRig(t)
		l := r.new()
		start := begin(t, func() error { return l.Start(background()) })
		synctest.Wait()
		wantState(t, l, spec.Stopping)
		refused(t, l, fsm.ErrNotStarted)
		wantIs(t, "Start", start.result(), errBoom)
		refused(t, l, fsm.ErrNotStarted)
	})
	bubble(t, "every kind of use holds it open until it ends", func(t *testing.T) {
		for name, use := range map[string]func(l *fsm.Lifecycle[*rig], d time.Duration){
			"Use that returns": func(l *fsm.Lifecycle[*rig], d time.Duration) {
				wantIs(t, "Use", l.Use(background(), func(_ context.Context, r *rig) error {
					r.use(func() { time.Sleep(d) })
					return errBoom
				}), errBoom)
			},
			"Use that panics": func(l *fsm.Lifecycle[*rig], d time.Duration) {
				defer func() {
					if v := recover(); v != "mine" {
						t.Errorf("the panic of a use: %v; want it to pass through", v)
					}
				}()
				l.Use(background(), func(_ context.Context, r *rig) error {
					r.use(func() { time.Sleep(d); panic("mine") })
					return nil
				})
			},
			"Use that exits": func(l *fsm.Lifecycle[*rig], d time.Duration) {
				l.Use(background(), func(_ context.Context, r *rig) error {
					r.use(func() { time.Sleep(d); runtime.Goexit() })
					return nil
				})
			},
			"lease": func(l *fsm.Lifecycle[*rig], d time.Duration) {
				lease, err := l.Acquire()
				wantNil(t, "Acquire", err)
				lease.Resource().use(func() { time.Sleep(d) })
				lease.Release()
				lease.Release() // again: nothing
			},
			"use within a use": func(l *fsm.Lifecycle[*rig], d time.Duration) {
				wantNil(t, "Use", l.Use(background(), func(ctx context.Context, r *rig) error {
					r.use(func() { time.Sleep(d / 2) })
					return l.Use(ctx, func(_ context.Context, r *rig) error {
						r.use(func() { time.Sleep(d / 2) })
						return nil
					})
				}))
			},
		} {
			r := newRig(t, "a")
			l := started(t, r)
			if name == "use within a use" { // it needs Started to the end
				begun := time.Now()
				use(l, time.Minute)
				if took := time.Since(begun); took != time.Minute {
					t.Errorf("%s took %v", name, took)
				}
			}
			done := begin(t, func() error {
				if name != "use within a use" {
					use(l, time.Minute)
				}
				return nil
			})
			synctest.Wait()
			wantNil(t, "Stop", l.Stop(background()))
			if done.pending() {
				t.Errorf("%s: Stop returned while it ran", name)
			}
			r.wantLog("open +a -a")
			if n := l.Status().InFlight; n != 0 {
				t.Errorf("%s: Status.InFlight = %d; want 0", name, n)
			}
		}
	})
}

func TestUse(t *testing.T) {
	bubble(t, "context", func(t *testing.T) {
		r := newRig(t, "a")
		l := started(t, r)
		ctx, cancel := context.WithCancelCause(context.WithValue(background(), ctxKey("who"), "caller"))
		var kept context.Context
		wantIs(t, "Use", l.Use(ctx, func(use context.Context, got *rig) error {
			kept = use
			if got != r || use.Value(ctxKey("who")) != "caller" {
				t.Errorf("Use gave %p and a context of %v; want %p, caller", got, use.Value(ctxKey("who")), r)
			}
			cancel(errBoom) // the caller's end is the use's
			<-use.Done()
			return context.Cause(use)
		}), errBoom)
		wantIs(t, "Use with a context that has ended", l.Use(ctx, func(context.Context, *rig) error {
			t.Error("called with a context that has ended")
			return nil
		}), errBoom)
		wantNil(t, "Use", l.Use(background(), func(use context.Context, _ *rig) error { kept = use; return nil }))
		if kept.Err() == nil {
			t.Error("the context of a use that returned has not ended")
		}
		if n := l.Status().InFlight; n != 0 {
			t.Errorf("Status.InFlight = %d; want 0", n)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
	t.Run("a nil function panics", func(t *testing.T) {
		defer func() {
			if recover() == nil {
				t.Error("Use(nil) did not panic")
			}
		}()
		newRig(t).new().Use(background(), nil)
	})
}

func TestLease(t *testing.T) {
	bubble(t, "zero", func(t *testing.T) {
		var lease fsm.Lease[int]
		lease.Release()
		lease.Fail(errBoom)
		if lease.Resource() != 0 || lease.Context().Err() == nil {
			t.Error("a zero lease holds something")
		}
	})
	bubble(t, "context", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new(fsm.WithBaseContext(context.WithValue(background(), ctxKey("who"), "first")))
		wantNil(t, "Start", l.Start(background()))
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		withoutContext, err := l.Acquire()
		wantNil(t, "Acquire", err)
		ctx := lease.Context()
		if ctx.Value(ctxKey("who")) != "first" || ctx.Err() != nil || ctx != lease.Context() {
			t.Errorf("the lease's context: %v, %v; want open's values, no end, always the same", ctx.Value(ctxKey("who")), ctx.Err())
		}
		lease.Release()
		if ctx.Err() == nil || lease.Context().Err() == nil {
			t.Error("the context of a released lease has not ended")
		}
		withoutContext.Release()
		if withoutContext.Context().Err() == nil {
			t.Error("the context of a released lease has not ended")
		}
		if n := l.Status().InFlight; n != 0 {
			t.Errorf("Status.InFlight = %d; want 0", n)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
	t.Run("used by several", func(t *testing.T) { // -race looks at this
		r := newRig(t, "a")
		l := started(t, r)
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		contexts := make(chan context.Context)
		for range 8 {
			go func() {
				lease.Resource()
				contexts <- lease.Context()
			}()
		}
		one := <-contexts
		for range 7 {
			if other := <-contexts; other != one {
				t.Error("two contexts of one lease")
			}
		}
		lease.Fail(errBoom)
		<-one.Done()
		wantIs(t, "the lease's context", context.Cause(one), errBoom)
		lease.Release()
		_, err = l.Wait(background(), spec.Idle)
		wantNil(t, "Wait", err)
	})
	bubble(t, "released twice, it counts once", func(t *testing.T) {
		r := newRig(t, "a")
		l := started(t, r)
		one, err := l.Acquire()
		wantNil(t, "Acquire", err)
		other, err := l.Acquire()
		wantNil(t, "Acquire", err)
		one.Release()
		one.Release()
		if n := l.Status().InFlight; n != 1 {
			t.Errorf("Status.InFlight = %d; want 1", n)
		}
		stop := begin(t, func() error { return l.Stop(background()) })
		stop.mustPend("Stop under the other lease")
		one.Release() // nor once the gate is closed
		stop.mustPend("Stop under the other lease")
		other.Release()
		wantNil(t, "Stop", stop.result())
	})
	bubble(t, "Fail after Release", func(t *testing.T) {
		r := newRig(t, "a")
		l := started(t, r)
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		lease.Release()
		lease.Fail(errBoom) // of the attempt that it was of: still the running one
		synctest.Wait()
		wantState(t, l, spec.Idle)
		if !errors.Is(l.Status().Cause, errBoom) {
			t.Errorf("Status.Cause = %v; want boom", l.Status().Cause)
		}
	})
}
