package conformance_test

import (
	"context"
	"sync"
	"testing"

	"github.com/seed3893aba4/surestart/conformance"
)

// flagged is what most programs have: a flag, under a mutex.
type flagged struct {
	*conformance.Hooks
	mu      sync.Mutex
	started bool
}

func (f *flagged) Start(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.started {
		return nil
	}
	f.started = true
	return f.Open(ctx)
}

func (f *flagged) Stop(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.started = false
	return f.Release(ctx)
}

var flaggedSubject = conformance.Subject{
	New:          func(h *conformance.Hooks) conformance.Lifecycle { return &flagged{Hooks: h} },
	Capabilities: conformance.JoinsStarts | conformance.Retries | conformance.Restarts | conformance.Idempotent,
}

// The suite finds the bug of the mutex and flag: after a failed Start the flag
// stays up, and the next Start returns nil though nothing is open.
func TestMutexAndFlag(t *testing.T) {
	card := conformance.Measure(t, flaggedSubject) // Test would fail
	t.Logf("\n%v", card)
	for id, want := range map[string]conformance.Verdict{
		"G1": conformance.Yes, "G2": conformance.No, "G3": conformance.No, "G7": conformance.Yes, "G8": conformance.NotOffered, "G12": conformance.Yes,
	} {
		if got := card.Row(id).Verdict; got != want {
			t.Errorf("%s: %s; want %s", id, got, want)
		}
	}
	const want = `     c1                               hooks
  1  Start
  2                                   open 1 begins
  3                                   open 1 fails, holds 0
  4  Start: open of attempt 1 failed
  5  Start
  ✗  Start returns nil
  ✗  nothing was open at any instant between its call and its return`
	if got := card.Row("G3").Timeline(); got != want {
		t.Errorf("the schedule is\n%s\nwant\n%s", got, want)
	}
	if !card.Outside {
		t.Error("it holds a mutex while it opens, and was run in a bubble all the same")
	}
}
