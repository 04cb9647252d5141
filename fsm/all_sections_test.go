package fsm

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/spec"
)

// A section examines the lifecycle where it starts a goroutine, within the critical section: right
// after a transition, for the observers, or to run what is due.
type section struct {
	dueBeside
	look    func(State)
	running atomic.Int64
}

func newSection(t *testing.T, look func(l *Lifecycle[int], s State), open func(context.Context, *Scope) (int, error), opts ...Option) *section {
	h := &section{dueBeside: dueBeside{t: t, beside: func() {}}}
	h.waits.Store(1) // dueBeside stands in for no try
	h.l = New(open, append(opts, WithObserver(func(Transition) {}), control.WithHook(h).(Option))...)
	h.look = func(s State) { look(h.l, s) }
	return h
}

func (h *section) Go(f func()) func() {
	if h.l.mu.TryLock() {
		h.l.mu.Unlock()
		h.t.Errorf("a transition to %v, or its operation, without the lock", h.l.State())
	} else {
		h.look(h.l.State())
	}
	h.running.Add(1)
	return func() { defer h.running.Add(-1); f() }
}

// await waits until at most n of the goroutines run. Then those of the observers have ended, and
// the next transition starts one. Within an open or a release n is 1, for the operation.
func (h *section) await(n int64) {
	for h.running.Load() > n {
		runtime.Gosched()
	}
}

// The state and the gate, as a use sees them that takes no lock: an open gate means Started, and one that
// has seen another state is not admitted any more (G10).
func TestG10GateIsClosedFirst(t *testing.T) {
	for name, end := range map[string]func(h *section, s *Scope){
		"Stop":     func(h *section, _ *Scope) { h.l.Stop(context.Background()) },
		"Shutdown": func(h *section, _ *Scope) { h.l.Shutdown(context.Background()) },
		"Fail":     func(_ *section, s *Scope) { s.Fail(errors.New("dead")) },
	} {
		t.Run(name, func(t *testing.T) {
			var scope *Scope
			seen := 0
			h := newSection(t, func(l *Lifecycle[int], s State) {
				if s != Stopping {
					return
				}
				seen++
				if a := l.opened.Load(); a != nil && a.gate.Load() >= 0 {
					t.Error("G10 UseOnlyStarted is broken: a use is admitted that has seen Stopping")
				}
			}, func(_ context.Context, s *Scope) (int, error) { scope = s; return 1, nil })
			if err := ends(t, "Start", func() error { return h.l.Start(context.Background()) }); err != nil {
				t.Fatal(err)
			}
			h.await(0)
			end(h, scope)
			h.await(0)
			if err := ends(t, "Close", h.l.Close); err != nil {
				t.Error(err)
			}
			if seen == 0 {
				t.Error("no goroutine was made in Stopping: nothing was looked at")
			}
		})
	}
}

// Each transition is made under the lock, whichever code makes it.
func TestG12TransitionsTakeTheLock(t *testing.T) {
	var scope *Scope
	fail := errors.New("boom")
	result := func() error { return nil }
	states := make(map[State]int)
	var h *section
	h = newSection(t, func(_ *Lifecycle[int], s State) { states[s]++ }, func(_ context.Context, s *Scope) (int, error) {
		scope = s
		s.Defer("a", func(context.Context) error { h.await(1); return nil })
		h.await(1)
		return 0, result()
	}, WithRestart(always{}), WithStartTimeout(time.Hour))
	step := func(what string, want error, call func(context.Context) error) {
		t.Helper()
		h.await(0)
		if err := ends(t, what, func() error { return call(context.Background()) }); !errors.Is(err, want) {
			t.Errorf("%s: %v; want %v", what, err, want)
		}
		h.await(0)
	}
	step("Start", nil, h.l.Start)
	step("Use", nil, func(ctx context.Context) error {
		return h.l.Use(ctx, func(context.Context, int) error { return nil })
	})
	step("Stop", nil, h.l.Stop)
	result = func() error { return fail }
	step("Start that fails", fail, h.l.Start)
	result = func() error { return nil }
	step("Start again", nil, h.l.Start)
	scope.Fail(fail)
	step("a restart", nil, func(ctx context.Context) error { _, err := h.l.Wait(ctx, Started); return err })
	step("Shutdown", nil, h.l.Shutdown)
	for _, s := range []State{Starting, Started, Stopping, Idle, Closed} {
		if states[s] == 0 {
			t.Errorf("no goroutine was made in %v: nothing was looked at", s)
		}
	}
}

