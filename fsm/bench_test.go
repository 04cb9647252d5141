package fsm_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	looplab "github.com/looplab/fsm"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

// Each of our calls beside its alternative, in one run.
//
//	go test -run '^$' -bench . -benchmem -cpu 1,2 -count 6 ./fsm

func nothing(context.Context, *fsm.Scope) (int, error) { return 0, nil }

func benchStarted(b *testing.B) *fsm.Lifecycle[int] {
	l := fsm.New(nothing)
	if err := l.Start(background()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return l
}

// parallel runs f on one goroutine a processor, without testing.PB's overhead. A
// loop of f makes four calls, so that where its branch lies matters less.
func parallel(b *testing.B, f func(n int)) {
	b.ReportAllocs()
	procs := runtime.GOMAXPROCS(0)
	var all sync.WaitGroup
	for range procs {
		all.Go(func() { f(b.N / procs) })
	}
	all.Wait()
}

// guarded is what one would write without an atomic: a flag under a mutex.
type guarded struct {
	mu      sync.Mutex
	started bool
}

func (g *guarded) start(context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.started {
		return nil
	}
	return context.Canceled
}

func BenchmarkStarted(b *testing.B) {
	ctx := background()
	b.Run("Start", func(b *testing.B) {
		l := benchStarted(b)
		b.ResetTimer()
		parallel(b, func(n int) {
			for range n / 4 {
				_ = l.Start(ctx)
				_ = l.Start(ctx)
				_ = l.Start(ctx)
				_ = l.Start(ctx)
			}
		})
	})
	b.Run("sync.Once.Do", func(b *testing.B) {
		var once sync.Once
		f := func() {}
		once.Do(f)
		b.ResetTimer()
		parallel(b, func(n int) {
			for range n / 4 {
				once.Do(f)
				once.Do(f)
				once.Do(f)
				once.Do(f)
			}
		})
	})
	b.Run("mutex", func(b *testing.B) {
		g := &guarded{started: true}
		b.ResetTimer()
		parallel(b, func(n int) {
			for range n / 4 {
				_ = g.start(ctx)
				_ = g.start(ctx)
				_ = g.start(ctx)
				_ = g.start(ctx)
			}
		})
	})
}

func BenchmarkUse(b *testing.B) {
	b.Run("Acquire+Release", func(b *testing.B) {
		l := benchStarted(b)
		b.ResetTimer()
		parallel(b, func(n int) {
			for range n {
				lease, _ := l.Acquire()
				lease.Release()
			}
		})
	})
	b.Run("RLock+RUnlock", func(b *testing.B) {
		var mu sync.RWMutex
		b.ResetTimer()
		parallel(b, func(n int) {
			for range n {
				mu.RLock()
				//lint:ignore SA2001 that is what is measured
				mu.RUnlock()
			}
		})
	})
	b.Run("Use", func(b *testing.B) {
		l, ctx := benchStarted(b), background()
		f := func(context.Context, int) error { return nil }
		b.ResetTimer()
		parallel(b, func(n int) {
			for range n {
				_ = l.Use(ctx, f)
			}
		})
	})
}

// flight is singleflight.Do without its map: the first caller works, the others wait.
type flight struct {
	mu   sync.Mutex
	call *flightCall
}

type flightCall struct {
	done sync.WaitGroup
	err  error
}

func (f *flight) do(work func() error) error {
	f.mu.Lock()
	if c := f.call; c != nil {
		f.mu.Unlock()
		c.done.Wait()
		return c.err
	}
	c := &flightCall{}
	c.done.Add(1)
	f.call = c
	f.mu.Unlock()
	c.err = work()
	c.done.Done()
	return c.err
}

// BenchmarkColdStarts is 10,000 callers at once, with the same open.
func BenchmarkColdStarts(b *testing.B) {
	const callers = 10_000
	herd := func(b *testing.B, f func(open func()) func()) {
		b.ReportAllocs()
		for range b.N {
			b.StopTimer()
			reached := make(chan struct{})
			start := f(func() { <-reached })
			gate := make(chan struct{})
			var ready, all sync.WaitGroup
			ready.Add(callers)
			for range callers {
				all.Go(func() {
					ready.Done()
					<-gate
					start()
				})
			}
			ready.Wait()
			b.StartTimer()
			close(gate)
			time.AfterFunc(5*time.Millisecond, func() { close(reached) })
			all.Wait()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/callers, "ns/caller")
	}
	b.Run("Start", func(b *testing.B) {
		ctx := background()
		herd(b, func(open func()) func() {
			l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { open(); return 0, nil })
			return func() { _ = l.Start(ctx) }
		})
	})
	b.Run("singleflight", func(b *testing.B) {
		herd(b, func(open func()) func() {
			var f flight
			return func() { _ = f.do(func() error { open(); return nil }) }
		})
	})
}

// BenchmarkLife is create, start, stop with an open that does nothing, next to a
// bare looplab/fsm that makes the same transitions on the same table.
func BenchmarkLife(b *testing.B) {
	b.Run("Lifecycle", func(b *testing.B) {
		ctx := background()
		b.ReportAllocs()
		for range b.N {
			l := fsm.New(nothing)
			_ = l.Start(ctx)
			_ = l.Stop(ctx)
		}
	})
	b.Run("looplab", func(b *testing.B) {
		var events looplab.Events
		for _, row := range spec.Table() {
			events = append(events, looplab.EventDesc{Name: row.Event.String(), Src: []string{row.From.String()}, Dst: row.To.String()})
		}
		ctx := background()
		b.ReportAllocs()
		for range b.N {
			m := looplab.NewFSM("Idle", events, nil)
			for _, e := range []string{"start", "opened", "stop", "released"} {
				if err := m.Event(ctx, e); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
