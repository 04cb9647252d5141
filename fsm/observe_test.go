package fsm_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

func TestObserver(t *testing.T) {
	bubble(t, "what a transition says", func(t *testing.T) {
		r := newRig(t, "a")
		r.at = func(_ context.Context, part string) error {
			if r.opened == 1 && part == "" {
				return errBoom
			}
			time.Sleep(time.Second)
			return nil
		}
		r.release = func(context.Context, string) error { time.Sleep(9 * time.Second); return nil }
		var seen []fsm.Transition
		l := r.new(fsm.WithObserver(func(tr fsm.Transition) { seen = append(seen, tr) }))
		t0 := time.Now()
		time.Sleep(time.Hour)
		first := begin(t, func() error { return l.Start(background()) })
		time.Sleep(5 * time.Second)
		wantNil(t, "Start, queued", l.Start(background()))
		wantIs(t, "the first Start", first.result(), errBoom)
		wantNil(t, "Close", l.Close())
		synctest.Wait()
		want := []fsm.Transition{
			{spec.Idle, spec.Starting, spec.EventStart, 1, t0.Add(time.Hour), time.Hour, nil},
			{spec.Starting, spec.Stopping, spec.EventFailed, 1, t0, time.Second, errBoom},
			{spec.Stopping, spec.Idle, spec.EventReleased, 1, t0, 9 * time.Second, nil},
			{spec.Idle, spec.Starting, spec.EventStart, 2, t0, 0, nil},
			{spec.Starting, spec.Started, spec.EventOpened, 2, t0, 2 * time.Second, nil},
			{spec.Started, spec.Stopping, spec.EventShutdown, 2, t0, 0, fsm.ErrClosed},
			{spec.Stopping, spec.Closed, spec.EventClosed, 2, t0, 9 * time.Second, nil},
		}
		for i := range want[1:] {
			want[i+1].At = want[i].At.Add(want[i+1].Took)
		}
		if len(seen) != len(want) {
			t.Fatalf("saw %v; want %v", seen, want)
		}
		for i := range want {
			if got := seen[i]; got != want[i] {
				t.Errorf("transition %d: %+v; want %+v", i, got, want[i])
			}
		}
	})
	bubble(t, "in order, none lost, one at a time, outside every lock", func(t *testing.T) {
		var seen []fsm.Transition
		busy := false
		var l *fsm.Lifecycle[*rig]
		l = newRig(t, "a").new(fsm.WithObserver(func(tr fsm.Transition) {
			if busy {
				t.Error("two at a time")
			}
			busy = true
			l.Status()              // would deadlock under the lock
			time.Sleep(time.Second) // slow: it lags, and loses nothing
			busy = false
			seen = append(seen, tr)
		}))
		const rounds = 50
		began := time.Now()
		for range rounds {
			wantNil(t, "Start", l.Start(background()))
			wantNil(t, "Stop", l.Stop(background()))
		}
		wantNil(t, "Close", l.Close())
		if took := time.Since(began); took > 0 {
			t.Errorf("the calls took %v: they waited for the observer", took)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(seen) != 4*rounds+1 {
			t.Fatalf("saw %d transitions; want %d", len(seen), 4*rounds+1)
		}
		for i, tr := range seen[1:] {
			if tr.From != seen[i].To {
				t.Errorf("transition %d leaves %v; the one before led to %v", i+1, tr.From, seen[i].To)
			}
		}
		quiet(t) // G7: once it has returned, its goroutine is gone
	})
	bubble(t, "a panic or an exit has no other effect", func(t *testing.T) {
		var log logBuffer
		var second []spec.Event
		l := newRig(t, "a").new(
			log.option(),
			fsm.WithObserver(func(tr fsm.Transition) {
				switch tr.Event {
				case spec.EventOpened:
					panic("an observer's")
				case spec.EventStop:
					runtime.Goexit()
				}
			}),
			fsm.WithObserver(func(tr fsm.Transition) { second = append(second, tr.Event) }))
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Stop", l.Stop(background()))
		synctest.Wait()
		if want := []spec.Event{spec.EventStart, spec.EventOpened, spec.EventStop, spec.EventReleased}; !slices.Equal(second, want) {
			t.Errorf("the second observer saw %v; want %v", second, want)
		}
		if n := strings.Count(log.String(), "an observer's"); n != 1 {
			t.Errorf("logged %q; want the panic, once", log.String())
		}
		quiet(t)
	})
}

func TestWait(t *testing.T) {
	bubble(t, "already there", func(t *testing.T) {
		l := newRig(t, "a").new()
		over, cancel := context.WithCancel(background())
		cancel()
		s, err := l.Wait(over, spec.Started, spec.Idle)
		wantNil(t, "Wait for the present state, context ended", err)
		if s != spec.Idle {
			t.Errorf("Wait = %v; want Idle", s)
		}
	})
	bubble(t, "a state passed through counts", func(t *testing.T) {
		r := newRig(t, "a")
		r.at = failLast
		l := r.new()
		results := make(map[spec.State]*call)
		for _, want := range []spec.State{spec.Starting, spec.Stopping} {
			results[want] = begin(t, func() error {
				s, err := l.Wait(background(), want)
				if s != want {
					return fmt.Errorf("Wait(%v) = %v, %v", want, s, err)
				}
				return err
			})
		}
		synctest.Wait()
		wantIs(t, "Start", l.Start(background()), errBoom) // passes through both
		wantState(t, l, spec.Idle)
		for _, c := range results {
			wantNil(t, "Wait", c.result())
		}
	})
	bubble(t, "the first of several", func(t *testing.T) {
		l := newRig(t, "a").new()
		var got fsm.State
		wait := begin(t, func() (err error) { got, err = l.Wait(background(), spec.Stopping, spec.Started); return err })
		wait.mustPend("Wait")
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Stop", l.Stop(background()))
		wantNil(t, "Wait", wait.result())
		if got != spec.Started {
			t.Errorf("Wait = %v; want Started, which came first", got)
		}
	})
	bubble(t, "closed", func(t *testing.T) {
		l := newRig(t, "a").new()
		one := begin(t, func() error { _, err := l.Wait(background(), spec.Started); return err })
		two := begin(t, func() error { _, err := l.Wait(background(), spec.Started, spec.Closed); return err })
		one.mustPend("Wait")
		select {
		case <-l.Done():
			t.Error("Done is closed before Closed")
		default:
		}
		wantNil(t, "Close", l.Close())
		<-l.Done()
		wantIs(t, "Wait for Started, once closed", one.result(), fsm.ErrClosed)
		wantNil(t, "Wait for Closed too", two.result())
		s, err := l.Wait(background(), spec.Idle)
		wantIs(t, "Wait of a closed one", err, fsm.ErrClosed)
		if s != spec.Closed {
			t.Errorf("Wait = %v; want Closed", s)
		}
		s, err = l.Wait(background(), spec.Closed)
		wantNil(t, "Wait for Closed of a closed one", err)
		if s != spec.Closed {
			t.Errorf("Wait = %v; want Closed", s)
		}
	})
	bubble(t, "context ends; nothing is left behind", func(t *testing.T) {
		l := newRig(t, "a").new()
		ctx, cancel := context.WithCancelCause(background())
		calls := make([]*call, 10)
		for i := range calls {
			calls[i] = begin(t, func() error {
				s, err := l.Wait(ctx, spec.Started)
				if s != spec.Idle {
					t.Errorf("Wait = %v; want the present state, Idle", s)
				}
				return err
			})
		}
		stays := begin(t, func() error { _, err := l.Wait(background(), spec.Started); return err })
		stays.mustPend("Wait")
		cancel(errBoom)
		for _, c := range calls {
			wantIs(t, "Wait", c.result(), errBoom)
		}
		stays.mustPend("the Wait that stays")
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "the Wait that stays", stays.result())
		wantNil(t, "Stop", l.Stop(background()))
	})
	bubble(t, "for no state", func(t *testing.T) {
		if s, err := newRig(t).new().Wait(background()); err == nil || s != spec.Idle {
			t.Errorf("Wait for no state = %v, %v; want Idle and an error", s, err)
		}
	})
}

