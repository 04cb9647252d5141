package fsm_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/kept"
)

// What an attempt keeps of its callers, and for how long (R33 to R35, golang #68923, fiber #3718, reactor-netty #4299: a context
// chain that grows with each reconnect; a pooled request's context used by what outlives
// the request; a background task that keeps the first request's data).

// pooled is a request's context: after the request another one has it.
type pooled struct {
	context.Context
	t     testing.TB
	freed atomic.Bool
}

func (p *pooled) look() {
	if p.freed.Load() {
		p.t.Errorf("the context of a request that is over was used:\n%s", stack())
	}
}

func (p *pooled) Deadline() (time.Time, bool) { p.look(); return p.Context.Deadline() }
func (p *pooled) Done() <-chan struct{}       { p.look(); return p.Context.Done() }
func (p *pooled) Err() error                  { p.look(); return p.Context.Err() }
func (p *pooled) Value(key any) any           { p.look(); return p.Context.Value(key) }

func stack() []byte {
	buf := make([]byte, 1<<16)
	return buf[:runtime.Stack(buf, false)]
}

// No method of a caller's context is called after its call.
func TestR34PooledContext(t *testing.T) {
	for name, opts := range map[string][]fsm.Option{
		"by default": nil,
		"with a value taken from it": {fsm.WithCallerContext(func(caller context.Context) context.Context {
			return context.WithValue(background(), ctxKey("who"), caller.Value(ctxKey("who")))
		})},
		"retried and restarted": {fsm.WithRetry(atOnce{3}), fsm.WithRestart(atOnce{3})},
	} {
		bubble(t, name, func(t *testing.T) {
			r := newRig(t, "a", "b")
			look := func(ctx context.Context, _ string) error { ctx.Value(ctxKey("who")); return nil }
			r.at, r.release = look, look
			l := r.new(opts...)
			request := func(f func(ctx context.Context) error) {
				p := &pooled{Context: context.WithValue(background(), ctxKey("who"), "alice"), t: t}
				ctx, cancel := context.WithTimeout(p, time.Minute)
				f(ctx)
				f(p)
				cancel()
				p.freed.Store(true)
			}
			request(l.Start)
			request(func(ctx context.Context) error {
				return l.Use(ctx, func(ctx context.Context, _ *rig) error { return look(ctx, "") })
			})
			lease, err := l.Acquire()
			wantNil(t, "Acquire", err)
			look(lease.Context(), "")
			r.die(errBoom)
			lease.Release()
			synctest.Wait()
			request(l.Start)
			request(l.Stop)
			request(l.Start)
			wantNil(t, "Close", l.Close())
		})
	}
}

// What open does for as long as the resource runs has nothing of the first request.
func TestR35NothingOfTheCaller(t *testing.T) {
	r := newRig(t, "a")
	carries := func(ctx context.Context, _ string) error {
		if v := ctx.Value(ctxKey("who")); v != nil {
			t.Errorf("a context that is not the caller's own carries the value %v", v)
		}
		return nil
	}
	r.at, r.release = carries, carries
	l := r.new(fsm.WithRetry(atOnce{2}))
	wantNil(t, "Start", l.Start(context.WithValue(background(), ctxKey("who"), "alice")))
	carries(r.ctx, "")
	lease, err := l.Acquire()
	wantNil(t, "Acquire", err)
	carries(lease.Context(), "")
	lease.Release()
	wantNil(t, "Stop", l.Stop(context.WithValue(background(), ctxKey("who"), "bob")))
}

// depth is how many contexts there are one around the other.
func depth(ctx context.Context) int { return strings.Count(fmt.Sprint(ctx), ".With") }

