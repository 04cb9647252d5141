package fsm

import (
	"context"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/spec"
)

// A transition shows in State a moment before it is queued for the observers, within the
// same critical section: FlushObservers waits for that to end, so that it misses none.
func TestFlushObserversMissesNoTransition(t *testing.T) {
	seen := Idle
	l := New(func(context.Context, *Scope) (int, error) { return 0, nil }, WithObserver(func(tr Transition) { seen = tr.To }))
	l.mu.Lock()
	flushed := make(chan error, 1)
	go func() { flushed <- l.FlushObservers(context.Background()) }()
	select {
	case <-flushed:
		t.Error("FlushObservers returned within the critical section of a transition")
	case <-time.After(20 * time.Millisecond):
	}
	l.mustFireLocked(spec.EventShutdown, ErrClosed)
	l.mu.Unlock()
	if err := <-flushed; err != nil || seen != Closed {
		t.Errorf("FlushObservers: %v, after the observer saw %v; want Closed", err, seen)
	}
}
