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

// lives starts and stops l n times, and closes it: 4n+1 transitions.
func lives(t *testing.T, l *fsm.Lifecycle[int], n int) {
	t.Helper()
	for range n {
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Stop", l.Stop(background()))
	}
	wantNil(t, "Close", l.Close())
}

// An observer that hangs holds up neither the others nor the logger, and loses nothing
// when it goes on; the Status says how far behind it is.
func TestG12AnObserverThatHangsHoldsUpNoOther(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		var log logBuffer
		hang := make(chan struct{})
		var before, after, late []fsm.State
		seen := func(to *[]fsm.State) fsm.Option {
			return fsm.WithObserver(func(tr fsm.Transition) { *to = append(*to, tr.To) })
		}
		d := &diary{t: t}
		l := fsm.New(nothing, log.option(), seen(&before),
			fsm.WithObserver(func(tr fsm.Transition) { <-hang; late = append(late, tr.To) }),
			seen(&after), fsm.WithTracer(d),
			fsm.WithObserver(func(tr fsm.Transition) {
				if tr.To == fsm.Closed {
					panic("to be logged")
				}
			}))
		lives(t, l, 100)
		synctest.Wait()
		const all = 401
		if len(before) != all || len(after) != all || len(d.forget()) != all+100 || len(late) != 0 {
			t.Fatalf("G12 Progress is broken: with one observer that hangs the others saw %d and %d transitions of %d", len(before), len(after), all)
		}
		if !strings.Contains(log.String(), "to be logged") {
			t.Error("G12 Progress is broken: an observer that hangs holds up the logger")
		}
		if s := l.Status(); s.Undelivered != all || !strings.HasSuffix(s.String(), "; undelivered: 401") {
			t.Errorf("the Status is %v; want %d that wait", s, all)
		}
		over, cancel := context.WithTimeoutCause(background(), time.Second, errBoom)
		defer cancel()
		wantIs(t, "FlushObservers, while one hangs", l.FlushObservers(over), errBoom)
		flush := begin(t, func() error { return l.FlushObservers(background()) })
		flush.mustPend("FlushObservers")
		close(hang)
		wantNil(t, "FlushObservers", flush.result())
		if !slices.Equal(late, before) {
			t.Errorf("the observer that hung saw %d transitions; want all %d, in order", len(late), all)
		}
		if s := l.Status(); s.Undelivered != 0 {
			t.Errorf("the Status is %v; want none that wait", s)
		}
		quiet(t)
	})
}

func TestFlushObservers(t *testing.T) {
	over, end := context.WithCancelCause(background())
	end(errBoom)
	bubble(t, "nothing to wait for, also with a context that has ended", func(t *testing.T) {
		l := fsm.New(nothing)
		wantNil(t, "FlushObservers without observers", l.FlushObservers(over))
		l = fsm.New(nothing, fsm.WithObserver(func(fsm.Transition) {}))
		wantNil(t, "FlushObservers of a new one", l.FlushObservers(over))
		lives(t, l, 1)
		wantNil(t, "FlushObservers", l.FlushObservers(background()))
		wantNil(t, "FlushObservers of a closed one", l.FlushObservers(over))
	})
	bubble(t, "for what took effect before the call, and no more", func(t *testing.T) {
		var seen atomic.Int32
		l := fsm.New(nothing, fsm.WithObserver(func(fsm.Transition) { time.Sleep(time.Second); seen.Add(1) }))
		wantNil(t, "Start", l.Start(background()))
		t0 := time.Now()
		flush := begin(t, func() error { return l.FlushObservers(background()) })
		flush.mustPend("FlushObservers")
		wantNil(t, "Stop", l.Stop(background()))
		wantNil(t, "FlushObservers", flush.result())
		if n, took := seen.Load(), time.Since(t0); n != 2 || took != 2*time.Second {
			t.Errorf("it returned after %v, with %d transitions seen; want the 2 of the start, after 2 s", took, n)
		}
		wantNil(t, "FlushObservers", l.FlushObservers(background()))
		if n := seen.Load(); n != 4 {
			t.Errorf("%d transitions seen; want 4", n)
		}
	})
	bubble(t, "a panic and an exit are returns", func(t *testing.T) {
		for _, how := range []func(){func() { panic(errBoom) }, runtime.Goexit} {
			seen := 0
			l := fsm.New(nothing, fsm.WithLogger(slog.New(slog.DiscardHandler)), fsm.WithTracer(stepwise(func() { seen++; how() })))
			lives(t, l, 1)
			wantNil(t, "FlushObservers", l.FlushObservers(background()))
			if seen != 6 {
				t.Errorf("saw %d of 6 transitions and steps", seen)
			}
			quiet(t)
		}
	})
	bubble(t, "from within an observer it waits for itself, until its context ends", func(t *testing.T) {
		var got error
		other := 0
		var l *fsm.Lifecycle[int]
		l = fsm.New(nothing, fsm.WithObserver(func(tr fsm.Transition) {
			if tr.To == fsm.Started {
				ctx, cancel := context.WithTimeout(background(), time.Minute)
				defer cancel()
				got = l.FlushObservers(ctx)
			}
		}), fsm.WithObserver(func(fsm.Transition) { other++ }))
		lives(t, l, 1)
		synctest.Wait()
		if other != 5 {
			t.Errorf("meanwhile the other observer saw %d transitions of 5", other)
		}
		wantNil(t, "FlushObservers", l.FlushObservers(background()))
		wantIs(t, "FlushObservers in an observer", got, context.DeadlineExceeded)
	})
}

