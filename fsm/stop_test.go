package fsm_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/spec"
)

// stops are Stop and Shutdown, with what they say to the Starts that wait.
var stops = []struct {
	name   string
	do     func(l *fsm.Lifecycle[*rig], ctx context.Context) error
	reason error
	final  fsm.State
}{
	{"Stop", (*fsm.Lifecycle[*rig]).Stop, fsm.ErrStopped, spec.Idle},
	{"Shutdown", (*fsm.Lifecycle[*rig]).Shutdown, fsm.ErrClosed, spec.Closed},
}

func TestG8StopWins(t *testing.T) {
	for _, stop := range stops {
		bubble(t, stop.name+" during a start cancels it and waits for its rollback", func(t *testing.T) {
			r := newRig(t, "a", "b")
			proceed := make(chan struct{})
			r.at = func(ctx context.Context, part string) error {
				if part == "" {
					<-ctx.Done() // it does hear, but takes its time
					<-proceed
				}
				return nil
			}
			r.release = func(context.Context, string) error { time.Sleep(time.Second); return nil }
			l := r.new()
			one := begin(t, func() error { return l.Start(background()) })
			two := begin(t, func() error { return l.Start(background()) })
			synctest.Wait()
			stopped := begin(t, func() error { return stop.do(l, background()) })
			joined := begin(t, func() error { return stop.do(l, background()) })
			stopped.mustPend(stop.name + " while open runs")
			wantState(t, l, spec.Stopping)
			if got := l.Status().Waiters; got != 4 {
				t.Errorf("Status.Waiters = %d; want 4", got)
			}
			close(proceed)
			time.Sleep(1500 * time.Millisecond)
			stopped.mustPend(stop.name + " while a part is held")
			one.mustPend("Start while a part is held")
			wantNil(t, stop.name, stopped.result())
			wantNil(t, stop.name, joined.result())
			for _, start := range []*call{one, two} {
				if err := start.result(); err != stop.reason {
					t.Errorf("Start: %v; want %v", err, stop.reason)
				}
			}
			wantState(t, l, stop.final)
			r.wantLog("open +a +b -b -a")
		})
		bubble(t, stop.name+" answers every Start that waited for a release to end", func(t *testing.T) {
			r := newRig(t, "a")
			r.release = func(context.Context, string) error { time.Sleep(time.Second); return nil }
			l := r.new()
			wantNil(t, "Start", l.Start(background()))
			first := begin(t, func() error { return l.Stop(background()) })
			synctest.Wait()
			one := begin(t, func() error { return l.Start(background()) })
			two := begin(t, func() error { return l.Start(background()) })
			one.mustPend("Start during a release")
			second := begin(t, func() error { return stop.do(l, background()) })
			synctest.Wait()
			for _, start := range []*call{one, two} {
				if err := start.result(); err != stop.reason {
					t.Errorf("Start: %v; want %v", err, stop.reason)
				}
			}
			second.mustPend(stop.name + " during a release")
			if stop.final == spec.Idle { // who comes after the Stop is not stopped by it
				after := begin(t, func() error { return l.Start(background()) })
				wantNil(t, "the Stop that came first", first.result())
				wantNil(t, "Stop", second.result())
				wantNil(t, "the Start that came after", after.result())
				r.wantLog("open +a -a open +a")
				wantNil(t, "Stop", l.Stop(background()))
				return
			}
			wantNil(t, "the Stop that came first", first.result())
			wantNil(t, "Shutdown", second.result())
			wantState(t, l, spec.Closed)
			r.wantLog("open +a -a")
		})
		bubble(t, stop.name+" with a context that has ended takes effect", func(t *testing.T) {
			over, cancel := context.WithCancelCause(background())
			cancel(errBoom)
			for _, from := range []string{"Starting", "Started", "Stopping"} {
				r := newRig(t, "a")
				proceed := make(chan struct{})
				if from == "Starting" {
					r.at = func(context.Context, string) error { <-proceed; return nil }
				}
				r.release = func(context.Context, string) error { <-proceed; return nil }
				l := r.new()
				start := begin(t, func() error { return l.Start(background()) })
				synctest.Wait()
				if from == "Stopping" {
					l.Stop(over)
				}
				if got := l.State().String(); got != from {
					t.Fatalf("the state is %s; want %s", got, from)
				}
				queued := start
				if from == "Stopping" {
					queued = begin(t, func() error { return l.Start(background()) })
					synctest.Wait()
				}
				e := stopError(t, stop.do(l, over))
				if e.CutOff != 0 || e.Err != errBoom || e.Part != "" {
					t.Errorf("%s of a %s one: %+v; want none cut off and its own cause", stop.name, from, e)
				}
				wantState(t, l, spec.Stopping)
				close(proceed)
				if from != "Started" {
					wantIs(t, "the waiting Start", queued.result(), stop.reason)
				}
				_, err := l.Wait(background(), stop.final)
				wantNil(t, "Wait", err)
				r.wantLog("open +a -a")
			}
		})
	}
	bubble(t, "Stops of a running one join", func(t *testing.T) {
		r := newRig(t, "a")
		r.release = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		l := r.new()
		wantNil(t, "Start", l.Start(background()))
		began := time.Now()
		calls := make([]*call, 100)
		for i := range calls {
			calls[i] = begin(t, func() error { return stops[i%2].do(l, background()) })
		}
		for _, c := range calls {
			wantNil(t, "Stop", c.result())
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("100 joined Stops took %v; want one release, 1s", took)
		}
		r.wantLog("open +a -a")
	})
	bubble(t, "a Stop that joins the rollback of a failed attempt", func(t *testing.T) {
		r := failingRig(t)
		l := r.new()
		start := begin(t, func() error { return l.Start(background()) })
		synctest.Wait()
		stop := begin(t, func() error { return l.Stop(background()) })
		stop.mustPend("Stop during a rollback")
		wantNil(t, "Stop", stop.result())
		wantIs(t, "Start", start.result(), errBoom) // it had failed before
		wantState(t, l, spec.Idle)
		r.wantLog("open +a -a")
	})
}

