package conformance_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/seed3893aba4/surestart/conformance"
	"github.com/seed3893aba4/surestart/fsm"
)

// flagged is the lifecycle of most programs: a flag, under a mutex.
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
	hooks := 0
	var line conformance.Line
	for _, line = range card.Row("G3").Schedule {
		if line.Who == conformance.Resource {
			hooks++
		}
	}
	if hooks != 2 || !line.Breaks {
		t.Errorf("%d lines are the hooks', and the last is %+v; want the beginning and the end of open, and what breaks it", hooks, line)
	}
	var page bytes.Buffer // for go test, -conformance.report FILE does it
	if err := conformance.WriteHTML(&page, card); err != nil || !strings.Contains(page.String(), "StartedIsOpen") {
		t.Errorf("the page: %v", err)
	}
	if !card.Outside {
		t.Error("it holds a mutex while it opens, and was run in a bubble all the same")
	}
}

// shipped is fsm.Lifecycle on the suite's hooks.
type shipped struct{ *fsm.Lifecycle[int] }

func (l shipped) Use(ctx context.Context, f func(context.Context) error) error {
	return l.Lifecycle.Use(ctx, func(ctx context.Context, _ int) error { return f(ctx) })
}

func newShipped(h *conformance.Hooks) conformance.Lifecycle {
	return shipped{newQuiet(func(ctx context.Context, s *fsm.Scope) (int, error) {
		h.OnDeath(s.Fail)
		for i := range h.Parts() {
			if err := h.OpenPart(ctx, i); err != nil {
				return 0, err
			}
			s.Defer("part", func(ctx context.Context) error { return h.ReleasePart(ctx, i) })
		}
		return 0, nil
	})}
}

func newQuiet(open func(context.Context, *fsm.Scope) (int, error)) *fsm.Lifecycle[int] {
	return fsm.New(open, fsm.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
}

// It offers all there is.
var (
	_ conformance.User       = shipped{}
	_ conformance.Shutdowner = shipped{}
)

// The lifecycle that ships has every guarantee.
func TestShippedHasEveryGuarantee(t *testing.T) {
	card := conformance.Test(t, conformance.Subject{New: newShipped, Capabilities: conformance.Everything, Parts: 2})
	fmt.Printf("CHECKED conformance black box shipped schedules=%d\n", card.Schedules)
}