// Restarts do not put a context around a context (R33).
func TestG7RestartsDoNotDeepenTheContext(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new(fsm.WithRestart(nextFunc(func(int, error) (time.Duration, bool) { return time.Second, true })), fsm.WithCallerContext(itself),
			fsm.WithBaseContext(context.WithValue(background(), ctxKey("base"), 1)))
		wantNil(t, "Start", l.Start(context.WithValue(background(), ctxKey("who"), "alice")))
		first := depth(r.ctx)
		for range 1000 {
			r.die(errBoom)
			_, err := l.Wait(background(), fsm.Idle)
			wantNil(t, "Wait", err)
			_, err = l.Wait(background(), fsm.Started)
			wantNil(t, "Wait", err)
		}
		if got := depth(r.ctx); got != first || first == 0 {
			t.Errorf("G7 NoLeak is broken: the context of the 1001st attempt is %d deep, that of the first %d", got, first)
		}
		if r.ctx.Value(ctxKey("who")) != "alice" || r.ctx.Value(ctxKey("base")) != 1 {
			t.Error("the values of the attempt that died are not those of the one after it")
		}
		wantNil(t, "Close", l.Close())
	})
}

// A large value, and whether it is kept.
func large() (*[1 << 16]byte, func() bool) {
	v := new([1 << 16]byte)
	return v, kept.Watch(v)
}

// While Idle or Closed nothing is kept in memory that an attempt had: neither a caller's
// values nor the resource.
func TestR35NothingIsKeptInIdle(t *testing.T) {
	type resource = *[1 << 16]byte
	type life struct {
		l     *fsm.Lifecycle[resource]
		start func() error // with a context of its own
		scope *fsm.Scope
		fails error
	}
	for name, c := range map[string]struct {
		opts []fsm.Option
		live func(t *testing.T, x *life)
	}{
		"after a Stop": {nil, func(t *testing.T, x *life) {
			wantNil(t, "Start", x.start())
			wantNil(t, "Use", x.l.Use(background(), func(context.Context, resource) error { return nil }))
			wantNil(t, "Stop", x.l.Stop(background()))
		}},
		"after a Shutdown": {nil, func(t *testing.T, x *life) {
			wantNil(t, "Start", x.start())
			wantNil(t, "Shutdown", x.l.Shutdown(background()))
		}},
		"after a forced Stop": {nil, func(t *testing.T, x *life) {
			wantNil(t, "Start", x.start())
			lease, err := x.l.Acquire()
			wantNil(t, "Acquire", err)
			lease.Context()
			over, cancel := context.WithCancel(background())
			cancel()
			stopError(t, x.l.Stop(over))
			lease.Release()
			_, err = x.l.Wait(background(), fsm.Idle)
			wantNil(t, "Wait", err)
		}},
		"after a start that failed": {nil, func(t *testing.T, x *life) {
			x.fails = errBoom
			wantIs(t, "Start", x.start(), errBoom)
		}},
		"after a start that was cancelled between two tries": {[]fsm.Option{
			fsm.WithStartTimeout(time.Hour), fsm.WithRetry(nextFunc(func(int, error) (time.Duration, bool) { return time.Hour, true })),
		}, func(t *testing.T, x *life) {
			x.fails = errBoom
			start := begin(t, x.start)
			for x.l.Status().Cause == nil {
				time.Sleep(time.Millisecond)
			}
			wantNil(t, "Stop", x.l.Stop(background()))
			wantIs(t, "Start", start.result(), fsm.ErrStopped)
		}},
		"after a death": {nil, func(t *testing.T, x *life) {
			wantNil(t, "Start", x.start())
			x.scope.Fail(errBoom)
			_, err := x.l.Wait(background(), fsm.Idle)
			wantNil(t, "Wait", err)
		}},
		"after a restart was called off": {[]fsm.Option{fsm.WithRestart(nextFunc(func(int, error) (time.Duration, bool) { return time.Hour, true }))},
			func(t *testing.T, x *life) {
				wantNil(t, "Start", x.start())
				x.scope.Fail(errBoom)
				_, err := x.l.Wait(background(), fsm.Idle)
				wantNil(t, "Wait", err)
				wantNil(t, "Stop", x.l.Stop(background()))
			}},
		"after the restarts were given up": {[]fsm.Option{fsm.WithLogger(slog.New(slog.DiscardHandler)), fsm.WithRestart(nextFunc(func(int, error) (time.Duration, bool) { return 0, false }))},
			func(t *testing.T, x *life) {
				wantNil(t, "Start", x.start())
				x.scope.Fail(errBoom)
				_, err := x.l.Wait(background(), fsm.Idle)
				wantNil(t, "Wait", err)
			}},
	} {
		t.Run(name, func(t *testing.T) {
			x := &life{}
			var resourceKept, valueKept func() bool
			x.l = fsm.New(func(_ context.Context, s *fsm.Scope) (resource, error) {
				var r resource
				r, resourceKept = large()
				s.Defer("a", func(context.Context) error { runtime.KeepAlive(r); return nil })
				x.scope = s
				return r, x.fails
			}, append(c.opts, fsm.WithCallerContext(itself))...)
			x.start = func() error {
				v, isKept := large()
				valueKept = isKept
				return x.l.Start(context.WithValue(background(), ctxKey("large"), v))
			}
			c.live(t, x)
			x.scope = nil // the caller's own
			if resourceKept() {
				t.Error("G7 NoLeak is broken: the resource is still in memory")
			}
			if valueKept() {
				t.Error("G7 NoLeak is broken: the values of the caller are still in memory")
			}
			runtime.KeepAlive(x.l)
		})
	}
}