func TestStatus(t *testing.T) {
	bubble(t, "at each stage", func(t *testing.T) {
		r := newRig(t, "a", "b")
		r.at = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		r.release = r.at
		l := r.new()
		t0 := time.Now()
		want := func(want fsm.Status) {
			t.Helper()
			synctest.Wait()
			got := l.Status()
			if got.State != want.State || got.Attempt != want.Attempt || got.Since != want.Since || got.Waiters != want.Waiters ||
				got.InFlight != want.InFlight || !slices.Equal(got.Held, want.Held) || got.Acquiring != want.Acquiring || got.Releasing != want.Releasing || got.Cause != want.Cause {
				t.Errorf("after %v: Status = %+v\nwant %+v", time.Since(t0), got, want)
			}
		}
		want(fsm.Status{Since: t0})
		time.Sleep(time.Second)
		t1 := time.Now()
		start := begin(t, func() error { return l.Start(background()) })
		want(fsm.Status{State: spec.Starting, Attempt: 1, Since: t1, Waiters: 1, Acquiring: "a"})
		time.Sleep(1500 * time.Millisecond)
		want(fsm.Status{State: spec.Starting, Attempt: 1, Since: t1, Waiters: 1, Acquiring: "b", Held: []string{"a"}})
		wantNil(t, "Start", start.result())
		t2 := time.Now()
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		want(fsm.Status{State: spec.Started, Attempt: 1, Since: t2, InFlight: 1, Held: []string{"a", "b"}})
		time.Sleep(time.Second)
		t3 := time.Now()
		stop := begin(t, func() error { return l.Stop(background()) })
		synctest.Wait()
		queued := begin(t, func() error { return l.Start(background()) })
		want(fsm.Status{State: spec.Stopping, Attempt: 1, Since: t3, Waiters: 2, InFlight: 1, Held: []string{"a", "b"}})
		lease.Release()
		want(fsm.Status{State: spec.Stopping, Attempt: 1, Since: t3, Waiters: 2, Held: []string{"a", "b"}, Releasing: "b"})
		time.Sleep(1500 * time.Millisecond)
		want(fsm.Status{State: spec.Stopping, Attempt: 1, Since: t3, Waiters: 2, Held: []string{"a"}, Releasing: "a"})
		wantNil(t, "Stop", stop.result())
		t4 := time.Now()
		want(fsm.Status{State: spec.Starting, Attempt: 2, Since: t4, Waiters: 1, Acquiring: "a"})
		wantNil(t, "the queued Start", queued.result())
		wantNil(t, "Shutdown", l.Shutdown(background()))
		want(fsm.Status{State: spec.Closed, Attempt: 2, Since: time.Now()})
	})
	bubble(t, "what it returns is the caller's own", func(t *testing.T) {
		r := newRig(t, "a", "b")
		l := started(t, r)
		l.Status().Held[0] = "mine"
		if held := l.Status().Held; held[0] != "a" {
			t.Errorf("Status.Held = %v after a caller wrote to another one", held)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
}

// nosy is a context whose methods look at the lifecycle, which no lock of its may see.
type nosy struct {
	context.Context
	look func()
}

func (n nosy) Done() <-chan struct{} { n.look(); return n.Context.Done() }
func (n nosy) Err() error            { n.look(); return n.Context.Err() }
func (n nosy) Value(key any) any     { n.look(); return n.Context.Value(key) }

// Nothing foreign runs under the lifecycle's lock: not even the methods of a
// caller's context. (A goroutine that waits for a mutex hangs a bubble, so this
// one runs outside.)
func TestG12NothingForeignUnderTheLock(t *testing.T) {
	returns(t, "a life among contexts that look at it", func() { nothingForeign(t) })
}

func nothingForeign(t *testing.T) {
	r := newRig(t, "a")
	l := r.new()
	ctx, cancel := context.WithCancel(background())
	curious := nosy{ctx, func() { l.Status() }}
	r.release = func(ctx context.Context, _ string) error { ctx.Value(ctxKey("who")); return nil }
	wantNil(t, "Start", l.Start(curious))
	lease, err := l.Acquire()
	wantNil(t, "Acquire", err)
	lease.Context().Value(ctxKey("who"))
	inUse, cutOff := make(chan struct{}), make(chan struct{})
	go l.Use(curious, func(ctx context.Context, _ *rig) error { close(inUse); <-ctx.Done(); close(cutOff); return nil })
	<-inUse
	over, end := context.WithCancel(background())
	end()
	if e := stopError(t, l.Stop(nosy{over, func() { l.Status() }})); e.CutOff != 2 {
		t.Errorf("Stop: %+v; want two uses cut off", e)
	}
	<-cutOff
	lease.Release()
	_, err = l.Wait(curious, spec.Idle)
	wantNil(t, "Wait", err)
	cancel()
	wantNil(t, "Close", l.Close())
}

// Real threads: a goroutine that learns of a state, from Done or from Wait, finds the lifecycle in
// it.
func TestToldOfAStateFindsIt(t *testing.T) {
	tries := 20_000
	if testing.Short() {
		tries = 5_000
	}
	for range tries {
		l := fsm.New(nothing, fsm.WithObserver(func(fsm.Transition) {})) // whose goroutine takes a moment to make
		shut := begin(t, func() error { return l.Shutdown(background()) })
		for done := false; !done; {
			select {
			case <-l.Done():
				done = true
			default:
				runtime.Gosched()
			}
		}
		wantState(t, l, spec.Closed)
		wantNil(t, "Shutdown", shut.result())
	}
}

// What goes well is not logged.
func TestNothingToLog(t *testing.T) {
	bubble(t, "a whole life, observed", func(t *testing.T) {
		var log logBuffer
		received := 0
		l := newRig(t, "a").new(log.option(), fsm.WithObserver(func(fsm.Transition) { received++ }))
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Stop", l.Stop(background()))
		wantNil(t, "Close", l.Close())
		synctest.Wait()
		if got := log.String(); got != "" || received != 5 {
			t.Errorf("logged %q after %d transitions; want nothing after 5", got, received)
		}
	})
}

// Real threads: each Wait for a state returns, while others begin to wait and
// leave at the same moment.
func TestG12NoWaiterIsForgotten(t *testing.T) {
	tries := 20_000
	if testing.Short() {
		tries = 10_000
	}
	over, cancel := context.WithCancel(background())
	cancel()
	for range tries {
		l := fsm.New(nothing)
		all := make(chan struct{})
		var waiting sync.WaitGroup
		for i := range 8 {
			waiting.Go(func() {
				<-all
				for range i % 2 * 32 {
					l.Wait(over, fsm.Closed)
				}
				if s, err := l.Wait(background(), fsm.Started); s != fsm.Started || err != nil {
					t.Errorf("Wait: %v, %v; want Started", s, err)
				}
			})
		}
		close(all)
		runtime.Gosched()
		wantNil(t, "Start", l.Start(background()))
		returns(t, "Wait for Started", waiting.Wait)
	}
}

// Who has left is forgotten: a hundred thousand Waits leave nothing behind.
func TestWaitLeavesNothing(t *testing.T) {
	over, cancel := context.WithCancel(background())
	cancel()
	l := fsm.New(nothing)
	keepsNothing(t, func() { l.Wait(over, fsm.Started) })
	runtime.KeepAlive(l)
}
