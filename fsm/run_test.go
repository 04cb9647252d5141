package fsm_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

func TestRun(t *testing.T) {
	type world struct {
		r     *rig
		l     *fsm.Lifecycle[*rig]
		leave context.CancelCauseFunc
	}
	errMine := errors.New("mine")
	restarts := func(n int) fsm.Option {
		return fsm.WithRestart(nextFunc(func(try int, _ error) (time.Duration, bool) { return time.Second, try <= n }))
	}
	die := func(w world) { w.r.die(errBoom) }
	for name, c := range map[string]struct {
		opts   []fsm.Option
		setUp  func(w world)
		before func(w world) // Run
		then   func(w world) // once nothing can go on
		want   error
		state  fsm.State
	}{
		"ctx ends":                {then: func(w world) { w.leave(errMine) }, state: fsm.Closed},
		"ctx has ended":           {before: func(w world) { w.leave(errMine) }, state: fsm.Closed},
		"ctx ends during a start": {setUp: func(w world) { w.r.at = untilEnd }, then: func(w world) { w.leave(errMine) }, state: fsm.Closed},
		"a Stop":                  {then: func(w world) { w.l.Stop(background()) }, state: fsm.Idle},
		"a Shutdown":              {then: func(w world) { w.l.Shutdown(background()) }, state: fsm.Closed},
		"a Stop during the start": {setUp: func(w world) { w.r.at = untilEnd }, then: func(w world) { w.l.Stop(background()) }, state: fsm.Idle},
		"a Shutdown before":       {before: func(w world) { w.l.Shutdown(background()) }, state: fsm.Closed},
		"it is started already":   {before: func(w world) { w.l.Start(background()) }, then: func(w world) { w.leave(nil) }, state: fsm.Closed},
		"the start fails":         {setUp: func(w world) { w.r.failing(1, "a") }, want: errBoom, state: fsm.Idle},
		"death":                   {then: die, want: errBoom, state: fsm.Closed},
		"death, already started":  {before: func(w world) { w.l.Start(background()) }, then: die, want: errBoom, state: fsm.Closed},
		"a death that is restarted, then ctx ends": {opts: []fsm.Option{restarts(10)}, then: func(w world) {
			w.r.die(errBoom)
			w.l.Wait(background(), fsm.Idle)
			w.l.Wait(background(), fsm.Started)
			w.leave(nil)
		}, state: fsm.Closed},
		"a death for good, after restarts": {opts: []fsm.Option{restarts(2), fsm.WithLogger(slog.New(slog.DiscardHandler))}, then: func(w world) {
			w.r.failing(100, "a")
			w.r.die(errBoom)
		}, want: errBoom, state: fsm.Closed},
		"a Stop while a restart is due": {opts: []fsm.Option{restarts(2)}, then: func(w world) {
			w.r.die(errBoom)
			w.l.Wait(background(), fsm.Idle)
			w.l.Stop(background())
		}, state: fsm.Idle},
		"the close fails": {setUp: func(w world) {
			w.r.release = func(context.Context, string) error { return errMine }
		}, then: func(w world) { w.leave(nil) }, want: errMine, state: fsm.Closed},
		"a death, and the close fails": {setUp: func(w world) {
			w.r.release = func(context.Context, string) error { time.Sleep(time.Second); return errMine }
		}, then: die, want: errMine, state: fsm.Closed},
	} {
		bubble(t, name, func(t *testing.T) {
			r := newRig(t, "a")
			l := r.new(c.opts...)
			ctx, leave := context.WithCancelCause(background())
			defer leave(nil)
			w := world{r, l, leave}
			if c.setUp != nil {
				c.setUp(w)
			}
			if c.before != nil {
				c.before(w)
			}
			run := begin(t, func() error { return l.Run(ctx) })
			if c.then != nil {
				run.mustPend("Run")
				c.then(w)
			}
			time.Sleep(time.Hour)
			if run.pending() {
				t.Fatalf("G12 Progress is broken: Run stays, and the lifecycle is %v", l.State())
			}
			if !errors.Is(run.err, c.want) {
				t.Errorf("Run: %v; want %v", run.err, c.want)
			}
			if name == "death" && run.err != errBoom {
				t.Errorf("Run: %v; want the cause of death itself", run.err)
			}
			wantState(t, l, c.state)
			if len(r.held) > 0 {
				t.Errorf("G7 NoLeak is broken: after Run %v are held", r.held)
			}
			wantNil(t, "Close", l.Close())
			quiet(t)
		})
	}
	bubble(t, "closes within WithStopTimeout", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new(fsm.WithStopTimeout(time.Minute))
		ctx, leave := context.WithCancel(background())
		run := begin(t, func() error { return l.Run(ctx) })
		run.mustPend("Run")
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		leave()
		began := time.Now()
		if e := stopError(t, run.result()); e.CutOff != 1 || time.Since(began) != time.Minute {
			t.Errorf("Run: %v after %v; want one use cut off after a minute", e, time.Since(began))
		}
		lease.Release()
	})
	bubble(t, "waits for the release that another's Stop began", func(t *testing.T) {
		r := newRig(t, "a")
		r.release = func(context.Context, string) error { time.Sleep(time.Minute); return nil }
		l := r.new(fsm.WithReleaseTimeout(time.Hour))
		run := begin(t, func() error { return l.Run(background()) })
		run.mustPend("Run")
		stop := begin(t, func() error { return l.Stop(background()) })
		run.mustPend("Run while the resource is released")
		wantNil(t, "Stop", stop.result())
		wantNil(t, "Run", run.result())
	})
	bubble(t, "refuses to wait for itself", func(t *testing.T) {
		r := newRig(t, "a")
		l := started(t, r)
		wantNil(t, "Use", l.Use(background(), func(ctx context.Context, _ *rig) error {
			wantIs(t, "G15 NoSelfDeadlock: Run in a use", l.Run(ctx), fsm.ErrReentrant)
			return nil
		}))
		wantNil(t, "Close", l.Close())
	})
}

