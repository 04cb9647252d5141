package fsm_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// The name of this file makes its test the first: a lock that is left would hang
// whichever test comes by it, and show nothing.
func TestG12NoLockIsLeft(t *testing.T) {
	over, cancel := context.WithCancel(background())
	cancel()
	var scope *fsm.Scope
	l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
		scope = s
		s.Part("a")
		s.Defer("a", func(context.Context) error { return nil })
		return 0, nil
	}, fsm.WithObserver(func(fsm.Transition) {}))
	var lease fsm.Lease[int]
	var release func(context.Context) error
	acquire := func() { lease, _ = l.Acquire() }
	use := func() { l.Use(background(), func(context.Context, int) error { return nil }) }
	for _, step := range []struct {
		what string
		call func()
	}{
		{"Wait for the present state", func() { l.Wait(background(), fsm.Idle) }},
		{"Wait with an ended context", func() { l.Wait(over, fsm.Started) }},
		{"Acquire while Idle", acquire},
		{"Start with an ended context", func() { l.Start(over) }},
		{"Start", func() { l.Start(background()) }},
		{"Acquire", acquire},
		{"Lease.Context", func() { lease.Context() }},
		{"Lease.Context again", func() { lease.Context() }},
		{"Lease.Release", func() { lease.Release() }},
		{"Use", use},
		{"Acquire again", acquire},
		{"Stop that forces", func() { l.Stop(over) }},
		{"Wait for its end", func() { l.Wait(background(), fsm.Idle) }},
		{"Lease.Release after the end", func() { lease.Release() }},
		{"Lease.Fail of an old attempt", func() { lease.Fail(errBoom) }},
		{"Start again", func() { l.Start(background()) }},
		{"Scope.Fail", func() { scope.Fail(errBoom) }},
		{"Wait for its release", func() { l.Wait(background(), fsm.Idle) }},
		{"Hold", func() { _, release, _ = l.Hold(background()) }},
		{"its release that leaves", func() { release(over) }},
		{"Wait for the end of the hold", func() { l.Wait(background(), fsm.Idle) }},
		{"Start once more", func() { l.Start(background()) }},
		{"Stop", func() { l.Stop(background()) }},
		{"Scope.Defer after the end", func() { scope.Defer("b", func(context.Context) error { return nil }) }},
		{"Shutdown", func() { l.Shutdown(background()) }},
		{"Shutdown again", func() { l.Shutdown(background()) }},
		{"Wait for what will not be", func() { l.Wait(background(), fsm.Started) }},
		{"Start when Closed", func() { l.Start(background()) }},
		{"Use when Closed", use},
	} {
		returns(t, step.what, step.call)
		unlocked(t, l)
	}
}

// unlocked fails the test if the lifecycle's lock is never unlocked, instead of hanging.
func unlocked[R any](t testing.TB, l *fsm.Lifecycle[R]) {
	t.Helper()
	returns(t, "Status", func() { l.Status() })
}

// returns fails the test, where it would hang, if f never returns.
func returns(t testing.TB, what string, f func()) {
	t.Helper()
	returned := make(chan struct{})
	go func() { defer close(returned); f() }()
	select {
	case <-returned:
	case <-time.After(10 * time.Second):
		t.Fatalf("G12 Progress is broken: %s never returns", what)
	}
}

// Nor by the timer of a restart, whichever is first, it or a Stop.
func TestG12NoRestartLeavesTheLock(t *testing.T) {
	const soon = 50 * time.Microsecond
	r := newRig(t, "a")
	var asked atomic.Int64
	l := r.new(fsm.WithRestart(nextFunc(func(int, error) (time.Duration, bool) {
		if asked.Add(1) > 1000 {
			select {} // for ever, rather than without end
		}
		return soon, true
	})))
	for i := range 300 {
		returns(t, "Start", func() { l.Start(background()) })
		attempt := l.Status().Attempt
		r.die(errBoom)
		if i%10 == 0 {
			returns(t, "Status until it runs again", func() {
				for s := l.Status(); s.Attempt == attempt || s.State != fsm.Started; s = l.Status() {
					time.Sleep(soon)
				}
			})
		}
		for due := time.Now(); time.Since(due) < soon+time.Duration(i%20)*time.Microsecond; { // a Sleep is longer
		}
		returns(t, "Stop", func() { l.Stop(background()) })
		unlocked(t, l)
	}
}