func TestWithCallerContext(t *testing.T) {
	who := func(ctx context.Context) any { return ctx.Value(ctxKey("who")) }
	named := func(name string) context.Context { return context.WithValue(background(), ctxKey("who"), name) }
	bubble(t, "values of the first that waits, also when it has left", func(t *testing.T) {
		r := newRig(t, "a")
		proceed := make(chan struct{})
		r.at = func(context.Context, string) error { <-proceed; return nil }
		asked := 0
		l := r.new(fsm.WithRetry(atOnce{2}), fsm.WithCallerContext(func(caller context.Context) context.Context { asked++; return caller }))
		ctx, cancel := context.WithCancel(named("first"))
		first := begin(t, func() error { return l.Start(ctx) })
		first.mustPend("Start")
		second := begin(t, func() error { return l.Start(named("second")) })
		second.mustPend("Start")
		cancel()
		leaveError(t, first.result())
		close(proceed)
		wantNil(t, "Start", second.result())
		if who(r.ctx) != "first" || r.ctx.Err() != nil || asked != 2 {
			t.Errorf("open's context carries the value of %v and has ended with %v; %d Starts were asked", who(r.ctx), r.ctx.Err(), asked)
		}
		wantNil(t, "Start", l.Start(named("third"))) // it has started: it is not asked
		wantIs(t, "Start", l.Start(canceled()), nil)
		wantNil(t, "Stop", l.Stop(background()))
		wantIs(t, "Start", l.Start(canceled()), context.Canceled) // it begins nothing
		if asked != 2 {
			t.Errorf("%d Starts were asked; want 2", asked)
		}
	})
	bubble(t, "in the queue", func(t *testing.T) {
		r := newRig(t, "a")
		r.release = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		l := r.new(fsm.WithCallerContext(itself))
		wantNil(t, "Start", l.Start(named("old")))
		stop := begin(t, func() error { return l.Stop(background()) })
		stop.mustPend("Stop")
		ctx, cancel := context.WithCancel(named("queued first"))
		first := begin(t, func() error { return l.Start(ctx) })
		first.mustPend("Start")
		second := begin(t, func() error { return l.Start(named("queued second")) })
		second.mustPend("Start")
		cancel()
		if e := leaveError(t, first.result()); e.Attempt != 0 {
			t.Errorf("who left the queue got %+v; want no attempt", e)
		}
		wantNil(t, "Start", second.result())
		if who(r.ctx) != "queued first" {
			t.Errorf("open's context carries the value of %v", who(r.ctx))
		}
		wantNil(t, "Close", l.Close())
	})
	bubble(t, "before those of WithBaseContext", func(t *testing.T) {
		r := newRig(t, "a")
		base := context.WithValue(named("base"), ctxKey("logger"), "base's")
		l := r.new(fsm.WithCallerContext(itself), fsm.WithBaseContext(base))
		wantNil(t, "Start", l.Start(named("caller")))
		if who(r.ctx) != "caller" || r.ctx.Value(ctxKey("logger")) != "base's" {
			t.Errorf("open's context has %v and %v; want the caller's and base's", who(r.ctx), r.ctx.Value(ctxKey("logger")))
		}
		wantNil(t, "Close", l.Close())
	})
	bubble(t, "nil: none", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new(fsm.WithCallerContext(func(context.Context) context.Context { return nil }), fsm.WithBaseContext(named("base")))
		wantNil(t, "Start", l.Start(named("caller")))
		if who(r.ctx) != "base" {
			t.Errorf("open's context carries the value of %v; want base's", who(r.ctx))
		}
		wantNil(t, "Close", l.Close())
	})
	bubble(t, "a panic is the caller's, and nothing has happened", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new(fsm.WithCallerContext(func(context.Context) context.Context { panic(errBoom) }))
		before := l.Status()
		if err := contained(func() error { return l.Start(background()) })(); err == nil || !strings.Contains(err.Error(), "boom") {
			t.Errorf("Start: %v; want its panic", err)
		}
		if after := l.Status(); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("the Start that panicked changed %v to %v", before, after)
		}
		r.wantLog("")
		wantNil(t, "Close", l.Close())
	})
	bubble(t, "outside every lock", func(t *testing.T) {
		var l *fsm.Lifecycle[int]
		l = fsm.New(nothing, fsm.WithCallerContext(func(caller context.Context) context.Context {
			wantState(t, l, fsm.Idle)
			l.Status()
			return caller
		}))
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Close", l.Close())
	})
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(background())
	cancel()
	return ctx
}