func untilEnd(ctx context.Context, _ string) error { <-ctx.Done(); return context.Cause(ctx) }

// Two owners share a component, and the first of them stops it (R53: otel-contrib #46918): the
// Stop waits for the other one's lease. With Run the end of the first ends both, and
// says so to the second. With Hold the first owner does not stop it.
func TestR53SharedComponent(t *testing.T) {
	bubble(t, "a lease keeps it open", func(t *testing.T) {
		r := newRig(t, "a")
		l := started(t, r)
		wantNil(t, "Start of the second owner", l.Start(background()))
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		stop := begin(t, func() error { return l.Stop(background()) })
		stop.mustPend("G9 DrainFirst: the Stop of the first owner")
		if r.wantLog("open +a"); lease.Resource() != r || lease.Context().Err() != nil {
			t.Error("G10 UseOnlyStarted is broken: the second owner's resource is gone")
		}
		lease.Release()
		wantNil(t, "Stop", stop.result())
		r.wantLog("-a")
	})
	bubble(t, "two Runs", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new()
		ctx, leave := context.WithCancel(background())
		first := begin(t, func() error { return l.Run(ctx) })
		second := begin(t, func() error { return l.Run(background()) })
		first.mustPend("Run")
		second.mustPend("Run")
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		leave()
		first.mustPend("the first Run, which closes")
		second.mustPend("the second Run, while the resource is released")
		lease.Release()
		wantNil(t, "the first Run", first.result())
		wantNil(t, "the second Run", second.result())
		wantState(t, l, fsm.Closed)
		r.wantLog("open +a -a")
	})
	bubble(t, "with Hold only the last owner stops it", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new()
		_, first := wantHeld(t, l)
		_, second := wantHeld(t, l)
		wantNil(t, "the first owner's release", first(background()))
		wantState(t, l, fsm.Started)
		wantNil(t, "the second owner's release", second(background()))
		r.wantLog("open +a -a")
	})
}