// An open that calls runtime.Goexit is called once, and its attempt ends.
func TestG12OpenThatExitsEnds(t *testing.T) {
	var opened atomic.Int64
	l := New(func(context.Context, *Scope) (int, error) {
		if opened.Add(1) == 1 {
			runtime.Goexit()
		}
		return 0, nil
	})
	if err := ends(t, "Start", func() error { return l.Start(context.Background()) }); err == nil || opened.Load() != 1 {
		t.Errorf("Start: %v, after %d calls of open; want an error, after one", err, opened.Load())
	}
	if err := ends(t, "Close", l.Close); err != nil {
		t.Error(err)
	}
}

// A Backoff that calls runtime.Goexit is called once, and the attempt ends, also if open had returned nil after a
// failure was reported.
func TestG12BackoffThatExitsEnds(t *testing.T) {
	boom := errors.New("boom")
	var asked atomic.Int64
	l := New(func(_ context.Context, s *Scope) (int, error) {
		s.Fail(boom)
		return 0, nil
	}, WithRetry(nextExits{&asked}))
	if err := ends(t, "Start", func() error { return l.Start(context.Background()) }); !errors.Is(err, boom) || asked.Load() != 1 {
		t.Errorf("Start: %v, after %d calls of Next; want %v, after one", err, asked.Load(), boom)
	}
	if err := ends(t, "Close", l.Close); err != nil {
		t.Error(err)
	}
}

// nextExits is a Backoff.
type nextExits struct{ calls *atomic.Int64 }

func (b nextExits) Next(int, error) (time.Duration, bool) {
	b.calls.Add(1)
	runtime.Goexit()
	return 0, true
}

// A Wait that has its answer at once leaves nothing behind.
func TestWaitForThePresentStateLeavesNothing(t *testing.T) {
	l := New(func(context.Context, *Scope) (int, error) { return 1, nil })
	for _, states := range [][]State{{Idle}, {Starting, Idle}} {
		if s, err := l.Wait(context.Background(), states...); s != Idle || err != nil {
			t.Errorf("Wait(%v): %v, %v; want Idle", states, s, err)
		}
	}
	if n := len(l.watchers); n != 0 {
		t.Errorf("%d watchers are left", n)
	}
}

// A panic of the machine, which is a bug of the package, names the event and the state.
func TestMachineBugNamesEventAndState(t *testing.T) {
	defer func() {
		want := "fsm: " + spec.Event(99).String() + " in Idle: "
		if text := fmt.Sprint(recover()); !strings.HasPrefix(text, want) {
			t.Errorf("%s; want %q at its beginning", text, want)
		}
	}()
	newMachine().fire(spec.Event(99))
}

// A caller that leaves a Start or a Stop reads its context without the lock: the context's methods are not the
// library's, and may ask it for something.
func TestG12LeavingReadsTheContextUnlocked(t *testing.T) {
	proceed := make(chan struct{})
	l := New(func(context.Context, *Scope) (int, error) { <-proceed; return 1, nil })
	asking := func() (asks, context.CancelFunc) {
		ctx, cancel := context.WithCancel(context.Background())
		return asks{ctx, func() { l.Status() }, new(atomic.Int64)}, cancel
	}
	for what, call := range map[string]func(context.Context) error{"Start": l.Start, "Stop": l.Stop} {
		start := make(chan error, 1)
		if what == "Stop" { // of an open that does not listen
			go func() { start <- l.Start(context.Background()) }()
			for l.State() != Starting {
				runtime.Gosched()
			}
		}
		ctx, cancel := asking()
		returned := make(chan error, 1)
		go func() { returned <- call(ctx) }()
		for l.Status().Waiters == 0 || what == "Stop" && l.State() != Stopping {
			runtime.Gosched()
		}
		before := ctx.n.Load()
		cancel()
		if err := resultOf(t, what, returned); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v; want %v", what, err, context.Canceled)
		}
		if ctx.n.Load() == before {
			t.Errorf("%s left, and did not read its context", what)
		}
		proceed <- struct{}{}
		if err := ends(t, "Stop", func() error { return l.Stop(context.Background()) }); err != nil {
			t.Error(err)
		}
	}
}

// asks is a context that calls the library whenever it is read.
type asks struct {
	context.Context
	ask func()
	n   *atomic.Int64
}

func (c asks) Value(key any) any {
	c.ask()
	c.n.Add(1)
	return c.Context.Value(key)
}
