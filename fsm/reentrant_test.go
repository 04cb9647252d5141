package fsm_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

// wantReentrant calls everything that would wait for itself.
func wantReentrant(t *testing.T, where string, l *fsm.Lifecycle[*rig], ctx context.Context) {
	t.Helper()
	derived, cancel := context.WithTimeout(context.WithValue(ctx, ctxKey("more"), 1), time.Hour)
	defer cancel()
	before := l.Status()
	for _, ctx := range []context.Context{ctx, derived, context.WithoutCancel(ctx)} {
		if l.State() == spec.Started {
			wantNil(t, "Start in "+where, l.Start(ctx)) // the fast path (G2)
		} else {
			wantIs(t, "Start in "+where, l.Start(ctx), fsm.ErrReentrant)
		}
		wantIs(t, "Stop in "+where, l.Stop(ctx), fsm.ErrReentrant)
		wantIs(t, "Shutdown in "+where, l.Shutdown(ctx), fsm.ErrReentrant)
	}
	if after := l.Status(); after.State != before.State || after.Since != before.Since || after.Waiters != before.Waiters {
		t.Errorf("in %s: the refused calls changed %+v to %+v", where, before, after)
	}
}

func TestG15NoSelfDeadlock(t *testing.T) {
	bubble(t, "open, release, use, lease", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new()
		asked := 0
		r.at = func(ctx context.Context, _ string) error {
			asked++
			wantReentrant(t, "open", l, ctx)
			return nil
		}
		r.release = func(ctx context.Context, _ string) error {
			asked++
			wantReentrant(t, "release", l, ctx)
			return nil
		}
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Use", l.Use(background(), func(ctx context.Context, _ *rig) error {
			asked++
			wantReentrant(t, "use", l, ctx)
			return l.Use(ctx, func(ctx context.Context, _ *rig) error {
				asked++
				wantReentrant(t, "a use within a use", l, ctx)
				return nil
			})
		}))
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		wantReentrant(t, "a lease", l, lease.Context())
		lease.Release()
		wantNil(t, "Stop", l.Stop(background()))
		wantState(t, l, spec.Idle)
		if asked != 5 {
			t.Errorf("asked in %d hooks; want 5", asked)
		}
		r.wantLog("open +a -a")
	})
	bubble(t, "while the drain waits for the use that asks", func(t *testing.T) {
		r := newRig(t, "a")
		l := started(t, r)
		stop := begin(t, func() error { return nil })
		wantNil(t, "Use", l.Use(background(), func(ctx context.Context, _ *rig) error {
			stop = begin(t, func() error { return l.Stop(background()) })
			stop.mustPend("Stop under a use")
			wantReentrant(t, "a use that is drained", l, ctx)
			return nil
		}))
		wantNil(t, "Stop", stop.result())
	})
	bubble(t, "a deaf use after its resource is gone", func(t *testing.T) {
		r := newRig(t, "a")
		l := started(t, r)
		over, cancel := context.WithCancel(background())
		cancel()
		wantNil(t, "Use", l.Use(background(), func(ctx context.Context, _ *rig) error {
			stopError(t, l.Stop(over))
			synctest.Wait()
			wantState(t, l, spec.Idle)
			wantReentrant(t, "a use that was cut off", l, ctx)
			return nil
		}))
	})
	bubble(t, "what has ended is no concern", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new()
		var open, release, use, outer context.Context
		r.at = func(ctx context.Context, _ string) error { open = context.WithoutCancel(ctx); return nil }
		r.release = func(ctx context.Context, _ string) error { release = context.WithoutCancel(ctx); return nil }
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Use", l.Use(background(), func(ctx context.Context, _ *rig) error {
			outer = context.WithoutCancel(ctx)
			wantNil(t, "Use", l.Use(ctx, func(ctx context.Context, _ *rig) error {
				use = context.WithoutCancel(ctx)
				return nil
			}))
			wantReentrant(t, "the outer use, with the inner one's context", l, use)
			return nil
		}))
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		leased := context.WithoutCancel(lease.Context())
		lease.Release()
		wantNil(t, "Stop with open's context", l.Stop(open))
		for name, ctx := range map[string]context.Context{"open": open, "release": release, "use": use, "outer use": outer, "lease": leased} {
			wantNil(t, "Start with the context of a "+name+" that has ended", l.Start(ctx))
			wantNil(t, "Stop with the context of a "+name+" that has ended", l.Stop(ctx))
		}
		wantNil(t, "Shutdown with a release's context", l.Shutdown(release))
	})
	bubble(t, "the resource's own context, once open has returned", func(t *testing.T) {
		r := newRig(t, "a")
		l := started(t, r)
		done := begin(t, func() error { <-r.ctx.Done(); return l.Stop(context.WithoutCancel(r.ctx)) })
		wantNil(t, "Stop with the resource's context", l.Stop(context.WithoutCancel(r.ctx)))
		wantNil(t, "Stop with the resource's context", done.result())
	})
	bubble(t, "other lifecycles' contexts nest", func(t *testing.T) {
		inner := newRig(t, "i")
		in := inner.new()
		outer := newRig(t, "o")
		out := outer.new()
		outer.at = func(ctx context.Context, part string) error {
			if part == "o" {
				return in.Start(ctx)
			}
			return nil
		}
		outer.release = func(ctx context.Context, _ string) error { return in.Stop(ctx) }
		wantNil(t, "Start", out.Start(background()))
		wantState(t, in, spec.Started)
		wantNil(t, "Use", out.Use(background(), func(ctx context.Context, _ *rig) error {
			return in.Use(ctx, func(ctx context.Context, _ *rig) error {
				wantIs(t, "Stop of the outer one", out.Stop(ctx), fsm.ErrReentrant) // through the inner one's context
				wantIs(t, "Stop of the inner one", in.Stop(ctx), fsm.ErrReentrant)
				return nil
			})
		}))
		wantNil(t, "Use of the outer one alone", out.Use(background(), func(ctx context.Context, _ *rig) error {
			return in.Stop(ctx)
		}))
		wantNil(t, "Stop", out.Stop(background()))
		// The inner open, called from the outer one, may not wait for the outer one.
		inner.at = func(ctx context.Context, _ string) error {
			wantIs(t, "Start of the outer one", out.Start(ctx), fsm.ErrReentrant)
			return nil
		}
		wantNil(t, "Start", out.Start(background()))
		wantNil(t, "Shutdown", out.Shutdown(background()))
		wantNil(t, "Shutdown", in.Shutdown(background()))
	})
	bubble(t, "precedence in Stop and Shutdown: before any effect", func(t *testing.T) {
		r := newRig(t, "a")
		l := started(t, r)
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		ctx, cancel := context.WithCancel(lease.Context())
		cancel() // reentrant and ended
		wantIs(t, "Stop", l.Stop(ctx), fsm.ErrReentrant)
		wantIs(t, "Shutdown", l.Shutdown(ctx), fsm.ErrReentrant)
		wantState(t, l, spec.Started)
		lease.Release()
		wantNil(t, "Stop", l.Stop(background()))
		wantNil(t, "Start: the refused Shutdown left no trace", l.Start(background()))
		wantNil(t, "Stop", l.Stop(background()))
	})
	bubble(t, "Close takes no part in it: its bound ends it", func(t *testing.T) {
		r := newRig(t, "a")
		l := started(t, r, fsm.WithStopTimeout(time.Minute))
		wantNil(t, "Use", l.Use(background(), func(ctx context.Context, _ *rig) error {
			if e := stopError(t, l.Close()); e.CutOff != 1 {
				t.Errorf("Close in a use: %+v; want the use itself cut off", e)
			}
			wantIs(t, "the use's context", context.Cause(ctx), fsm.ErrClosed)
			return nil
		}))
		_, err := l.Wait(background(), spec.Closed)
		wantNil(t, "Wait", err)
	})
	bubble(t, "Wait takes no part in it", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new()
		r.at = func(ctx context.Context, part string) error {
			s, err := l.Wait(ctx, spec.Starting)
			if s != spec.Starting || err != nil {
				t.Errorf("Wait in open: %v, %v; want Starting", s, err)
			}
			return nil
		}
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Stop", l.Stop(background()))
	})
	bubble(t, "an observer may call any method", func(t *testing.T) {
		r := newRig(t, "a")
		var l *fsm.Lifecycle[*rig]
		var seen []spec.Event
		l = r.new(fsm.WithObserver(func(tr fsm.Transition) {
			seen = append(seen, tr.Event)
			l.State()
			l.Status()
			l.Use(background(), nil2)
			switch {
			case tr.Event == spec.EventOpened && tr.Attempt == 1:
				wantNil(t, "Start in an observer", l.Start(background()))
				wantNil(t, "Stop in an observer", l.Stop(background()))
				wantNil(t, "Start in an observer", l.Start(background()))
			case tr.Event == spec.EventOpened:
				wantNil(t, "Close in an observer", l.Close())
			}
			l.Wait(background(), spec.Started, spec.Closed)
		}))
		wantNil(t, "Start", l.Start(background()))
		_, err := l.Wait(background(), spec.Closed)
		wantNil(t, "Wait", err)
	})
}
