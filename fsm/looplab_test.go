package fsm

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	looplab "github.com/looplab/fsm"
)

// The real behaviour of looplab/fsm v1.0.3: what this package avoids, and what it relies on. An
// upgrade that changes any of it needs a review.

const looplabVersion = "github.com/looplab/fsm v1.0.3"

func TestLooplabVersion(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(mod), "\t"+looplabVersion+"\n") {
		t.Errorf("go.mod does not require %s: read the new version, then pin what it does here", looplabVersion)
	}
}

func door(callbacks looplab.Callbacks) *looplab.FSM {
	return looplab.NewFSM("closed", looplab.Events{
		{Name: "open", Src: []string{"closed"}, Dst: "opened"},
		{Name: "close", Src: []string{"opened"}, Dst: "closed"},
	}, callbacks)
}

// wantWedged: every later Event is refused, for good.
func wantWedged(t *testing.T, m *looplab.FSM, after string) {
	t.Helper()
	for range 3 {
		err := m.Event(context.Background(), "open")
		var in looplab.InTransitionError
		if !errors.As(err, &in) || m.Current() != "closed" {
			t.Fatalf("after %s: Event: %v, state %s; v1.0.3 was wedged", after, err, m.Current())
		}
	}
}

// Why Event gets context.Background.
func TestLooplabCancelledContextWedges(t *testing.T) {
	m := door(nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := m.Event(ctx, "open"); !errors.Is(err, context.Canceled) {
		t.Errorf("Event with a cancelled context: %v", err)
	}
	wantWedged(t, m, "a cancelled context")
}

// Why there are no callbacks.
func TestLooplabPanicInLeaveWedges(t *testing.T) {
	m := door(looplab.Callbacks{"leave_closed": func(context.Context, *looplab.Event) { panic("leaving") }})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic did not pass through")
			}
		}()
		m.Event(context.Background(), "open")
	}()
	wantWedged(t, m, "a panic in leave_")
}

// A deadlock on looplab's own mutex, for as long as the callback waits. Here the callback gives up,
// and cancels the event. An event that goes through writes its transition field once more after the
// mutex is unlocked, which races with the next Event. That is one reason why fire is called in a
// critical section of ours.
func TestLooplabCallbacksDeadlock(t *testing.T) {
	var asked sync.WaitGroup
	defer asked.Wait()
	for name, ask := range map[string]func(m *looplab.FSM){
		"Can":      func(m *looplab.FSM) { m.Can("close") },
		"Event":    func(m *looplab.FSM) { m.Event(context.Background(), "close") },
		"SetState": func(m *looplab.FSM) { m.SetState("opened") },
	} {
		for _, callback := range []string{"before_open", "leave_closed"} {
			locked := make(chan bool, 1)
			m := door(looplab.Callbacks{callback: func(_ context.Context, e *looplab.Event) {
				locked <- !tryWithin(&asked, e.FSM, ask)
				e.Cancel()
			}})
			var cancelled looplab.CanceledError
			if err := m.Event(context.Background(), "open"); !errors.As(err, &cancelled) {
				t.Errorf("Event that its callback cancels: %v (%T)", err, err)
			}
			if !<-locked {
				t.Errorf("%s inside %s returned; in v1.0.3 it deadlocks", name, callback)
			}
		}
	}
}

// tryWithin reports whether ask returns while the callback runs. It has the time that other
// goroutines need to run many times. asked is done when ask has returned after all.
func tryWithin(asked *sync.WaitGroup, m *looplab.FSM, ask func(m *looplab.FSM)) bool {
	done := make(chan struct{})
	asked.Go(func() {
		defer close(done)
		ask(m)
	})
	for range 1000 {
		var other sync.WaitGroup
		other.Go(func() {})
		other.Wait()
		select {
		case <-done:
			return true
		default:
		}
	}
	return false
}

// enter_ runs without the lock, after the state has changed, so that callbacks of
// later transitions may overtake it.
func TestLooplabEnterRunsUnlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entered, proceed := make(chan struct{}), make(chan struct{})
		var order []string
		m := door(looplab.Callbacks{
			"enter_opened": func(context.Context, *looplab.Event) {
				close(entered)
				<-proceed
				order = append(order, "opened")
			},
			"enter_closed": func(context.Context, *looplab.Event) { order = append(order, "closed") },
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			m.Event(context.Background(), "open")
		}()
		<-entered
		if err := m.Event(context.Background(), "close"); err != nil {
			t.Errorf("Event while enter_ runs: %v; in v1.0.3 it is allowed", err)
		}
		close(proceed)
		<-done
		if strings.Join(order, " ") != "closed opened" {
			t.Errorf("the callbacks ran as %v; in v1.0.3 out of order", order)
		}
	})
}

// fire relies on these three refusals, which errors.As distinguishes.
func TestLooplabTypedErrors(t *testing.T) {
	m := door(nil)
	var invalid looplab.InvalidEventError
	if err := m.Event(context.Background(), "close"); !errors.As(err, &invalid) || invalid.Event != "close" || invalid.State != "closed" {
		t.Errorf("an event that the state does not allow: %v (%T)", err, err)
	}
	var unknown looplab.UnknownEventError
	if err := m.Event(context.Background(), "paint"); !errors.As(err, &unknown) || errors.As(err, &invalid) {
		t.Errorf("an event that does not exist: %v (%T)", err, err)
	}
	self := looplab.NewFSM("on", looplab.Events{{Name: "again", Src: []string{"on"}, Dst: "on"}}, nil)
	var none looplab.NoTransitionError
	if err := self.Event(context.Background(), "again"); !errors.As(err, &none) { // why self-loops are refused
		t.Errorf("a self-loop: %v (%T)", err, err)
	}
}

// What describe has to refuse, because looplab does not.
func TestLooplabAcceptsBadTables(t *testing.T) {
	m := looplab.NewFSM("nowhere", looplab.Events{
		{Name: "open", Src: []string{"closed"}, Dst: "opened"},
		{Name: "open", Src: []string{"closed"}, Dst: "ajar"},
	}, nil)
	if m.Current() != "nowhere" {
		t.Errorf("an unknown initial state: %s", m.Current())
	}
	m.SetState("closed")
	if err := m.Event(context.Background(), "open"); err != nil || m.Current() != "ajar" {
		t.Errorf("two destinations: %v, %s; in v1.0.3 the last one wins in silence", err, m.Current())
	}
}

// Current takes a lock (it waits for a SetState that waits for an event): the
// fast path is an atomic of our own.
func TestLooplabCurrentLocks(t *testing.T) {
	var blocked bool
	var asked sync.WaitGroup
	m := door(looplab.Callbacks{"before_open": func(_ context.Context, e *looplab.Event) {
		asked.Go(func() { e.FSM.SetState("opened") }) // queues for the write lock; readers queue behind it
		blocked = !eventually(func() bool { return !tryWithin(&asked, e.FSM, func(m *looplab.FSM) { m.Current() }) })
	}})
	m.Event(context.Background(), "open")
	asked.Wait()
	if blocked {
		t.Error("Current never waited; in v1.0.3 it takes a read lock")
	}
}

func eventually(f func() bool) bool {
	for range 1000 {
		if f() {
			return true
		}
	}
	return false
}
