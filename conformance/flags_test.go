package conformance_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed3893aba4/surestart/conformance"
)

// late sets its flag when the resource is open: the first thing that one thinks of.
type late struct {
	*conformance.Hooks
	started atomic.Bool
}

func (l *late) Start(ctx context.Context) error {
	if l.started.Load() {
		return nil
	}
	if err := l.Open(ctx); err != nil {
		return err
	}
	l.started.Store(true)
	return nil
}

func (l *late) Stop(ctx context.Context) error {
	if !l.started.CompareAndSwap(true, false) {
		return nil
	}
	return l.Release(ctx)
}

// early closes that window: only one caller can pass.
type early struct {
	*conformance.Hooks
	started atomic.Bool
}

func (e *early) Start(ctx context.Context) error {
	if !e.started.CompareAndSwap(false, true) {
		return nil
	}
	return e.Open(ctx)
}

func (e *early) Stop(ctx context.Context) error {
	if !e.started.CompareAndSwap(true, false) {
		return nil
	}
	return e.Release(ctx)
}

// tidy takes the flag back when the start has failed.
type tidy struct{ early }

func (t *tidy) Start(ctx context.Context) error {
	if !t.started.CompareAndSwap(false, true) {
		return nil
	}
	err := t.Open(ctx)
	if err != nil {
		t.started.Store(false)
	}
	return err
}

// locked holds a mutex from the question to the answer.
type locked struct {
	*conformance.Hooks
	mu      sync.Mutex
	started bool
}

func (l *locked) Start(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started {
		return nil
	}
	err := l.Open(ctx)
	l.started = err == nil
	return err
}

func (l *locked) Stop(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.started {
		return nil
	}
	l.started = false
	return l.Release(ctx)
}

const flags = conformance.JoinsStarts | conformance.Retries | conformance.Restarts | conformance.Idempotent

// The page shows these flags, and for each the shortest schedule that breaks it.
func TestFlagsAreNotEnough(t *testing.T) {
	text, err := os.ReadFile("../docs/why-a-flag-is-not-enough.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, c := range []struct {
		name, breaks string
		subject      conformance.Subject
	}{
		{"late", "G1", conformance.Subject{Capabilities: flags,
			New: func(h *conformance.Hooks) conformance.Lifecycle { return &late{Hooks: h} }}},
		{"early", "G3", conformance.Subject{Capabilities: flags &^ conformance.JoinsStarts,
			New: func(h *conformance.Hooks) conformance.Lifecycle { return &early{Hooks: h} }}},
		{"tidy", "G3", conformance.Subject{Capabilities: flags,
			New: func(h *conformance.Hooks) conformance.Lifecycle { return &tidy{early{Hooks: h}} }}},
		{"stops", "G8", conformance.Subject{Capabilities: conformance.StopsStarts | conformance.Retries | conformance.Restarts | conformance.Idempotent,
			New: func(h *conformance.Hooks) conformance.Lifecycle { return &tidy{early{Hooks: h}} }}},
		{"locked", "G12", conformance.Subject{Capabilities: flags&^conformance.JoinsStarts | conformance.HonoursContext,
			New: func(h *conformance.Hooks) conformance.Lifecycle { return &locked{Hooks: h} }}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.subject.Schedules = 500 // many times what it takes
			card := conformance.Measure(t, c.subject)
			row := card.Row(c.breaks)
			if row.Verdict != conformance.No {
				t.Fatalf("%s: %s; want No\n%v", c.breaks, row.Verdict, card)
			}
			if !strings.Contains(page, "    "+strings.ReplaceAll(row.Timeline(), "\n", "\n    ")) { // as Markdown has it
				t.Errorf("docs/why-a-flag-is-not-enough.md does not have the schedule that breaks %s:\n%s", c.breaks, row.Timeline())
			}
		})
	}
}
