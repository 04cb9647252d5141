package fsm

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/internal/leakcheck"
	"github.com/seed3893aba4/surestart/spec"
)

// dueBeside makes a try become due in the instant in which something else takes effect. The waiting
// goroutine has received that the try is due, and does not have the lock yet.
type dueBeside struct {
	t      *testing.T
	l      *Lifecycle[int]
	beside func()
	waits  atomic.Int64 // how often it was waited for
}

func (h *dueBeside) Go(f func()) func() { return f }

func (h *dueBeside) Wait(action spec.Action, _ control.Attempt, _, _ <-chan struct{}) {
	if action == spec.TryAgain {
		h.waits.Add(1)
	}
}

func (h *dueBeside) Point(action spec.Action, _ control.Attempt) {
	if action == spec.TryAgain && h.waits.Load() == 1 {
		h.beside()
	}
}

func (h *dueBeside) Took(action spec.Action, _ control.Attempt) {
	if h.l.mu.TryLock() {
		h.l.mu.Unlock()
		h.t.Errorf("%v took effect without the lock", action)
	}
}

// A Stop that takes effect as the next try is due: that is not made. (The name of this
// file makes its tests come early: a lock that is left would hang others.)
func TestG8StopAsTheNextTryIsDue(t *testing.T) {
	stopped := make(chan error, 1)
	opens := 0
	h := &dueBeside{t: t}
	h.beside = func() {
		go func() { stopped <- h.l.Stop(context.Background()) }()
		for h.l.State() != Stopping {
			runtime.Gosched()
		}
	}
	h.l = New(func(context.Context, *Scope) (int, error) {
		opens++
		return 0, errors.New("boom")
	}, WithRetry(always{}), control.WithHook(h).(Option))
	start := make(chan error, 1)
	go func() { start <- h.l.Start(context.Background()) }()
	if err := resultOf(t, "Start", start); err != ErrStopped {
		t.Errorf("Start: %v; want %v", err, ErrStopped)
	}
	if err := resultOf(t, "Stop", stopped); err != nil {
		t.Errorf("Stop: %v; want nil", err)
	}
	if n := h.waits.Load(); opens != 1 || n != 1 {
		t.Errorf("G8 StopWins is broken: open was called %d times, and the next try waited for %d times; want once each", opens, n)
	}
}

// A try that is due, and made: under the lock.
func TestG8NextTryTakesTheLock(t *testing.T) {
	opens := 0
	var scope *Scope
	h := &dueBeside{t: t, beside: func() {}}
	h.l = New(func(_ context.Context, s *Scope) (int, error) {
		scope = s
		if opens++; opens == 1 {
			return 0, errors.New("boom")
		}
		return 0, nil
	}, WithRetry(always{}), control.WithHook(h).(Option))
	if err := ends(t, "Start", func() error { return h.l.Start(context.Background()) }); err != nil || opens != 2 {
		t.Errorf("Start: %v, after %d tries; want nil, after 2", err, opens)
	}
	scope.Fail(errors.New("dead")) // takes it, too
	if err := ends(t, "Close", h.l.Close); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// always is a Backoff.
type always struct{}

func (always) Next(int, error) (time.Duration, bool) { return 0, true }

// Success is not logged.
func TestNothingIsLogged(t *testing.T) {
	l := New(func(context.Context, *Scope) (int, error) { return 0, nil }, WithLogger(slog.New(fails{t: t})), WithBreaker(allows{}))
	if err := errors.Join(l.Start(context.Background()), l.Stop(context.Background()), l.Close()); err != nil {
		t.Error(err)
	}
}

// allows is a Breaker.
type allows struct{}

func (allows) Allow() (func(Outcome, error), error) { return func(Outcome, error) {}, nil }

type fails struct {
	slog.Handler
	t *testing.T
}

func (fails) Enabled(context.Context, slog.Level) bool { return true }

func (f fails) Handle(_ context.Context, r slog.Record) error {
	f.t.Errorf("logged: %s", r.Message)
	return nil
}

// A log handler ends its goroutine, which has nothing left to do. No goroutine takes its place and
// remains.
func TestG7LogHandlerExits(t *testing.T) {
	var scope *Scope
	l := New(func(_ context.Context, s *Scope) (int, error) {
		scope = s
		s.Defer("a", func(context.Context) error { return errors.New("boom") })
		return 0, nil
	}, WithLogger(slog.New(exits{})))
	if err := l.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	scope.Fail(errors.New("dead")) // no caller waits for the release, whose failure is logged
	if err := ends(t, "Wait", func() error { _, err := l.Wait(context.Background(), Idle); return err }); err != nil {
		t.Error(err)
	}
	leakcheck.Nothing(t, nil, nil)
}

type exits struct{ slog.Handler }

func (exits) Enabled(context.Context, slog.Level) bool  { return true }
func (exits) Handle(context.Context, slog.Record) error { runtime.Goexit(); return nil }
