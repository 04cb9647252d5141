package fsm_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// A lease is of the try that opened the resource, whichever that was: Lease.Fail is not
// taken for the failure of a try that is over (G13).
func TestG13LeaseFailsAfterARetry(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		r.failing(2, "a")
		l := r.new(fsm.WithRetry(&backoff{n: 2}))
		wantNil(t, "Start", l.Start(background()))
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		lease.Fail(errBoom)
		wantIs(t, "the cause of the lease's context", context.Cause(lease.Context()), errBoom)
		lease.Release()
		synctest.Wait()
		if l.State() != fsm.Idle {
			t.Fatalf("G13 OwnGeneration is broken: a lease reports the death of what the third try opened, and the state is %v", l.State())
		}
		wantIs(t, "Status.Cause", l.Status().Cause, errBoom)
	})
}

// The error of an attempt names the last of the tries that failed before.
func TestStartErrorNamesTheLastTry(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		tries := 0
		l := fsm.New(func(context.Context, *fsm.Scope) (int, error) {
			tries++
			return 0, errors.New([]string{1: "one", 2: "two", 3: "three"}[tries])
		}, fsm.WithRetry(&backoff{n: 2}))
		err := startError(t, l.Start(background()))
		if want := "fsm: start: attempt 1: three (2 tries failed before, the last with: two)"; err.Error() != want {
			t.Errorf("%q; want %q", err, want)
		}
	})
	bubble(t, "of an attempt that is cancelled between two tries", func(t *testing.T) {
		r := newRig(t, "a")
		r.failing(5, "a")
		l := r.new(fsm.WithRetry(&backoff{n: 5}), fsm.WithStartTimeout(1500*time.Millisecond))
		err := startError(t, l.Start(background()))
		if want := "fsm: start: attempt 1: a: context deadline exceeded (2 tries failed before, the last with: boom)"; err.Error() != want {
			t.Errorf("%q; want %q", err, want)
		}
	})
}

// What is logged of a part or of an attempt says which it is.
func TestLogNamesAttemptAndPart(t *testing.T) {
	slow := func(context.Context, string) error { time.Sleep(time.Hour); return errBoom }
	for name, c := range map[string]struct {
		second func(r *rig, l *fsm.Lifecycle[*rig]) // the second attempt
		want   []string                             // in one line of the log
	}{
		"a release without a waiter": {func(r *rig, l *fsm.Lifecycle[*rig]) {
			r.release = func(context.Context, string) error { return errBoom }
			l.Start(background())
			r.scope.Fail(errors.New("dead"))
			synctest.Wait()
		}, []string{"a release failed and no caller waits for its error", "attempt=2", "a: boom"}},
		"a release that outlives its timeout": {func(r *rig, l *fsm.Lifecycle[*rig]) {
			r.release = slow
			l.Start(background())
			l.Stop(background())
		}, []string{"a release outlives its timeout", "part=a", "attempt=2", "timeout=1m0s"}},
		"a release between two tries": {func(r *rig, l *fsm.Lifecycle[*rig]) {
			r.failing(2, "")
			r.release = func(context.Context, string) error { return errBoom }
			l.Start(background())
		}, []string{"a release failed before another try", "attempt=2", "a: boom"}},
		"a part that is registered late": {func(r *rig, l *fsm.Lifecycle[*rig]) {
			l.Start(background())
			l.Stop(background())
			r.scope.Defer("late", func(context.Context) error { return errBoom })
		}, []string{"a part was registered too late", "part=late", "attempt=2", "boom"}},
		"a part that is registered late, whose release exits": {func(r *rig, l *fsm.Lifecycle[*rig]) {
			l.Start(background())
			l.Stop(background())
			begin(t, func() error {
				r.scope.Defer("late", func(context.Context) error { runtime.Goexit(); return nil })
				return nil
			}).result()
		}, []string{"a part was registered too late", "part=late", "attempt=2", "Goexit"}},
	} {
		bubble(t, name, func(t *testing.T) {
			r := newRig(t, "a")
			var log logBuffer
			l := r.new(log.option(), fsm.WithReleaseTimeout(time.Minute), fsm.WithRetry(&backoff{n: 5}))
			wantNil(t, "Start", l.Start(background()))
			wantNil(t, "Stop", l.Stop(background()))
			if log.String() != "" {
				t.Errorf("the first attempt is logged: %s", log.String())
			}
			c.second(r, l)
			synctest.Wait()
			for line := range strings.Lines(log.String()) {
				if !slices.ContainsFunc(c.want, func(want string) bool { return !strings.Contains(line, want) }) {
					return
				}
			}
			t.Errorf("the log has no line with all of %q:\n%s", c.want, log.String())
		})
	}
}

