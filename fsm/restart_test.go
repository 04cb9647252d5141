package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// die reports that the running resource died.
func (r *rig) die(cause error) {
	r.mu.Lock()
	scope := r.scope
	r.mu.Unlock()
	scope.Fail(cause)
}

// times is how often it was opened.
func (r *rig) times() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opened
}

func TestG7RestartAfterADeath(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a", "b")
		b := &backoff{n: 10}
		var log logBuffer
		l := r.new(log.option(), fsm.WithRestart(b), fsm.WithCallerContext(itself))
		type key struct{}
		wantNil(t, "Start", l.Start(context.WithValue(background(), key{}, 7)))
		r.die(errBoom)
		quiet(t) // G7: a timer, and no goroutine
		wantState(t, l, fsm.Idle)
		s := l.Status()
		if !s.RestartAt.Equal(time.Now().Add(time.Second)) || !errors.Is(s.Cause, errBoom) {
			t.Errorf("%v; want a restart in a second, and why", s)
		}
		if want := "; cause: boom; starts again at "; !strings.Contains(s.String(), want) {
			t.Errorf("%q; want %q in it", s, want)
		}
		began := time.Now()
		_, err := l.Wait(background(), fsm.Started)
		wantNil(t, "Wait", err)
		if took := time.Since(began); took != time.Second {
			t.Errorf("it was started again after %v; want a second", took)
		}
		quiet(t)
		if s := l.Status(); s.Attempt != 2 || s.Cause != nil || !s.RestartAt.IsZero() {
			t.Errorf("%+v; want attempt 2, no cause, nothing due", s)
		}
		if r.ctx.Value(key{}) != 7 {
			t.Error("the values of the attempt that died are not those of the new one")
		}
		wantNil(t, "Stop", l.Stop(background()))
		time.Sleep(time.Hour)
		wantState(t, l, fsm.Idle)
		r.wantLog("open +a +b -b -a open +a +b -b -a")
		if want := []string{"1 boom"}; !slices.Equal(b.calls, want) {
			t.Errorf("Next was called with %q; want %q", b.calls, want)
		}
		if log.String() != "" {
			t.Errorf("logged: %s; want nothing, all went well", &log)
		}
	})
}

// A failed restart is repeated until the backoff gives up; a failed Start is not repeated.
func TestRestartLimit(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		b := &backoff{n: 3}
		var log logBuffer
		gaveUp := make(gaveUps, 10)
		l := r.new(log.option(), fsm.WithRestart(b), fsm.WithTracer(gaveUp))
		r.failing(100, "a")
		wantIs(t, "Start", l.Start(background()), errBoom)
		time.Sleep(time.Hour)
		if r.opened != 1 || b.calls != nil {
			t.Errorf("a Start that failed: opened %d times, Next was called with %q; want no restart", r.opened, b.calls)
		}
		r.at = nil
		for range 2 { // a Stop calls off what was before it, and no more
			wantNil(t, "Stop", l.Stop(background()))
			if !l.Status().Stopped {
				t.Error("after a Stop: Status.Stopped is false")
			}
			wantNil(t, "Start", l.Start(background()))
		}
		r.failing(100, "a")
		r.die(errors.New("gone"))
		time.Sleep(time.Hour)
		quiet(t)
		wantState(t, l, fsm.Idle)
		start := func(n int) string { return fmt.Sprintf("fsm: start: attempt %d: a: boom", n) }
		if want := []string{"1 gone", "2 " + start(4), "3 " + start(5), "4 " + start(6)}; !slices.Equal(b.calls, want) {
			t.Errorf("Next was called with %q; want %q", b.calls, want)
		}
		if s := l.Status(); s.Attempt != 6 || !errors.Is(s.Cause, errBoom) || !s.RestartAt.IsZero() || s.Stopped {
			t.Errorf("G14 CauseKept is broken: %+v; want why the last of six attempts failed, nothing due", s)
		}
		if want := `the backoff gave up; the dead resource is not restarted" restarts=3 error.attempt=6 error.part=a error.err=boom`; strings.Count(log.String(), want) != 1 {
			t.Errorf("the log has %q; want %q", log.String(), want)
		}
		select {
		case s := <-gaveUp:
			if s.Attempt != 6 || !errors.Is(s.Err, errBoom) || s.Context == nil || !s.At.Equal(time.Now().Add(3*time.Second-time.Hour)) {
				t.Errorf("the tracer received %+v; want attempt 6 and its error, when Next gave up", s)
			}
		default:
			t.Error("the tracer received no StepGaveUp")
		}
		wantIs(t, "Start after it has given up", l.Start(background()), errBoom)
		synctest.Wait()
		if len(b.calls) != 4 {
			t.Errorf("Next was called with %q; want nothing after it has given up", b.calls)
		}
		r.at = nil
		wantNil(t, "Start after it has given up", l.Start(background()))
		wantNil(t, "Stop", l.Stop(background()))
	})
}

