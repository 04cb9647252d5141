package fsm_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/kept"
)

// wantHeld fails the test if a Hold of l fails; it returns what the Hold returned.
func wantHeld(t testing.TB, l *fsm.Lifecycle[*rig]) (held context.Context, release func(context.Context) error) {
	t.Helper()
	held, release, err := l.Hold(background())
	wantNil(t, "Hold", err)
	return held, release
}

func TestHold(t *testing.T) {
	bubble(t, "the last release stops, an earlier one does not", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new()
		_, first := wantHeld(t, l)
		held, second := wantHeld(t, l)
		r.wantLog("open +a")
		wantNil(t, "first release", first(background()))
		wantState(t, l, fsm.Started)
		wantNil(t, "first release again", first(background()))
		wantState(t, l, fsm.Started)
		wantNil(t, "held", held.Err())
		wantNil(t, "last release", second(background()))
		wantState(t, l, fsm.Idle)
		r.wantLog("-a")
		wantIs(t, "held", context.Cause(held), fsm.ErrStopped)
		wantNil(t, "last release again", second(background()))
		_, third := wantHeld(t, l)
		wantNil(t, "second release, once more", second(background()))
		wantState(t, l, fsm.Started)
		wantNil(t, "third release", third(background()))
		wantState(t, l, fsm.Idle)
	})
	bubble(t, "Holds join one attempt, and each counts", func(t *testing.T) {
		r := newRig(t, "a")
		proceed := make(chan struct{})
		r.at = func(context.Context, string) error { <-proceed; return nil }
		l := r.new()
		var releases [3]func(context.Context) error
		var calls [3]*call
		for i := range calls {
			calls[i] = begin(t, func() (err error) { _, releases[i], err = l.Hold(background()); return err })
			calls[i].mustPend("Hold")
		}
		close(proceed)
		for i := range calls {
			wantNil(t, "Hold", calls[i].result())
		}
		r.wantLog("open +a")
		for i, release := range releases {
			wantState(t, l, fsm.Started)
			wantNil(t, "release", release(background()))
			if want := []fsm.State{fsm.Started, fsm.Started, fsm.Idle}[i]; l.State() != want {
				t.Fatalf("after %d releases: %v; want %v", i+1, l.State(), want)
			}
		}
	})
	bubble(t, "a caller that leaves does not hold", func(t *testing.T) {
		r := newRig(t, "a")
		proceed := make(chan struct{})
		r.at = func(context.Context, string) error { <-proceed; return nil }
		l := r.new()
		ctx, cancel := context.WithCancel(background())
		leaves := begin(t, func() error { _, _, err := l.Hold(ctx); return err })
		leaves.mustPend("Hold")
		var release func(context.Context) error
		stays := begin(t, func() (err error) { _, release, err = l.Hold(background()); return err })
		stays.mustPend("Hold")
		cancel()
		leaveError(t, leaves.result())
		close(proceed)
		wantNil(t, "Hold", stays.result())
		wantNil(t, "release", release(background()))
		wantState(t, l, fsm.Idle)
	})
	bubble(t, "a Hold that fails does not hold", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new()
		r.at = func(context.Context, string) error { return errBoom }
		_, release, err := l.Hold(background())
		wantIs(t, "Hold", err, errBoom)
		if release != nil {
			t.Error("a Hold that failed returned a release")
		}
		r.at = nil
		_, release = wantHeld(t, l)
		wantNil(t, "release", release(background()))
		wantState(t, l, fsm.Idle)
	})
	bubble(t, "a Hold during the last release gets an opened resource", func(t *testing.T) {
		r := newRig(t, "a")
		r.release = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		l := r.new()
		_, release := wantHeld(t, l)
		last := begin(t, func() error { return release(background()) })
		last.mustPend("the last release")
		wantState(t, l, fsm.Stopping)
		_, release = wantHeld(t, l)
		wantNil(t, "the last release", last.result())
		wantState(t, l, fsm.Started)
		r.wantLog("open +a -a open +a")
		wantNil(t, "release", release(background()))
		wantState(t, l, fsm.Idle)
	})
	bubble(t, "the last release drains, its context cuts the drain short", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new()
		_, release := wantHeld(t, l)
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		ctx, cancel := context.WithTimeout(background(), time.Second)
		defer cancel()
		last := begin(t, func() error { return release(ctx) })
		last.mustPend("the last release")
		if e := stopError(t, last.result()); e.CutOff != 1 {
			t.Errorf("%v; want 1 use cut off", e)
		}
		lease.Release()
	})
	bubble(t, "a release that left waits for the end when it is called again", func(t *testing.T) {
		r := newRig(t, "a")
		r.release = func(context.Context, string) error { time.Sleep(time.Hour); return errBoom }
		l := r.new()
		_, release := wantHeld(t, l)
		ctx, cancel := context.WithTimeout(background(), time.Second)
		defer cancel()
		wantIs(t, "release", release(ctx), context.DeadlineExceeded)
		again := begin(t, func() error { return release(background()) })
		again.mustPend("release again")
		time.Sleep(2 * time.Hour)
		wantIs(t, "release again", again.result(), errBoom)
		wantNil(t, "release, once more", release(background()))
	})
	bubble(t, "the last release cuts no drain short that a Stop waits for", func(t *testing.T) {
		l := newRig(t, "a").new()
		_, release := wantHeld(t, l)
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		ctx, cancel := context.WithTimeout(background(), time.Second)
		defer cancel()
		last := begin(t, func() error { return release(ctx) })
		last.mustPend("the last release")
		stop := begin(t, func() error { return l.Stop(background()) })
		stop.mustPend("Stop")
		if e := stopError(t, last.result()); e.CutOff != 0 {
			t.Errorf("%v; want no use cut off", e)
		}
		stop.mustPend("Stop")
		lease.Release()
		wantNil(t, "Stop", stop.result())
	})
	bubble(t, "a release within a use is refused, and has no effect", func(t *testing.T) {
		l := newRig(t, "a").new()
		_, release := wantHeld(t, l)
		wantNil(t, "Use", l.Use(background(), func(ctx context.Context, _ *rig) error {
			wantIs(t, "release", release(ctx), fsm.ErrReentrant)
			return nil
		}))
		wantState(t, l, fsm.Started)
		wantNil(t, "release", release(background()))
		wantState(t, l, fsm.Idle)
	})
	bubble(t, "a Stop ends the holds", func(t *testing.T) {
		l := newRig(t, "a").new()
		held, release := wantHeld(t, l)
		wantNil(t, "Stop", l.Stop(background()))
		wantIs(t, "held", context.Cause(held), fsm.ErrStopped)
		_, other := wantHeld(t, l)
		wantNil(t, "release of the old hold", release(background()))
		wantState(t, l, fsm.Started)
		wantNil(t, "Shutdown", l.Shutdown(background()))
		wantNil(t, "release when closed", other(background()))
		_, _, err := l.Hold(background())
		wantIs(t, "Hold when closed", err, fsm.ErrClosed)
	})
	bubble(t, "a Run stays an owner", func(t *testing.T) {
		l := newRig(t, "a").new()
		ctx, cancel := context.WithCancel(background())
		run := begin(t, func() error { return l.Run(ctx) })
		run.mustPend("Run")
		_, release := wantHeld(t, l)
		wantNil(t, "release", release(background()))
		wantState(t, l, fsm.Started)
		run.mustPend("Run")
		cancel()
		wantNil(t, "Run", run.result())
		wantState(t, l, fsm.Closed)
	})
	t.Run("a release that has returned keeps nothing alive", func(t *testing.T) {
		type big struct{ _ [1 << 16]byte }
		var isKept func() bool
		l := fsm.New(func(context.Context, *fsm.Scope) (*big, error) {
			b := new(big)
			isKept = kept.Watch(b)
			return b, nil
		})
		_, release, err := l.Hold(background())
		wantNil(t, "Hold", err)
		wantNil(t, "release", release(background()))
		if isKept() {
			t.Error("the resource of an idle lifecycle is still reachable")
		}
		wantNil(t, "release again", release(background()))
		runtime.KeepAlive(l)
	})
	t.Run("a nil context panics, and has no effect", func(t *testing.T) {
		l := newRig(t, "a").new()
		_, release := wantHeld(t, l)
		for name, f := range map[string]func(){
			//lint:ignore SA1012 that it is refused
			"fsm: Hold(nil): want a context":                  func() { l.Hold(nil) },
			"fsm: the release of a Hold(nil): want a context": func() { release(nil) },
		} {
			func() {
				defer func() {
					if v := recover(); v != name {
						t.Errorf("panicked with %v; want %q", v, name)
					}
				}()
				f()
			}()
		}
		wantState(t, l, fsm.Started)
		wantNil(t, "release", release(background()))
		wantState(t, l, fsm.Idle)
	})
}