func TestG11CloseIsFinal(t *testing.T) {
	bubble(t, "from the call on", func(t *testing.T) {
		for _, from := range []spec.State{spec.Idle, spec.Starting, spec.Started, spec.Stopping} {
			r := newRig(t, "a")
			r.at = func(context.Context, string) error { time.Sleep(time.Second); return nil }
			r.release = r.at
			l := r.new()
			if from != spec.Idle {
				start := begin(t, func() error { return l.Start(background()) })
				synctest.Wait()
				if from != spec.Starting {
					wantNil(t, "Start", start.result())
				}
			}
			var waiting *call
			if from == spec.Stopping {
				begin(t, func() error { return l.Stop(background()) })
				synctest.Wait()
				waiting = begin(t, func() error { return l.Start(background()) })
				synctest.Wait()
			}
			wantState(t, l, from)
			over, cancel := context.WithCancel(background())
			cancel()
			l.Shutdown(over) // returns at once; nothing more may begin all the same
			opened := r.opened
			for range 3 {
				wantIs(t, "Start after Shutdown", l.Start(background()), fsm.ErrClosed)
				_, err := l.Acquire()
				wantIs(t, "Acquire after Shutdown", err, fsm.ErrClosed)
				wantIs(t, "Use after Shutdown", l.Use(background(), nil2), fsm.ErrClosed)
				time.Sleep(time.Minute)
			}
			if waiting != nil {
				wantIs(t, "the Start that waited", waiting.result(), fsm.ErrClosed)
			}
			wantState(t, l, spec.Closed)
			if r.opened != opened || len(r.held) > 0 {
				t.Errorf("%v: opened %d times, then %d; held %v", from, opened, r.opened, r.held)
			}
			quiet(t)
		}
	})
	bubble(t, "nil means nothing is open", func(t *testing.T) {
		r := newRig(t, "a", "b")
		r.release = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		l := r.new()
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Close", l.Close())
		if len(r.held) > 0 {
			t.Errorf("Close returned nil while %v are held", r.held)
		}
		r.wantLog("open +a +b -b -a")
		select {
		case <-l.Done():
		default:
			t.Error("Done is not closed")
		}
	})
}