// gaveUps is a tracer that keeps each StepGaveUp.
type gaveUps chan fsm.Step

func (gaveUps) Transition(fsm.Transition) {}

func (g gaveUps) Step(s fsm.Step) {
	if s.Kind == fsm.StepGaveUp {
		g <- s
	}
}

// One that dies again and again, young, runs into the limit; one that has run for a
// minute begins anew.
func TestRestartCountsAnewOnceItHasRun(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		b := &backoff{n: 3}
		l := r.new(fsm.WithRestart(b))
		wantNil(t, "Start", l.Start(background()))
		for _, age := range []time.Duration{time.Second, time.Minute - 1, time.Minute, time.Second, time.Second, time.Second} {
			time.Sleep(age)
			r.die(errBoom)
			synctest.Wait()
			l.Wait(background(), fsm.Started, fsm.Idle)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		wantState(t, l, fsm.Idle)
		if want := []string{"1 boom", "2 boom", "1 boom", "2 boom", "3 boom", "4 boom"}; !slices.Equal(b.calls, want) {
			t.Errorf("Next was called with %q; want %q", b.calls, want)
		}
	})
}

// From the death on a Start waits for the restart, however far away that is: workers that
// Start and Use in a loop do not defeat the backoff.
func TestG8StartWaitsForTheRestart(t *testing.T) {
	const away = time.Hour
	for name, release := range map[string]time.Duration{"while it is due": 0, "while the dead one is released": time.Minute} {
		bubble(t, name, func(t *testing.T) {
			r := newRig(t, "a")
			l := r.new(fsm.WithRestart(&backoff{n: 100, pause: away}))
			wantNil(t, "Start", l.Start(background()))
			r.release = func(context.Context, string) error { time.Sleep(release); return nil }
			r.die(errBoom)
			synctest.Wait()
			began := time.Now()
			patient := begin(t, func() error { return l.Start(background()) })
			hasty := begin(t, func() error {
				ctx, cancel := context.WithTimeout(background(), time.Second)
				defer cancel()
				return l.Start(ctx)
			})
			wantIs(t, "G12: Start whose context ends", hasty.result(), context.DeadlineExceeded)
			if took := time.Since(began); took != time.Second {
				t.Errorf("G12 Progress is broken: it left after %v; want a second", took)
			}
			time.Sleep(away / 2)
			patient.mustPend("Start of what is to be started again")
			if s := l.Status(); s.Waiters != 1 || s.Attempt != 1 || s.State != fsm.Idle {
				t.Errorf("G8 StopWins is broken: %v; want the Start to wait for the restart", s)
			}
			wantNil(t, "Start", patient.result())
			if took := time.Since(began); took != away+release || l.Status().Attempt != 2 {
				t.Errorf("G8 StopWins is broken: started after %v, attempt %d; want %v, attempt 2", took, l.Status().Attempt, away+release)
			}
			wantNil(t, "Stop", l.Stop(background()))
		})
	}
	bubble(t, "and gets its outcome, the next one waits for the next", func(t *testing.T) {
		r := newRig(t, "a")
		b := &backoff{n: 100}
		l := r.new(fsm.WithRestart(b))
		wantNil(t, "Start", l.Start(background()))
		r.failing(2, "a")
		r.die(errBoom)
		synctest.Wait()
		var failed *fsm.StartError
		if err := l.Start(background()); !errors.As(err, &failed) || failed.Attempt != 2 {
			t.Errorf("Start that waited: %v; want why attempt 2 failed", err)
		}
		began := time.Now()
		wantNil(t, "Start", l.Start(background()))
		if took := time.Since(began); took != time.Second || l.Status().Attempt != 3 {
			t.Errorf("G8 StopWins is broken: attempt %d after %v; want 3 after a second", l.Status().Attempt, took)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
	bubble(t, "workers in a loop", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new(fsm.WithRestart(&backoff{n: 3}), fsm.WithLogger(slog.New(slog.DiscardHandler)))
		ctx, cancel := context.WithTimeout(background(), time.Minute)
		defer cancel()
		var workers []*call
		for range 4 {
			workers = append(workers, begin(t, func() error {
				for r.times() < 1000 { // past the backoff they would go on without end
					if err := l.Start(ctx); err != nil {
						return err
					}
					if lease, err := l.Acquire(); err == nil {
						lease.Fail(errBoom)
						lease.Release()
					}
				}
				return nil
			}))
		}
		for _, w := range workers {
			wantIs(t, "worker", w.result(), context.DeadlineExceeded)
		}
		// The first, then three restarts every three seconds, and one attempt more for the waiting
		// callers.
		if n := r.times(); n > 1+60/3*4 {
			t.Errorf("G8 StopWins is broken: what dies at once was opened %d times in a minute, past a backoff of a second", n)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
}

// When the backoff gives up, the callers that wait for the restart get an attempt of their own.
func TestG12GivingUpLeavesNobodyWaiting(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		goOn := make(chan struct{})
		b := nextFunc(func(try int, _ error) (time.Duration, bool) {
			<-goOn
			return 0, false
		})
		l := r.new(fsm.WithRestart(b), fsm.WithLogger(slog.New(slog.DiscardHandler)))
		for round := range uint64(3) {
			wantNil(t, "Start", l.Start(background()))
			r.die(errBoom)
			synctest.Wait()
			start := begin(t, func() error { return l.Start(background()) })
			start.mustPend("Start during Next")
			goOn <- struct{}{}
			wantNil(t, "Start when it has given up", start.result())
			if s := l.Status(); s.Attempt != 2*(round+1) {
				t.Errorf("%v; want attempt %d", s, 2*(round+1))
			}
			wantNil(t, "Stop", l.Stop(background()))
		}
	})
}

// When the backoff gives up, the count of the restarts begins anew (R38: a supervisor's
// backoff that never does, SceneWorks #578, zeroclaw #138).
func TestR38GivingUpBeginsTheCountAnew(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		b := &backoff{n: 1}
		l := r.new(fsm.WithRestart(b), fsm.WithLogger(slog.New(slog.DiscardHandler)))
		for range 3 {
			wantNil(t, "Start", l.Start(background()))
			r.die(errBoom)
			_, err := l.Wait(background(), fsm.Started) // attempt 1 or so, still
			wantNil(t, "Wait", err)
			time.Sleep(2 * time.Second)
			wantState(t, l, fsm.Started)
			r.die(errBoom)
			time.Sleep(time.Minute)
			synctest.Wait()
			wantState(t, l, fsm.Idle)
		}
		if want := []string{"1 boom", "2 boom", "1 boom", "2 boom", "1 boom", "2 boom"}; !slices.Equal(b.calls, want) {
			t.Errorf("Next was called with %q; want %q", b.calls, want)
		}
	})
}

// If a Backoff has a method Restarts, its result decides about restarts.
func TestRestartsOfABackoff(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		own := &backoff{n: 100}
		l := r.new(fsm.WithRestart(hasRestarts{own}))
		wantNil(t, "Start", l.Start(background()))
		r.die(errBoom)
		time.Sleep(time.Minute)
		wantState(t, l, fsm.Started)
		if want := []string{"1 boom"}; !slices.Equal(own.calls, want) {
			t.Errorf("Next was called with %q; want %q", own.calls, want)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
	defer func() {
		if text := fmt.Sprint(recover()); !strings.Contains(text, "Restarts returned nil: want a Backoff") {
			t.Errorf("a method Restarts that returns nil: %s", text)
		}
	}()
	fsm.WithRestart(hasRestarts{})
}

type hasRestarts struct{ own fsm.Backoff }

func (h hasRestarts) Restarts() fsm.Backoff                 { return h.own }
func (h hasRestarts) Next(int, error) (time.Duration, bool) { panic("not for restarts") }

// A Stop begins the count anew, however young the resource was.
func TestRestartCountsAnewAfterAStop(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		b := &backoff{n: 100}
		l := r.new(fsm.WithRestart(b))
		for range 2 {
			wantNil(t, "Start", l.Start(background()))
			for range 2 {
				r.die(errBoom)
				synctest.Wait()
				l.Wait(background(), fsm.Started)
			}
			wantNil(t, "Stop", l.Stop(background()))
		}
		if want := []string{"1 boom", "2 boom", "1 boom", "2 boom"}; !slices.Equal(b.calls, want) {
			t.Errorf("Next was called with %q; want %q", b.calls, want)
		}
	})
}