// The last release leaves a restart that a Start has joined to that Start, and it ends with it.
func TestG6TheLastReleaseCancelsNoStart(t *testing.T) {
	bubble(t, "a restart", func(t *testing.T) {
		for _, leaves := range []bool{false, true} {
			r := newRig(t, "a")
			proceed := make(chan struct{}, 1)
			proceed <- struct{}{}
			r.at = func(ctx context.Context, part string) error {
				if part == "" {
					select {
					case <-proceed:
					case <-ctx.Done():
					}
				}
				return nil
			}
			l := r.new(fsm.WithRestart(inAMinute))
			_, release := wantHeld(t, l)
			r.die(errBoom)
			time.Sleep(2 * time.Minute)
			ctx, cancel := context.WithCancel(background())
			start := begin(t, func() error { return l.Start(ctx) })
			start.mustPend("Start")
			wantNil(t, "release", release(background()))
			wantState(t, l, fsm.Starting)
			if leaves {
				cancel()
				leaveError(t, start.result())
				time.Sleep(time.Hour)
				wantState(t, l, fsm.Idle)
			} else {
				proceed <- struct{}{}
				wantNil(t, "Start", start.result())
				wantNil(t, "Stop", l.Stop(background()))
			}
			cancel()
		}
	})
}

// Many owners on real goroutines: a held resource is open until it is released, and in the
// end it is idle.
func TestHoldsOfMany(t *testing.T) {
	r := newRig(t, "a", "b")
	r.at = func(context.Context, string) error {
		if rand.IntN(4) == 0 {
			time.Sleep(10 * time.Microsecond)
		}
		if rand.IntN(20) == 0 {
			return errBoom
		}
		return nil
	}
	l := r.new()
	var held, failed, last atomic.Int64
	for round := 0; held.Load() == 0 || failed.Load() == 0 || last.Load() == 0; round++ {
		if round == 1000 {
			t.Fatalf("%d held, %d failed, %d releases were the last: want some of each", held.Load(), failed.Load(), last.Load())
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 100 {
					holdOnce(t, l, &held, &failed, &last)
				}
			})
		}
		wg.Wait()
	}
	ctx, cancel := context.WithTimeout(background(), 10*time.Second)
	defer cancel()
	if _, err := l.Wait(ctx, fsm.Idle); err != nil { // the rollback after the last who left
		t.Errorf("nobody holds it: %v", l.Status())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.held) > 0 {
		t.Errorf("nobody holds it: %v are held", r.held)
	}
}

// holdOnce is one owner's life in TestHoldsOfMany.
func holdOnce(t *testing.T, l *fsm.Lifecycle[*rig], held, failed, last *atomic.Int64) {
	ctx, cancel := context.WithTimeout(background(), time.Duration(rand.IntN(300))*time.Microsecond)
	open, release, err := l.Hold(ctx)
	cancel()
	if err != nil {
		failed.Add(1)
		return
	}
	held.Add(1)
	for range rand.IntN(3) {
		if err := open.Err(); err != nil || l.State() != fsm.Started {
			t.Errorf("held, but %v: %v", l.State(), context.Cause(open))
		}
		runtime.Gosched()
	}
	if err := l.Use(background(), func(context.Context, *rig) error { return nil }); err != nil {
		t.Errorf("held, but Use: %v", err)
	}
	if err := release(background()); err != nil {
		t.Errorf("release: %v", err)
	}
	if open.Err() != nil {
		last.Add(1)
	}
}