// What a try that is over registers is no part of the attempt, and a Tracer does not see it held.
func TestLatePartIsNotTold(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		d := &diary{t: t}
		var first *fsm.Scope
		l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
			if first == nil {
				first = s
				return 0, errBoom
			}
			first.Defer("late", func(context.Context) error { return nil })
			return 0, nil
		}, fsm.WithTracer(d), fsm.WithRetry(&backoff{n: 1}))
		wantNil(t, "Start", l.Start(background()))
		d.want("1 begun", "start", "1 retry 0s boom", "1 try again 1s", "opened")
		wantNil(t, "Stop", l.Stop(background()))
	})
}

// A Backoff that calls runtime.Goexit has given up, of this death and of no other.
func TestRestartBackoffExits(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		calls := 0
		r := newRig(t, "a")
		l := r.new(new(logBuffer).option(), fsm.WithRestart(nextFunc(func(int, error) (time.Duration, bool) {
			if calls++; calls == 1 {
				runtime.Goexit()
			}
			return time.Second, true
		})))
		wantNil(t, "Start", l.Start(background()))
		r.die(errBoom)
		time.Sleep(time.Hour)
		wantState(t, l, fsm.Idle)
		wantNil(t, "Start", l.Start(background()))
		r.die(errBoom)
		time.Sleep(time.Hour)
		wantState(t, l, fsm.Started)
		if calls != 2 {
			t.Errorf("Next was called %d times; want once for each death", calls)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
}

// A release that failed is the Status's cause; the transition that ends the attempt has none.
func TestEndHasNoCause(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		causes := make(map[string]error)
		r := newRig(t, "a")
		r.release = func(context.Context, string) error { return errBoom }
		l := r.new(new(logBuffer).option(), fsm.WithObserver(func(tr fsm.Transition) { causes[tr.Event.String()] = tr.Cause }))
		wantNil(t, "Start", l.Start(background()))
		r.scope.Fail(errors.New("dead")) // no caller waits
		synctest.Wait()
		wantIs(t, "Status.Cause", l.Status().Cause, errBoom)
		wantNil(t, "Start", l.Start(background()))
		over, cancel := context.WithCancel(background())
		cancel()
		r.release = func(context.Context, string) error { time.Sleep(time.Second); return errBoom }
		wantIs(t, "Shutdown whose context has ended", l.Shutdown(over), context.Canceled)
		<-l.Done()
		synctest.Wait()
		for _, event := range []string{"released", "closed"} {
			if cause, seen := causes[event]; cause != nil || !seen {
				t.Errorf("%s: seen %v, cause %v; want it seen, and none", event, seen, cause)
			}
		}
	})
}

// The cause of open's context is what happened, as open or Fail said it, not the error that Start makes of it.
func TestOpenContextEndsWithWhatHappened(t *testing.T) {
	for name, fails := range map[string]func(r *rig) error{
		"open fails": func(*rig) error { return errBoom },
		"Scope.Fail": func(r *rig) error { r.scope.Fail(errBoom); return nil },
	} {
		bubble(t, name, func(t *testing.T) {
			r := newRig(t, "a")
			r.at = func(context.Context, string) error { return fails(r) }
			wantIs(t, "Start", startError(t, r.new().Start(background())), errBoom)
			if cause := context.Cause(r.ctx); cause != errBoom {
				t.Errorf("the cause of open's context is %v (%T); want %v", cause, cause, errBoom)
			}
		})
	}
}

// The log has the value of a panic of a Backoff or a Breaker, and the reason why a resource that is
// not restarted died.
func TestLogNamesThePanic(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		var log logBuffer
		r := newRig(t, "a")
		l := r.new(log.option(), fsm.WithRestart(nextFunc(func(int, error) (time.Duration, bool) { panic("one call too many") })),
			fsm.WithBreaker(allowFunc(func() (func(fsm.Outcome, error), error) {
				return func(fsm.Outcome, error) { panic("one outcome too many") }, nil
			})))
		wantNil(t, "Start", l.Start(background()))
		r.die(errBoom)
		synctest.Wait()
		for _, want := range []string{"one call too many", "one outcome too many", "attempt=1", "the dead resource is not restarted\" restarts=0 error=boom"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, log.String())
			}
		}
	})
}