// stepwise is a tracer that calls a function each time.
type stepwise func()

func (f stepwise) Step(fsm.Step)             { f() }
func (f stepwise) Transition(fsm.Transition) { f() }

// Real threads: a transition that State, Start or Done shows is one that FlushObservers
// waits for.
func TestFlushObserversWaitsForWhatIsSeen(t *testing.T) {
	tries := 20_000
	if testing.Short() {
		tries = 5_000
	}
	for range tries {
		var seen atomic.Uint32
		l := fsm.New(nothing, fsm.WithObserver(func(tr fsm.Transition) { seen.Store(uint32(tr.To)) }))
		start := begin(t, func() error { return l.Start(background()) })
		for l.State() != fsm.Started {
			runtime.Gosched()
		}
		wantNil(t, "FlushObservers", l.FlushObservers(background()))
		if got := fsm.State(seen.Load()); got != fsm.Started {
			t.Fatalf("FlushObservers returned after the observer saw %v; the state was Started", got)
		}
		wantNil(t, "Start", start.result())
		shut := begin(t, l.Close)
		<-l.Done()
		wantNil(t, "FlushObservers", l.FlushObservers(background()))
		if got := fsm.State(seen.Load()); got != fsm.Closed {
			t.Fatalf("FlushObservers returned after the observer saw %v; Done was closed", got)
		}
		wantNil(t, "Close", shut.result())
	}
}

// To give up waiting for an observer that hangs leaves nothing behind.
func TestFlushObserversLeavesNothing(t *testing.T) {
	hang := make(chan struct{})
	l := fsm.New(nothing, fsm.WithObserver(func(fsm.Transition) { <-hang }))
	wantNil(t, "Start", l.Start(background()))
	over, cancel := context.WithCancel(background())
	cancel()
	keepsNothing(t, func() { wantIs(t, "FlushObservers", l.FlushObservers(over), context.Canceled) })
	close(hang)
	wantNil(t, "Close", l.Close())
	wantNil(t, "FlushObservers", l.FlushObservers(background()))
}

// What is queued for observers costs the same for each transition, however many wait (R37: one slow
// subscriber holds up all, swarmkit #3267): to
// deliver 60,000 takes a fraction of the time that it takes to make them, not many times
// that time.
func TestR37ObserversAreOfLinearCost(t *testing.T) {
	hold := make(chan struct{})
	seen := 0
	l := fsm.New(nothing, fsm.WithObserver(func(fsm.Transition) { <-hold; seen++ }))
	began := time.Now()
	lives(t, l, 15_000)
	made := time.Since(began)
	began = time.Now()
	close(hold)
	wantNil(t, "FlushObservers", l.FlushObservers(background()))
	delivered := time.Since(began)
	fmt.Printf("CHECKED observers transitions=%d made-ms=%d delivered-ms=%d\n", seen, made.Milliseconds(), delivered.Milliseconds())
	if seen != 60_001 || delivered > 5*made {
		t.Errorf("%d transitions were made in %v and delivered in %v", seen, made, delivered)
	}
}

// A delivered value is not kept in memory.
func TestG7DeliveredIsForgotten(t *testing.T) {
	type big struct{ _ [1 << 16]byte }
	var isKept func() bool
	l := fsm.New(nothing, fsm.WithTracer(stepwise(func() {})))
	func() {
		value := new(big)
		isKept = kept.Watch(value)
		wantNil(t, "Start", l.Start(context.WithValue(background(), ctxKey("who"), value)))
		wantNil(t, "Stop", l.Stop(background()))
		wantNil(t, "FlushObservers", l.FlushObservers(background()))
	}()
	if isKept() {
		t.Fatal("G7 NoLeak is broken: an idle lifecycle keeps the context of a step that was delivered")
	}
	runtime.KeepAlive(l)
}
