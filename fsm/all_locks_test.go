package fsm

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/internal/control"
)

// The name of this file makes its tests the first: a lock that is left, or a Stop that
// does not return, would hang whichever test comes by it, and show nothing.
func TestG12StopOfWhatNobodyUses(t *testing.T) {
	l := New(func(context.Context, *Scope) (int, error) { return 1, nil })
	for _, step := range []struct {
		what string
		call func(context.Context) error
	}{
		{"Start", l.Start}, {"Stop", l.Stop}, {"Start", l.Start}, {"Shutdown", l.Shutdown},
	} {
		if err := ends(t, step.what, func() error { return step.call(context.Background()) }); err != nil {
			t.Errorf("%s: %v", step.what, err)
		}
	}
}

// ends makes a call and returns its error: see resultOf.
func ends(t *testing.T, what string, call func() error) error {
	t.Helper()
	returned := make(chan error, 1)
	go func() { returned <- call() }()
	return resultOf(t, what, returned)
}

// resultOf returns the error that a call returns. If the call never returns, it fails the test
// instead of hanging.
func resultOf(t *testing.T, what string, returned <-chan error) error {
	t.Helper()
	select {
	case err := <-returned:
		return err
	case <-time.After(10 * time.Second):
		t.Fatalf("G12 Progress is broken: %s never returns", what)
		return nil
	}
}

func TestG12LockIsTakenAndLeft(t *testing.T) {
	var scope *Scope
	l := New(func(_ context.Context, s *Scope) (int, error) { scope = s; return 1, nil })
	if err := l.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	lease, err := l.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		what string
		call func()
	}{
		{"Status", func() { l.Status() }},
		{"Scope.Part", func() { scope.Part("p") }},
		{"Lease.Context", func() { lease.Context() }},
	} {
		l.mu.Lock()
		returned := make(chan struct{})
		go func() { defer close(returned); step.call() }()
		select {
		case <-returned:
			t.Errorf("%s does not take the lock", step.what)
		case <-time.After(5 * time.Millisecond): // a longer delay is not detected
		}
		l.mu.Unlock()
		<-returned
		if !l.mu.TryLock() {
			t.Fatalf("G12 Progress is broken: %s leaves the lock", step.what)
		}
		l.mu.Unlock()
	}
	lease.Release()
}

// Who is admitted finds it Started: the word is written before the gate can be found.
func TestG10WordBeforeGate(t *testing.T) {
	h := &notified{delivered: make(chan struct{})}
	h.l = New(func(context.Context, *Scope) (int, error) { <-h.delivered; return 1, nil },
		WithObserver(func(Transition) {}), control.WithHook(h).(Option))
	if err := h.l.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	h.mustHaveSeen(t, Started)
	if h.gate {
		t.Error("G10 UseOnlyStarted is broken: a use is admitted before the state is Started")
	}
	if err := h.l.Close(); err != nil {
		t.Error(err)
	}
}

// An open whose context has ended finds it Stopping: the word is written before.
func TestG6WordBeforeContext(t *testing.T) {
	for name, cancel := range map[string]func(l *Lifecycle[int], s *Scope, leave func()){
		"Stop":                   func(l *Lifecycle[int], _ *Scope, _ func()) { l.Stop(context.Background()) },
		"Shutdown":               func(l *Lifecycle[int], _ *Scope, _ func()) { l.Shutdown(context.Background()) },
		"Fail":                   func(_ *Lifecycle[int], s *Scope, _ func()) { s.Fail(errors.New("dead")) },
		"the last caller leaves": func(_ *Lifecycle[int], _ *Scope, leave func()) { leave() },
	} {
		t.Run(name, func(t *testing.T) {
			h := &notified{delivered: make(chan struct{})}
			opening, returned := make(chan *Scope), make(chan error, 1)
			h.l = New(func(ctx context.Context, s *Scope) (int, error) {
				<-h.delivered
				h.ctx = ctx
				opening <- s
				<-ctx.Done()
				return 0, ctx.Err()
			}, WithObserver(func(Transition) {}), control.WithHook(h).(Option))
			ctx, leave := context.WithCancel(context.Background())
			defer leave()
			go func() { returned <- h.l.Start(ctx) }()
			cancel(h.l, <-opening, leave)
			if err := resultOf(t, "Start", returned); err == nil {
				t.Error("Start: nil; want why its attempt was cancelled")
			}
			h.mustHaveSeen(t, Stopping)
			if h.ended {
				t.Error("G6 NoForeignCancellation is broken: the context of open has ended before the state is Stopping")
			}
			if err := h.l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// notified records the state when the observers' goroutine is made, for the second
// transition of a life: under the lock, right after the word.
type notified struct {
	dueBeside
	delivered chan struct{}   // closed when the first transition is delivered
	ctx       context.Context // of open; nil: not checked

	goroutines  int
	state       State
	gate, ended bool
}

func (h *notified) Go(f func()) func() {
	switch h.goroutines++; h.goroutines {
	case 1:
		return func() { defer close(h.delivered); f() }
	case 3: // the second is the operation's
		h.state, h.gate = h.l.State(), h.l.opened.Load() != nil
		h.ended = h.ctx != nil && h.ctx.Err() != nil
	}
	return f
}

func (h *notified) mustHaveSeen(t *testing.T, want State) {
	t.Helper()
	h.l.mu.Lock()
	defer h.l.mu.Unlock()
	if h.state != want {
		t.Fatalf("the observer's second goroutine was made in %v; want %v", h.state, want)
	}
}
