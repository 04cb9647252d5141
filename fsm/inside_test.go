package fsm

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What no caller can see.

// A Use that has ended is forgotten: else a resource that is used for long would
// remember every one.
func TestUseIsForgotten(t *testing.T) {
	l := New(func(context.Context, *Scope) (int, error) { return 0, nil })
	if err := l.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	during := 0
	for range 3 {
		l.Use(context.Background(), func(context.Context, int) error {
			during += len(l.current.uses.each)
			return nil
		})
	}
	if after := len(l.current.uses.each); during != 3 || after != 0 {
		t.Errorf("%d known while three ran, one after the other, and %d after; want 3 and 0", during, after)
	}
}

// What is registered after the end is given back at once, and not held besides.
func TestLatePartIsNotHeld(t *testing.T) {
	var scope *Scope
	l := New(func(_ context.Context, s *Scope) (int, error) { scope = s; return 0, nil })
	if err := l.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	a := l.current
	if err := l.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	scope.Defer("late", func(context.Context) error { return nil })
	if len(a.parts) != 0 {
		t.Errorf("an attempt that has ended holds %d parts", len(a.parts))
	}
}

// A goroutine that the end of a use's or a release's context wakes is no longer within it: a Stop
// from there is no Stop from within (G15). Many goroutines are woken, so that the first run before
// the last one is.
func TestG15OverBeforeTheContextEnds(t *testing.T) {
	for what, use := range map[string]func(l *Lifecycle[int], f func(context.Context)){
		"Lease": func(l *Lifecycle[int], f func(context.Context)) {
			lease, err := l.Acquire()
			if err != nil {
				t.Fatal(err)
			}
			f(lease.Context())
			lease.Release()
		},
		"Use": func(l *Lifecycle[int], f func(context.Context)) {
			l.Use(context.Background(), func(ctx context.Context, _ int) error { f(ctx); return nil })
		},
		"Release": func(l *Lifecycle[int], f func(context.Context)) {
			(&Scope{l.current, 0}).Defer("part", func(ctx context.Context) error { f(ctx); return nil })
			if err := l.Stop(context.Background()); err != nil {
				t.Fatal(err)
			}
		},
		"late Release": func(l *Lifecycle[int], f func(context.Context)) {
			(&Scope{l.current, -1}).Defer("part", func(ctx context.Context) error { f(ctx); return nil })
		},
	} {
		t.Run(what, func(t *testing.T) {
			l := New(func(context.Context, *Scope) (int, error) { return 0, nil })
			if err := l.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			var woken sync.WaitGroup
			var within atomic.Int64
			var of context.Context
			use(l, func(ctx context.Context) {
				of = ctx
				for range 20_000 {
					woken.Add(1)
					context.AfterFunc(ctx, func() {
						defer woken.Done()
						if l.reentrant(liveMarker(context.WithoutCancel(ctx))) {
							within.Add(1)
						}
					})
				}
			})
			if of.Err() == nil {
				t.Fatal("the context of what is over has not ended")
			}
			woken.Wait()
			if n := within.Load(); n > 0 {
				t.Errorf("%d of 20000 that the end of its context has woken count as within it: G15 NoSelfDeadlock is broken", n)
			}
		})
	}
}

// A use that is admitted before a Stop, and whose context is known to the attempt only
// after that Stop forced: it ends all the same (G9).
func TestG9UseBegunAsTheDrainIsForced(t *testing.T) {
	l := New(func(context.Context, *Scope) (int, error) { return 0, nil })
	if err := l.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	a := l.current
	l.mu.Lock() // Use is admitted without it, and then needs it
	use := make(chan error, 1)
	go func() {
		use <- l.Use(context.Background(), func(ctx context.Context, _ int) error {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(5 * time.Second):
				return errors.New("G9 DrainFirst is broken: its context has not ended")
			}
		})
	}()
	for a.gate.Load() != 1 {
		runtime.Gosched()
	}
	l.beginStopLocked(false, ErrStopped)
	cut := a.forceLocked()
	l.mu.Unlock()
	cut()
	if err := resultOf(t, "Use", use); err != ErrStopped {
		t.Errorf("Use: %v; want %v", err, ErrStopped)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// The contexts of uses end before a forced release goes ahead.
func TestG9ContextsEndBeforeAForcedRelease(t *testing.T) {
	l := New(func(context.Context, *Scope) (int, error) { return 0, nil })
	if err := l.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	a := l.current
	ended := false
	end := context.CancelCauseFunc(func(error) {
		ended = true
		select {
		case <-a.drained:
			t.Error("G9 DrainFirst is broken: a forced release goes ahead before the context of a use ends")
		default:
		}
	})
	a.gate.Add(1)
	a.uses.addLocked(&end)
	l.mu.Lock()
	l.beginStopLocked(false, ErrStopped)
	cut := a.forceLocked()
	l.mu.Unlock()
	cut()
	if !ended {
		t.Error("G9 DrainFirst is broken: the context of a use has not ended")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// Package context finds a context that it can cancel itself in this way. A use's context rests on
// it, see useContext.
func TestCancelKey(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if found := context.WithValue(ctx, markerKey{}, 1).Value(cancelKey); found != ctx {
		t.Errorf("under cancelKey there is %v; want the context that is to be cancelled", found)
	}
}

// A Lease has the methods by which go vet recognises a type that must not be copied.
var _ sync.Locker = (*noCopy)(nil)
