package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

func TestG14CauseKept(t *testing.T) {
	bubble(t, "of a failed attempt, until the next success", func(t *testing.T) {
		r := newRig(t, "a", "b")
		r.at = func(_ context.Context, part string) error {
			if part == "b" && r.opened <= 2 {
				return fmt.Errorf("failure %d: %w", r.opened, errBoom)
			}
			return nil
		}
		l := r.new()
		if cause := l.Status().Cause; cause != nil {
			t.Errorf("Status.Cause of a new one = %v; want nil", cause)
		}
		for n := uint64(1); n <= 2; n++ {
			err := l.Start(background())
			e := startError(t, l.Status().Cause)
			if e.Attempt != n || e.Part != "b" || !errors.Is(e, errBoom) || err != error(e) {
				t.Errorf("Status.Cause = %+v; want that of attempt %d, part b, as Start got it (%v)", e, n, err)
			}
			wantNil(t, "Stop", l.Stop(background())) // runs nothing, changes nothing
			wantIs(t, "Status.Cause", l.Status().Cause, errBoom)
		}
		wantNil(t, "Start", l.Start(background()))
		if cause := l.Status().Cause; cause != nil {
			t.Errorf("Status.Cause = %v after a successful start; want nil", cause)
		}
		wantNil(t, "Stop", l.Stop(background()))
		if cause := l.Status().Cause; cause != nil {
			t.Errorf("Status.Cause = %v after a clean stop; want nil", cause)
		}
	})
	bubble(t, "of a start that was stopped: where it was", func(t *testing.T) {
		for reason, stop := range map[error]func(*fsm.Lifecycle[*rig]) error{
			fsm.ErrStopped: func(l *fsm.Lifecycle[*rig]) error { return l.Stop(background()) },
			fsm.ErrClosed:  func(l *fsm.Lifecycle[*rig]) error { return l.Shutdown(background()) },
		} {
			r := newRig(t, "a", "b")
			r.at = func(ctx context.Context, part string) error {
				if part == "b" {
					<-ctx.Done()
				}
				return ctx.Err()
			}
			l := r.new()
			start := begin(t, func() error { return l.Start(background()) })
			start.mustPend("Start")
			wantNil(t, "stop", stop(l))
			wantIs(t, "Start", start.result(), reason)
			if e := startError(t, l.Status().Cause); e.Attempt != 1 || e.Part != "b" || e.Err != reason {
				t.Errorf("Status.Cause = %+v; want attempt 1, part b, %v", e, reason)
			}
		}
	})
	bubble(t, "of a resource that died of another's failure to start", func(t *testing.T) {
		errStuck := errors.New("stuck")
		r := newRig(t, "a")
		l := r.new()
		wantNil(t, "Start", l.Start(background()))
		r.release = func(context.Context, string) error { return errStuck }
		death := &fsm.StartError{Attempt: 7, Part: "of another", Err: errBoom}
		r.scope.Fail(death)
		synctest.Wait()
		wantState(t, l, spec.Idle)
		cause := l.Status().Cause
		wantIs(t, "Status.Cause", cause, error(death))
		wantIs(t, "Status.Cause", cause, errStuck)
		if death.Rollback != nil || cause == error(death) {
			t.Errorf("Status.Cause = %#v, and %+v was written to", cause, death)
		}
	})
	bubble(t, "while the attempt is being rolled back, and while the next one opens", func(t *testing.T) {
		r := newRig(t, "a")
		r.at = func(_ context.Context, part string) error {
			if part == "" && r.opened == 1 {
				return errBoom
			}
			time.Sleep(time.Second)
			return nil
		}
		r.release = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		l := r.new()
		first := begin(t, func() error { return l.Start(background()) })
		time.Sleep(1500 * time.Millisecond)
		wantState(t, l, spec.Stopping)
		wantIs(t, "Status.Cause", l.Status().Cause, errBoom)
		second := begin(t, func() error { return l.Start(background()) })
		time.Sleep(time.Second)
		wantState(t, l, spec.Starting)
		wantIs(t, "Status.Cause", l.Status().Cause, errBoom)
		wantIs(t, "the first Start", first.result(), errBoom)
		wantNil(t, "the second Start", second.result())
		wantNil(t, "Stop", l.Stop(background()))
	})
	bubble(t, "of a resource that died, by Scope and by Lease", func(t *testing.T) {
		for _, by := range []string{"scope", "lease"} {
			r := newRig(t, "a")
			l := r.new()
			wantNil(t, "Start", l.Start(background()))
			lease, err := l.Acquire()
			wantNil(t, "Acquire", err)
			if by == "scope" {
				r.scope.Fail(errBoom)
			} else {
				lease.Fail(errBoom)
			}
			_, err = l.Wait(background(), spec.Idle)
			wantNil(t, "Wait", err)
			if got := l.Status().Cause; got != errBoom {
				t.Errorf("Status.Cause = %v; want what Fail was given", got)
			}
			lease.Release()
			wantNil(t, "Start", l.Start(background()))
			if got := l.Status().Cause; got != nil {
				t.Errorf("Status.Cause = %v after a successful start; want nil", got)
			}
			wantNil(t, "Stop", l.Stop(background()))
		}
	})
	bubble(t, "of a rollback that failed, with each part", func(t *testing.T) {
		r := newRig(t, "a", "b", "c")
		r.at = func(_ context.Context, part string) error {
			if part == "" && r.opened == 1 {
				return errBoom
			}
			return nil
		}
		r.release = func(_ context.Context, part string) error {
			if part != "c" {
				return errors.New("stuck")
			}
			return nil
		}
		l := r.new()
		err := l.Start(background())
		e := startError(t, l.Status().Cause)
		if e != err || e.Err != errBoom || e.Rollback == nil || e.Rollback.Error() != "b: stuck\na: stuck" {
			t.Errorf("Status.Cause = %+v; want what Start got, boom, and what was stuck", e)
		}
		wantNil(t, "Start", l.Start(background()))
		stop := stopError(t, l.Stop(background()))
		if kept := stopError(t, l.Status().Cause); kept != stop || kept.Part != "b" {
			t.Errorf("Status.Cause = %+v; want what Stop got, with the first part that failed, b", kept)
		}
	})
	bubble(t, "of a death and the release that then failed, both", func(t *testing.T) {
		r := newRig(t, "a")
		errStuck := errors.New("stuck")
		r.release = func(context.Context, string) error { return errStuck }
		var log logBuffer
		l := r.new(log.option())
		wantNil(t, "Start", l.Start(background()))
		r.scope.Fail(nil) // no cause: something is kept all the same
		synctest.Wait()
		cause := l.Status().Cause
		var e *fsm.StopError
		if !errors.As(cause, &e) || e.Part != "a" || !errors.Is(cause, errStuck) || !strings.Contains(cause.Error(), "no cause") {
			t.Errorf("Status.Cause = %v; want the death and the part whose release failed", cause)
		}
		if n := strings.Count(log.String(), "stuck"); n != 1 { // no caller waited for it
			t.Errorf("logged %q; want the failed release, once", log.String())
		}
	})
}

// The error of open stays the cause, also if the backoff panics or exits.
func TestG14OpensErrorSurvivesTheBackoff(t *testing.T) {
	for name, how := range map[string]func(){"panics": func() { panic("the backoff's") }, "exits": runtime.Goexit} {
		bubble(t, name, func(t *testing.T) {
			r := newRig(t, "a", "b")
			r.failing(2, "b")
			var log logBuffer
			l := r.new(log.option(), fsm.WithRetry(nextFunc(func(try int, _ error) (time.Duration, bool) {
				if try == 2 {
					how()
				}
				return 0, true
			})))
			e := startError(t, l.Start(background()))
			if !errors.Is(e, errBoom) || errors.As(e, new(*fsm.PanicError)) || e.Part != "b" || l.Status().Cause != error(e) {
				t.Errorf("G14 CauseKept is broken: Start: %v, Status.Cause: %v; want what open failed with", e, l.Status().Cause)
			}
			r.wantLog("open +a -a open +a -a")
			quiet(t)
		})
	}
}