func nil2(context.Context, *rig) error { return nil }

// Close is Shutdown bounded by WithStopTimeout.
func TestClose(t *testing.T) {
	for _, c := range []struct {
		opts []fsm.Option
		want time.Duration
	}{
		{nil, 30 * time.Second},
		{[]fsm.Option{fsm.WithStopTimeout(time.Minute)}, time.Minute},
	} {
		bubble(t, c.want.String(), func(t *testing.T) {
			r := newRig(t, "a")
			l := r.new(c.opts...)
			wantNil(t, "Start", l.Start(background()))
			lease, err := l.Acquire()
			wantNil(t, "Acquire", err)
			r.release = func(ctx context.Context, _ string) error {
				if !fsm.Forced(ctx) {
					t.Error("Forced: false after the stop timeout; want true")
				}
				return nil
			}
			began := time.Now()
			e := stopError(t, l.Close())
			if took := time.Since(began); took != c.want {
				t.Errorf("Close took %v; want %v", took, c.want)
			}
			if e.CutOff != 1 || e.Err != context.DeadlineExceeded {
				t.Errorf("Close: %+v; want one use cut off by the deadline", e)
			}
			_, err = l.Wait(background(), spec.Closed)
			wantNil(t, "Wait", err)
			lease.Release()
		})
	}
}

// Errors of a release reach the callers that wait to the end. A caller that left has its own error.
func TestStopErrors(t *testing.T) {
	bubble(t, "stayed and left", func(t *testing.T) {
		errStuck := errors.New("stuck")
		r := newRig(t, "a")
		r.release = func(context.Context, string) error { time.Sleep(2 * time.Second); return errStuck }
		l := r.new()
		wantNil(t, "Start", l.Start(background()))
		ctx, cancel := context.WithTimeout(background(), time.Second)
		defer cancel()
		left := begin(t, func() error { return l.Stop(ctx) })
		stayed := begin(t, func() error { return l.Stop(background()) })
		if e := stopError(t, left.result()); e.Part != "" || e.Err != context.DeadlineExceeded || e.CutOff != 0 {
			t.Errorf("who left got %+v; want its deadline", e)
		}
		wantState(t, l, spec.Stopping)
		if e := stopError(t, stayed.result()); e.Part != "a" || !errors.Is(e, errStuck) {
			t.Errorf("who stayed got %+v; want the release's own result", e)
		}
		wantState(t, l, spec.Idle)
	})
}

// State and Done take no lock: they must not lag behind the call that returned.
func TestStateWhenACallReturns(t *testing.T) {
	r := newRig(t, "a")
	l := r.new()
	for range 2000 {
		r.at = nil
		wantNil(t, "Start", l.Start(background()))
		wantState(t, l, spec.Started)
		wantNil(t, "Stop", l.Stop(background()))
		wantState(t, l, spec.Idle)
		r.at = func(context.Context, string) error { return errBoom }
		startError(t, l.Start(background()))
		wantState(t, l, spec.Idle)
	}
	wantNil(t, "Close", l.Close())
	wantState(t, l, spec.Closed)
	<-l.Done()
}

