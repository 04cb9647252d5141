package fsm

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
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

// Whoever is woken by the end of a use's context is not within that use any more:
// a Stop from there is no Stop from within (G15). Many are woken, so that the first
// run before the last is told.
func TestG15UseIsOverBeforeItsContextEnds(t *testing.T) {
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
						if l.reentrant(context.WithoutCancel(ctx)) {
							within.Add(1)
						}
					})
				}
			})
			if of.Err() == nil {
				t.Fatal("the context of a use that is over has not ended")
			}
			woken.Wait()
			if n := within.Load(); n > 0 {
				t.Errorf("%d of 20000 that the end of the use has woken count as within it", n)
			}
		})
	}
}