// callersKey is of the name of the caller whose values a context has.
type callersKey struct{}

func callerOf(name string) context.Context {
	return context.WithValue(background(), callersKey{}, name)
}

// An attempt has the values of the caller that made it: of the first in the queue, if it was queued, and of the
// one that died, if it is a restart.
func TestAttemptHasItsOwnCallersValues(t *testing.T) {
	var seen []any // the callers whose values open saw
	look := func(ctx context.Context, part string) error {
		if part == "" {
			seen = append(seen, ctx.Value(callersKey{}))
		}
		return nil
	}
	bubble(t, "queued", func(t *testing.T) {
		seen = nil
		r := newRig(t, "a")
		r.at = look
		r.release = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		l := r.new(fsm.WithCallerContext(itself))
		wantNil(t, "Start", l.Start(callerOf("first")))
		stop := begin(t, func() error { return l.Stop(background()) })
		stop.mustPend("Stop")
		second := begin(t, func() error { return l.Start(callerOf("second")) })
		second.mustPend("the queued Start")
		wantNil(t, "the queued Start", second.result())
		wantNil(t, "Stop", stop.result())
		if want := []any{"first", "second"}; !slices.Equal(seen, want) {
			t.Errorf("open saw the values of %v; want %v", seen, want)
		}
		wantNil(t, "Close", l.Close())
	})
	bubble(t, "restarted", func(t *testing.T) {
		seen = nil
		r := newRig(t, "a")
		r.at = look
		l := r.new(fsm.WithCallerContext(itself), fsm.WithRestart(&backoff{n: 5}))
		for _, caller := range []string{"a", "b"} {
			wantNil(t, "Start", l.Start(callerOf(caller)))
			r.die(errBoom)
			time.Sleep(time.Minute)
			wantNil(t, "Stop", l.Stop(background()))
		}
		if want := []any{"a", "a", "b", "b"}; !slices.Equal(seen, want) {
			t.Errorf("open saw the values of %v; want %v", seen, want)
		}
		wantNil(t, "Close", l.Close())
	})
}