// A failed rollback is logged if its error reaches no caller: neither the Starts, whose error says
// that they were stopped, nor a Stop that has left.
func TestUnheardFailureIsLogged(t *testing.T) {
	bubble(t, "the Stop has left", func(t *testing.T) {
		var log logBuffer
		r := newRig(t, "a")
		r.at = func(ctx context.Context, part string) error {
			if part == "" {
				<-ctx.Done()
			}
			return nil
		}
		r.release = func(context.Context, string) error { time.Sleep(time.Second); return errBoom }
		l := r.new(log.option())
		start := begin(t, func() error { return l.Start(background()) })
		synctest.Wait()
		over, cancel := context.WithCancel(background())
		cancel()
		stopError(t, l.Stop(over))
		wantIs(t, "Start", start.result(), fsm.ErrStopped)
		synctest.Wait()
		if n := strings.Count(log.String(), "boom"); n != 1 {
			t.Errorf("logged %q; want the failed release, once", log.String())
		}
	})
	bubble(t, "the Shutdown has left", func(t *testing.T) {
		var log logBuffer
		r := newRig(t, "a")
		r.release = func(context.Context, string) error { time.Sleep(time.Second); return errBoom }
		l := r.new(log.option())
		wantNil(t, "Start", l.Start(background()))
		over, cancel := context.WithCancel(background())
		cancel()
		stopError(t, l.Shutdown(over))
		<-l.Done()
		synctest.Wait()
		if n := strings.Count(log.String(), "boom"); n != 1 {
			t.Errorf("logged %q; want the failed release, once", log.String())
		}
	})
	bubble(t, "the Start has left that it was to be told", func(t *testing.T) {
		var log logBuffer
		r := newRig(t, "a")
		r.at = func(_ context.Context, part string) error {
			if part == "" {
				return context.Canceled
			}
			return nil
		}
		r.release = func(context.Context, string) error { time.Sleep(time.Minute); return errBoom }
		l := r.new(log.option())
		ctx, cancel := context.WithTimeout(background(), time.Second)
		defer cancel()
		wantIs(t, "Start", l.Start(ctx), context.DeadlineExceeded)
		time.Sleep(time.Hour)
		if n := strings.Count(log.String(), "boom"); n != 1 {
			t.Errorf("logged %q; want the failed release, once", log.String())
		}
	})
	bubble(t, "heard by a Stop, or in the StartError", func(t *testing.T) {
		var log logBuffer
		r := newRig(t, "a")
		r.release = func(context.Context, string) error { return errBoom }
		l := r.new(log.option())
		wantNil(t, "Start", l.Start(background()))
		stopError(t, l.Stop(background()))
		r.at = func(_ context.Context, part string) error {
			if part == "" {
				return context.Canceled
			}
			return nil
		}
		if e := startError(t, l.Start(background())); !errors.Is(e.Rollback, errBoom) {
			t.Errorf("Start: %+v; want the failed release as Rollback", e)
		}
		synctest.Wait()
		if got := log.String(); got != "" {
			t.Errorf("logged %q; want nothing", got)
		}
	})
}

// lateHook makes a caller whose context has ended leave late: only once the event that it waits for
// has come, between its choice and its critical section.
type lateHook struct {
	pointHook
	done  <-chan struct{}
	chose chan struct{} // that it leaves
}

func (h *lateHook) Wait(action spec.Action, _ control.Attempt, done, _ <-chan struct{}) {
	if action != spec.DrainEnd {
		h.done = done
	}
}

func (h *lateHook) Point(action spec.Action, _ control.Attempt) {
	if action == spec.StartLeave || action == spec.StopLeave {
		h.chose <- struct{}{}
		<-h.done
	}
}

// Who leaves in the moment in which its result comes gets that (G4, G9).
func TestG9ResultAtTheLastMoment(t *testing.T) {
	over, cancel := context.WithCancel(background())
	cancel()
	for _, stop := range stops {
		r := newRig(t, "a", "b")
		hook := &lateHook{chose: make(chan struct{})}
		l := r.new(control.WithHook(hook).(fsm.Option))
		ctx, leave := context.WithCancel(background())
		r.at = func(_ context.Context, part string) error {
			if part == "" {
				leave()
				<-hook.chose
			}
			return nil
		}
		wantNil(t, "Start", l.Start(ctx))
		r.release = func(_ context.Context, part string) error {
			if part == "b" {
				<-hook.chose
				return errBoom
			}
			return nil
		}
		if e := stopError(t, stop.do(l, over)); e.Part != "b" || e.CutOff != 0 || !errors.Is(e, errBoom) {
			t.Errorf("%s: %+v; want what the release of b came to", stop.name, e)
		}
		unlocked(t, l)
		wantState(t, l, stop.final)
	}
}
