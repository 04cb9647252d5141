package fsm_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/spec"
)

// reporting is a resource of which a failure is reported before open returns, in its
// first tries; then open waits until it may return, or until its context ends.
type reporting struct {
	fails   int // of how many tries
	tries   int
	causes  []error // why the contexts of these tries ended
	proceed chan struct{}
	result  error // what open returns in these tries
	scopes  []*fsm.Scope
}

var errDead = errors.New("dead")

func (r *reporting) open(ctx context.Context, s *fsm.Scope) (int, error) {
	r.tries++
	r.scopes = append(r.scopes, s)
	s.Part("a")
	s.Defer("a", func(context.Context) error { return nil })
	if r.tries > r.fails {
		return r.tries, nil
	}
	s.Fail(errDead)
	s.Fail(errBoom) // the first counts
	r.causes = append(r.causes, context.Cause(ctx))
	<-r.proceed
	return 0, r.result
}

// A failure that is reported before open has returned ends the try's context at once. With
// WithRetry the state stays Starting until open returns, so that others may join. Whatever open
// returns, the try counts as that failure, and Next of the Backoff gets it.
func TestG13ReportBeforeOpenReturns(t *testing.T) {
	for name, result := range map[string]error{"open returns the resource": nil, "open returns another error": errBoom} {
		bubble(t, name, func(t *testing.T) {
			r := &reporting{fails: 1, proceed: make(chan struct{}), result: result}
			b := &backoff{n: 3}
			l := fsm.New(r.open, fsm.WithRetry(b))
			first := begin(t, func() error { return l.Start(background()) })
			first.mustPend("Start")
			if l.State() != fsm.Starting || !slices.Equal(r.causes, []error{errDead}) || b.calls != nil {
				t.Errorf("G13 OwnGeneration is broken: %v, the context ended with %v, Next was called with %q; want Starting, %v, no call",
					l.State(), r.causes, b.calls, errDead)
			}
			second := begin(t, func() error { return l.Start(background()) })
			second.mustPend("G5 NoStaleFailure: Start that joins")
			close(r.proceed)
			wantNil(t, "Start", first.result())
			wantNil(t, "Start that joined", second.result())
			if want := []string{"1 dead"}; !slices.Equal(b.calls, want) || l.Status().Attempt != 1 || r.tries != 2 {
				t.Errorf("G13 OwnGeneration is broken: Next was called with %q, attempt %d, %d tries; want %q, attempt 1, 2 tries",
					b.calls, l.Status().Attempt, r.tries, want)
			}
			r.scopes[0].Fail(errBoom) // of an earlier try
			wantState(t, l, fsm.Started)
			r.scopes[1].Fail(errDead)
			synctest.Wait()
			wantState(t, l, fsm.Idle)
		})
	}
	bubble(t, "the backoff says no", func(t *testing.T) {
		r := &reporting{fails: 1, proceed: make(chan struct{})}
		close(r.proceed)
		l := fsm.New(r.open, fsm.WithRetry(&backoff{}))
		var failed *fsm.StartError
		if err := l.Start(background()); !errors.As(err, &failed) || !errors.Is(err, errDead) || failed.Part != "a" {
			t.Errorf("G13 OwnGeneration is broken: Start: %v; want what was reported, and the part", err)
		}
		wantIs(t, "G14 CauseKept: the cause", l.Status().Cause, errDead)
	})
	bubble(t, "without WithRetry it fails at once", func(t *testing.T) {
		r := &reporting{fails: 1, proceed: make(chan struct{})}
		l := fsm.New(r.open)
		start := begin(t, func() error { return l.Start(background()) })
		start.mustPend("Start")
		wantState(t, l, fsm.Stopping)
		close(r.proceed)
		wantIs(t, "Start", start.result(), errDead)
	})
	bubble(t, "a Stop meanwhile", func(t *testing.T) {
		r := &reporting{fails: 1, proceed: make(chan struct{})}
		l := fsm.New(r.open, fsm.WithRetry(&backoff{n: 3}))
		start := begin(t, func() error { return l.Start(background()) })
		start.mustPend("Start")
		stop := begin(t, func() error { return l.Stop(background()) })
		stop.mustPend("Stop")
		close(r.proceed)
		wantIs(t, "G8 StopWins: Start", start.result(), fsm.ErrStopped)
		wantNil(t, "Stop", stop.result())
		if r.tries != 1 {
			t.Errorf("G8 StopWins is broken: %d tries; want 1", r.tries)
		}
	})
	bubble(t, "of a restart", func(t *testing.T) {
		r := &reporting{proceed: make(chan struct{})}
		close(r.proceed)
		restarts := &backoff{n: 2}
		l := fsm.New(r.open, fsm.WithRetry(&backoff{}), fsm.WithRestart(restarts))
		wantNil(t, "Start", l.Start(background()))
		r.fails = 2
		r.scopes[0].Fail(errBoom)
		_, err := l.Wait(background(), fsm.Idle)
		wantNil(t, "Wait", err)
		wantNil(t, "Ready", l.Ready(background()))
		if want := []string{"1 boom", "2 fsm: start: attempt 2: a: dead"}; !slices.Equal(restarts.calls, want) {
			t.Errorf("Next of the restarts was called with %q; want %q", restarts.calls, want)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
}

// reportsLate reports a failure when open has returned and before that is decided.
type reportsLate struct {
	r     *reporting
	times int
}

func (h *reportsLate) Took(spec.Action, control.Attempt) {}
func (h *reportsLate) Go(f func()) func()                { return f }
func (h *reportsLate) Point(action spec.Action, _ control.Attempt) {
	if action == spec.OpenOk && h.times > 0 {
		h.times--
		var reported atomic.Bool
		go func() {
			h.r.scopes[len(h.r.scopes)-1].Fail(errDead)
			reported.Store(true)
		}()
		for range 1 << 22 {
			if reported.Load() {
				return
			}
			runtime.Gosched()
		}
		panic("G13 OwnGeneration is broken: a failure cannot be reported when open has returned")
	}
}
func (h *reportsLate) Wait(spec.Action, control.Attempt, <-chan struct{}, <-chan struct{}) {}

// A report that comes when open has returned, and before the attempt counts as opened.
func TestG13ReportAsOpenReturns(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := &reporting{}
		b := &backoff{n: 3}
		l := fsm.New(r.open, fsm.WithRetry(b), control.WithHook(&reportsLate{r, 2}).(fsm.Option))
		wantNil(t, "Start", l.Start(background()))
		if want := []string{"1 dead", "2 dead"}; !slices.Equal(b.calls, want) || r.tries != 3 {
			t.Errorf("G13 OwnGeneration is broken: Next was called with %q, %d tries; want %q, 3 tries", b.calls, r.tries, want)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
}

// However the Backoff ends, the attempt fails with what open returned.
func TestG14BackoffMisbehaves(t *testing.T) {
	for name, how := range map[string]func(){"panics": func() { panic("no") }, "calls Goexit": runtime.Goexit} {
		bubble(t, name, func(t *testing.T) {
			r := newRig(t, "a")
			r.failing(1, "a")
			l := r.new(fsm.WithRetry(nextFunc(func(int, error) (time.Duration, bool) { how(); return 0, true })),
				fsm.WithLogger(slog.New(slog.DiscardHandler)))
			wantIs(t, "G14 CauseKept: Start", l.Start(background()), errBoom)
			wantNil(t, "Start", l.Start(background()))
			wantNil(t, "Stop", l.Stop(background()))
		})
	}
}