// What failed in the rollback of a start that was stopped is kept with the start's cause (G14), and Stop returns it.
func TestG14RollbackOfAStoppedStart(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		r.at = func(ctx context.Context, part string) error {
			if part == "" {
				<-ctx.Done()
			}
			return nil
		}
		r.release = func(context.Context, string) error { return errBoom }
		l := r.new()
		start := begin(t, func() error { return l.Start(background()) })
		start.mustPend("Start")
		wantIs(t, "Stop", l.Stop(background()), errBoom)
		if err := start.result(); err != fsm.ErrStopped {
			t.Errorf("Start: %v; want %v", err, fsm.ErrStopped)
		}
		cause := startError(t, l.Status().Cause)
		wantIs(t, "Status.Cause", cause, fsm.ErrStopped)
		wantIs(t, "what Status.Cause says of the rollback", cause.Rollback, errBoom)
	})
}

// The transition of a Shutdown says why, of an idle lifecycle too.
func TestShutdownOfIdleHasItsCause(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		var seen []fsm.Transition
		l := newRig(t).new(fsm.WithObserver(func(tr fsm.Transition) { seen = append(seen, tr) }))
		wantNil(t, "Shutdown", l.Shutdown(background()))
		synctest.Wait()
		if len(seen) != 1 || seen[0].To != fsm.Closed || seen[0].Cause != fsm.ErrClosed {
			t.Errorf("seen: %+v; want the way to Closed, because of %v", seen, fsm.ErrClosed)
		}
	})
}

// A resource without parts has uses in flight as well.
func TestStatusCountsUsesOfNoParts(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		l := newRig(t).new()
		wantNil(t, "Start", l.Start(background()))
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		if s := l.Status(); s.InFlight != 1 || s.Held != nil {
			t.Errorf("%+v; want one use in flight, and nothing held", s)
		}
		lease.Release()
		wantNil(t, "Close", l.Close())
	})
}

// A Status says when the resource is started again.
func TestStatusPrintsTheRestart(t *testing.T) {
	s := fsm.Status{RestartAt: time.Date(2026, 11, 25, 12, 0, 1, 0, time.UTC)}
	if want := "starts again at 2026-11-25T12:00:01Z"; !strings.Contains(s.String(), want) {
		t.Errorf("%q; want %q in it", s, want)
	}
}

// askFunc is a Backoff.
type askFunc func(try int, err error) (time.Duration, bool)

func (f askFunc) Next(try int, err error) (time.Duration, bool) { return f(try, err) }

// A Stop during Next makes the outcome Cancelled, and the Breaker's done is called once, though the
// Backoff says that there is to be another try.
func TestR36ToldOnceWhenStoppedWhileTheBackoffIsAsked(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		var l *fsm.Lifecycle[*rig]
		r := newRig(t, "a")
		r.failing(1, "a")
		b := &breaker{t: t, after: 100}
		stopped := make(chan error, 1)
		l = r.new(fsm.WithBreaker(b), fsm.WithRetry(askFunc(func(int, error) (time.Duration, bool) {
			go func() { stopped <- l.Stop(background()) }()
			time.Sleep(time.Second)
			return time.Second, true
		})))
		wantIs(t, "Start", l.Start(background()), fsm.ErrStopped)
		wantNil(t, "Stop", <-stopped)
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Stop", l.Stop(background()))
		if want := []fsm.Outcome{fsm.Cancelled, fsm.Opened}; !slices.Equal(b.outcomes, want) {
			t.Errorf("done was called with %v; want %v", b.outcomes, want)
		}
	})
}

// ending is a context that is not of package context, and that ends with a given error.
type ending struct {
	context.Context
	done chan struct{}
	err  error
}

func (c *ending) Done() <-chan struct{} { return c.done }

func (c *ending) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// A use's context ends with what its caller's context says, also one that is not of package context.
func TestUseContextEndsAsItsCallersDoes(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		l := fsm.New(nothing)
		wantNil(t, "Start", l.Start(background()))
		caller := &ending{background(), make(chan struct{}), context.DeadlineExceeded}
		wantNil(t, "Use", l.Use(caller, func(ctx context.Context, _ int) error {
			close(caller.done)
			<-ctx.Done()
			if ctx.Err() != context.DeadlineExceeded {
				t.Errorf("the use's context ends with %v", ctx.Err())
			}
			return nil
		}))
		wantNil(t, "Close", l.Close())
	})
}
