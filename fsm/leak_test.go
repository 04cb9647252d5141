package fsm_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/kept"
)

func TestG7NoLeak(t *testing.T) {
	bubble(t, "idle, started, closed: no goroutine, no part", func(t *testing.T) {
		r := newRig(t, "a", "b")
		l := r.new(fsm.WithStartTimeout(time.Hour), fsm.WithObserver(func(fsm.Transition) {}))
		quiet(t)
		for range 3 {
			wantNil(t, "Start", l.Start(background()))
			quiet(t)
			lease, err := l.Acquire()
			wantNil(t, "Acquire", err)
			lease.Context()
			quiet(t)
			lease.Release()
			wantNil(t, "Use", l.Use(background(), func(context.Context, *rig) error { quiet(t); return nil }))
			quiet(t)
			wantNil(t, "Stop", l.Stop(background()))
			quiet(t)
			if s := l.Status(); len(s.Held) > 0 || s.Releasing != "" || len(r.held) > 0 {
				t.Errorf("idle: %+v; held %v", s, r.held)
			}
		}
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Shutdown", l.Shutdown(background()))
		quiet(t)
		if s := l.Status(); len(s.Held) > 0 || len(r.held) > 0 {
			t.Errorf("closed: %+v; held %v", s, r.held)
		}
	})
	bubble(t, "the goroutine is there while an operation runs", func(t *testing.T) { // or quiet shows nothing
		r := newRig(t, "a")
		proceed := make(chan struct{})
		r.at = func(context.Context, string) error { <-proceed; return nil }
		l := r.new()
		start := begin(t, func() error { return l.Start(background()) })
		start.mustPend("Start")
		if own := bubbleGoroutines(); len(own) != 1 {
			t.Errorf("%d goroutines of the library while opening; want 1:\n%s", len(own), strings.Join(own, "\n\n"))
		}
		close(proceed)
		wantNil(t, "Start", start.result())
		wantNil(t, "Stop", l.Stop(background()))
	})
	type big struct{ _ [1 << 16]byte }
	t.Run("what ended is not kept alive", func(t *testing.T) {
		var isKept func() bool
		l := fsm.New(func(context.Context, *fsm.Scope) (*big, error) {
			b := new(big)
			isKept = kept.Watch(b)
			return b, nil
		}, fsm.WithStartTimeout(time.Hour)) // whose timer must not keep it either
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Stop", l.Stop(background()))
		if isKept() {
			t.Fatal("the resource of an idle lifecycle is still reachable")
		}
		runtime.KeepAlive(l)
	})
	t.Run("a restart that was called off keeps nothing alive", func(t *testing.T) {
		hour := nextFunc(func(int, error) (time.Duration, bool) { return time.Hour, true })
		var isKept func() bool
		func() {
			r := newRig(t, "a")
			l := r.new(fsm.WithRestart(hour))
			isKept = kept.Watch(l)
			wantNil(t, "Start", l.Start(background()))
			r.die(errBoom)
			for i := 0; l.Status().RestartAt.IsZero(); i++ {
				if i == 1_000_000 {
					t.Fatal("no restart is due")
				}
				runtime.Gosched()
			}
			wantNil(t, "Stop", l.Stop(background()))
		}()
		if isKept() {
			t.Fatal("a lifecycle that was stopped while a restart was due is still reachable")
		}
	})
}