// Callers that start the resource meanwhile join a restart. It goes on when they leave.
func TestG6RestartAndOtherCallers(t *testing.T) {
	bubble(t, "one joins the restart and leaves", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new(fsm.WithRestart(&backoff{n: 100}))
		wantNil(t, "Start", l.Start(background()))
		r.at = func(ctx context.Context, _ string) error {
			select {
			case <-time.After(time.Minute):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		r.die(errBoom)
		l.Wait(background(), fsm.Idle)
		l.Wait(background(), fsm.Starting)
		ctx, cancel := context.WithTimeout(background(), time.Second)
		defer cancel()
		wantIs(t, "Start that leaves", l.Start(ctx), context.DeadlineExceeded)
		wantState(t, l, fsm.Starting)
		_, err := l.Wait(background(), fsm.Started)
		wantNil(t, "Wait", err)
		wantNil(t, "Stop", l.Stop(background()))
	})
}

// However the backoff ends, the lifecycle goes on.
func TestRestartBackoffMisbehaves(t *testing.T) {
	for name, how := range map[string]func(){"panics": func() { panic(errBoom) }, "calls Goexit": runtime.Goexit} {
		bubble(t, name, func(t *testing.T) {
			r := newRig(t, "a")
			var log logBuffer
			l := r.new(log.option(), fsm.WithRestart(nextFunc(func(int, error) (time.Duration, bool) { how(); return 0, true })))
			wantNil(t, "Start", l.Start(background()))
			r.die(errBoom)
			time.Sleep(time.Hour)
			quiet(t)
			wantState(t, l, fsm.Idle)
			if name == "panics" && !strings.Contains(log.String(), "the backoff of the restarts panicked") {
				t.Errorf("the log has %q", log.String())
			}
			wantNil(t, "Start", l.Start(background()))
			wantNil(t, "Stop", l.Stop(background()))
			r.wantLog("open +a -a open +a -a")
		})
	}
	// A Stop, and another death, during Next. One goroutine at a time calls Next, and its answer
	// about the first death does not count for the second.
	bubble(t, "takes long", func(t *testing.T) {
		r := newRig(t, "a")
		var calls []string
		l := r.new(fsm.WithRestart(nextFunc(func(try int, err error) (time.Duration, bool) {
			calls = append(calls, fmt.Sprint(try, " ", err))
			time.Sleep(time.Second)
			return -time.Hour, len(calls) > 1
		})))
		wantNil(t, "Start", l.Start(background()))
		r.die(errBoom)
		synctest.Wait()
		wantNil(t, "Stop during Next", l.Stop(background()))
		wantNil(t, "Start", l.Start(background()))
		r.die(errors.New("gone"))
		synctest.Wait()
		if len(calls) != 1 {
			t.Errorf("Next was called with %q; want one call at a time", calls)
		}
		_, err := l.Wait(background(), fsm.Started) // though of the first death it said no
		wantNil(t, "Wait", err)
		if want := []string{"1 boom", "1 gone"}; !slices.Equal(calls, want) {
			t.Errorf("Next was called with %q; want %q", calls, want)
		}
		r.die(errBoom)
		synctest.Wait()
		wantNil(t, "Stop during Next", l.Stop(background()))
		time.Sleep(time.Hour)
		wantState(t, l, fsm.Idle)
	})
	func() {
		defer func() {
			if text := fmt.Sprint(recover()); !strings.Contains(text, "fsm: WithRestart(nil): want a Backoff") {
				t.Errorf("WithRestart(nil): %s", text)
			}
		}()
		fsm.WithRestart(nil)
	}()
}