func TestDo(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		l := fsm.New(func(context.Context, *fsm.Scope) (string, error) { return "resource", nil })
		length := func(_ context.Context, r string) (int, error) { return len(r), errBoom }
		n, err := fsm.Do(background(), l, length)
		if n != 0 || err != fsm.ErrNotStarted {
			t.Errorf("Do while Idle: %v, %v; want 0 and ErrNotStarted", n, err)
		}
		wantNil(t, "Start", l.Start(background()))
		if n, err = fsm.Do(background(), l, length); n != 8 || err != errBoom {
			t.Errorf("Do: %v, %v; want what the function returned", n, err)
		}
		var within context.Context
		text, err := fsm.Do(background(), l, func(ctx context.Context, r string) (string, error) {
			wantIs(t, "Stop in Do", l.Stop(ctx), fsm.ErrReentrant)
			within = ctx
			return r, nil
		})
		if text != "resource" || err != nil || within.Err() == nil {
			t.Errorf("Do: %q, %v; its context has ended with %v", text, err, within.Err())
		}
		func() {
			defer func() {
				if v := recover(); v != "fsm: Do: a nil function" {
					t.Errorf("Do of a nil function panicked with %v", v)
				}
			}()
			fsm.Do[string, int](background(), l, nil)
		}()
		wantNil(t, "Close", l.Close())
		synctest.Wait()
	})
}

// Every method of a zero Lifecycle panics, and says what to do; none hangs.
func TestZeroLifecycle(t *testing.T) {
	var l fsm.Lifecycle[int]
	for name, call := range map[string]func(){
		"Start":          func() { l.Start(background()) },
		"Stop":           func() { l.Stop(background()) },
		"Shutdown":       func() { l.Shutdown(background()) },
		"Close":          func() { l.Close() },
		"Run":            func() { l.Run(background()) },
		"Use":            func() { l.Use(background(), func(context.Context, int) error { return nil }) },
		"Do":             func() { fsm.Do(background(), &l, func(context.Context, int) (int, error) { return 0, nil }) },
		"Acquire":        func() { l.Acquire() },
		"Wait":           func() { l.Wait(background(), fsm.Idle) },
		"Ready":          func() { l.Ready(background()) },
		"FlushObservers": func() { l.FlushObservers(background()) },
		"State":          func() { l.State() },
		"Status":         func() { l.Status() },
		"Done":           func() { l.Done() },
	} {
		panicked := make(chan any, 1)
		go func() {
			defer func() { panicked <- recover() }()
			call()
		}()
		select {
		case v := <-panicked: // nil: it returned
			if v != "fsm: a zero Lifecycle: make one with New" {
				t.Errorf("%s of a zero Lifecycle panicked with %v", name, v)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s of a zero Lifecycle hangs", name)
		}
	}
}

// A Scope is used where open received it. A zero one panics with a sentence.
func TestZeroScope(t *testing.T) {
	for method, call := range map[string]func(*fsm.Scope){
		"Part":  func(s *fsm.Scope) { s.Part("a") },
		"Defer": func(s *fsm.Scope) { s.Defer("a", func(context.Context) error { return nil }) },
		"Fail":  func(s *fsm.Scope) { s.Fail(errBoom) },
	} {
		func() {
			defer func() {
				if v, want := recover(), "fsm: Scope."+method+": a zero Scope: use the one that open receives"; v != want {
					t.Errorf("panicked with %v; want %s", v, want)
				}
			}()
			call(new(fsm.Scope))
		}()
	}
}

func TestLeaseMove(t *testing.T) {
	r := newRig(t, "a")
	l := started(t, r)
	lease, err := l.Acquire()
	wantNil(t, "Acquire", err)
	ctx := lease.Context()
	leases := []fsm.Lease[*rig]{lease.Move()}
	if lease.Release(); lease.Resource() != nil || ctx.Err() != nil || l.Status().InFlight != 1 {
		t.Error("a lease that was moved holds something, or has been released")
	}
	if moved := &leases[0]; moved.Resource() != r || moved.Context() != ctx {
		t.Error("the lease that it was moved to holds nothing")
	} else {
		moved.Release()
	}
	if ctx.Err() == nil || l.Status().InFlight != 0 {
		t.Error("the lease that it was moved to was not released")
	}
	wantNil(t, "Close", l.Close())
}
