package fsm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/spec"
)

// Every way to end an attempt, at every part.
func TestG4Rollback(t *testing.T) {
	parts := []string{"a", "b", "c"}
	type world struct {
		l     *fsm.Lifecycle[*rig]
		r     *rig
		leave context.CancelCauseFunc
	}
	for _, c := range []struct {
		name string
		end  func(t *testing.T, w world, ctx context.Context) error // within open
		want func(t *testing.T, err error, at string)               // what Start gets
	}{
		{"error", func(t *testing.T, w world, ctx context.Context) error { return errBoom },
			func(t *testing.T, err error, at string) {
				if e := startError(t, err); e.Err != errBoom || e.Part != at || e.Attempt != 1 || e.Rollback != nil {
					t.Errorf("Start: %+v; want attempt 1, part %q, boom", e, at)
				}
			}},
		{"panic", func(t *testing.T, w world, ctx context.Context) error { panic(errBoom) },
			func(t *testing.T, err error, at string) {
				var p *fsm.PanicError
				if e := startError(t, err); !errors.As(err, &p) || e.Part != at || p.Value != errBoom || !bytes.Contains(p.Stack, []byte("rollback_test.go")) {
					t.Errorf("Start: %v; want the panic with its stack, part %q", err, at)
				}
				wantIs(t, "Start", err, errBoom)
			}},
		{"Goexit", func(t *testing.T, w world, ctx context.Context) error { runtime.Goexit(); return nil },
			func(t *testing.T, err error, at string) {
				if e := startError(t, err); e.Part != at || !strings.Contains(e.Err.Error(), "Goexit") {
					t.Errorf("Start: %v; want Goexit at part %q", err, at)
				}
			}},
		{"the last caller's leaving", func(t *testing.T, w world, ctx context.Context) error {
			w.leave(errBoom)
			<-ctx.Done()
			return ctx.Err()
		}, func(t *testing.T, err error, at string) {
			if e := leaveError(t, err); e.Err != errBoom || e.Part != at {
				t.Errorf("Start: %v; want its own cause, at part %q", err, at)
			}
		}},
		{"the last caller's leaving, deaf", func(t *testing.T, w world, ctx context.Context) error {
			w.leave(errBoom)
			<-ctx.Done()
			return nil
		}, func(t *testing.T, err error, at string) {
			if e := leaveError(t, err); e.Err != errBoom || e.Part != at {
				t.Errorf("Start: %v; want its own cause, at part %q", err, at)
			}
		}},
		{"Stop", func(t *testing.T, w world, ctx context.Context) error {
			begin(t, func() error { return w.l.Stop(background()) })
			<-ctx.Done()
			return ctx.Err()
		}, func(t *testing.T, err error, at string) { wantIs(t, "Start", err, fsm.ErrStopped) }},
		{"the start timeout", func(t *testing.T, w world, ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}, func(t *testing.T, err error, at string) {
			if e := startError(t, err); e.Err != context.DeadlineExceeded || e.Part != at {
				t.Errorf("Start: %v; want DeadlineExceeded at part %q", err, at)
			}
		}},
		{"Fail", func(t *testing.T, w world, ctx context.Context) error { w.r.scope.Fail(errBoom); return nil },
			func(t *testing.T, err error, at string) {
				if e := startError(t, err); e.Err != errBoom || e.Part != at {
					t.Errorf("Start: %v; want boom at part %q", err, at)
				}
			}},
	} {
		for n := range len(parts) + 1 {
			at, named := "", parts[len(parts)-1] // after the last part: it is still the one named
			if n < len(parts) {
				at, named = parts[n], parts[n]
			}
			bubble(t, fmt.Sprintf("%s with %d parts held", c.name, n), func(t *testing.T) {
				r := newRig(t, parts...)
				l := r.new(fsm.WithStartTimeout(time.Minute))
				ctx, leave := context.WithCancelCause(background())
				r.at = func(open context.Context, part string) error {
					if part == at && r.opened == 1 {
						return c.end(t, world{l, r, leave}, open)
					}
					return nil
				}
				want := "open"
				for _, p := range parts[:n] {
					want += " +" + p
				}
				back := ""
				for _, p := range parts[:n] {
					back = " -" + p + back
				}
				if strings.HasSuffix(c.name, "deaf") || c.name == "Fail" { // open goes on to acquire the rest
					want, back = "open +a +b +c", " -c -b -a"
				}
				err := l.Start(ctx)
				if err == nil {
					t.Fatal("Start: nil")
				}
				if ctx.Err() == nil && len(r.held) > 0 {
					t.Errorf("Start returned while %v are held", r.held)
				}
				c.want(t, err, named)
				synctest.Wait()
				wantState(t, l, spec.Idle)
				r.wantLog(want + back)
				quiet(t) // G7
				wantNil(t, "Start again", l.Start(background()))
				wantState(t, l, spec.Started)
				r.log = nil
				wantNil(t, "Stop", l.Stop(background()))
				r.wantLog("-c -b -a")
			})
		}
	}
}

// Each release gets a context of its own: fresh and bounded, whatever ended the attempt.
func TestG4ReleaseContext(t *testing.T) {
	for _, c := range []struct {
		opts []fsm.Option
		want time.Duration
	}{
		{nil, 10 * time.Second},
		{[]fsm.Option{fsm.WithReleaseTimeout(3 * time.Second)}, 3 * time.Second},
	} {
		bubble(t, c.want.String(), func(t *testing.T) {
			r := newRig(t, "a", "b")
			r.at = func(ctx context.Context, part string) error {
				if part == "" && r.opened == 1 {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}
			var seen []context.Context
			r.release = func(ctx context.Context, part string) error {
				deadline, ok := ctx.Deadline()
				if left := time.Until(deadline); !ok || left != c.want {
					t.Errorf("the release of %s has %v; want %v", part, left, c.want)
				}
				for _, other := range seen {
					if other == ctx || ctx.Err() != nil {
						t.Errorf("the release of %s does not have a context of its own", part)
					}
				}
				seen = append(seen, ctx)
				time.Sleep(c.want - time.Second)
				return ctx.Err()
			}
			l := r.new(append(c.opts, fsm.WithStartTimeout(time.Second))...)
			// A rollback after the start timeout, of a caller with a deadline of its own:
			ctx, cancel := context.WithTimeout(background(), time.Hour)
			defer cancel()
			if e := startError(t, l.Start(ctx)); e.Err != context.DeadlineExceeded || e.Rollback != nil {
				t.Errorf("Start: %v; want DeadlineExceeded alone", e)
			}
			wantNil(t, "Start", l.Start(background()))
			wantNil(t, "Stop", l.Stop(background()))
			if len(seen) != 4 {
				t.Errorf("%d releases; want 4", len(seen))
			}
			for _, ctx := range seen {
				if ctx.Err() == nil {
					t.Error("the context of a release that has returned has not ended")
				}
			}
		})
	}
}

// A release that fails, panics or exits does not keep the others from running.
func TestG4BadReleases(t *testing.T) {
	errA, errC := errors.New("a is stuck"), errors.New("c is stuck")
	bad := func(_ context.Context, part string) error {
		switch part {
		case "a":
			return errA
		case "b":
			runtime.Goexit()
		case "c":
			panic(errC)
		}
		return nil
	}
	check := func(t *testing.T, err error) {
		t.Helper()
		var p *fsm.PanicError
		if !errors.Is(err, errA) || !errors.Is(err, errC) || !errors.As(err, &p) {
			t.Errorf("%v; want the errors of a, b and c", err)
		}
		for _, part := range []string{"a: a is stuck", "b: runtime.Goexit was called", "c: panic: c is stuck"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%v; want it to say %q", err, part)
			}
		}
	}
	bubble(t, "in a rollback", func(t *testing.T) {
		r := newRig(t, "a", "b", "c", "d")
		r.at = failLast
		r.release = bad
		l := r.new()
		e := startError(t, l.Start(background()))
		if e.Err != errBoom {
			t.Errorf("StartError.Err = %v; want boom", e.Err)
		}
		check(t, e.Rollback)
		check(t, e) // through Unwrap
		wantState(t, l, spec.Idle)
		r.wantLog("open +a +b +c +d -d -c -b -a")
		check(t, l.Status().Cause)                    // G14
		wantIs(t, "Cause", l.Status().Cause, errBoom) // both
		quiet(t)
	})
	bubble(t, "in a stop", func(t *testing.T) {
		r := newRig(t, "a", "b", "c", "d")
		r.release = bad
		l := r.new()
		wantNil(t, "Start", l.Start(background()))
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		one := begin(t, func() error { return l.Stop(background()) })
		two := begin(t, func() error { return l.Stop(background()) })
		synctest.Wait()
		lease.Release()
		for _, stop := range []*call{one, two} { // who waits to the end gets the release's own result
			e := stopError(t, stop.result())
			if e.Part != "c" || e.CutOff != 0 {
				t.Errorf("%+v; want the first part that failed, c, and none cut off", e)
			}
			check(t, e)
		}
		wantState(t, l, spec.Idle)
		check(t, l.Status().Cause)
		r.wantLog("open +a +b +c +d -d -c -b -a")
		r.release = nil
		wantNil(t, "Start again", l.Start(background()))
		if cause := l.Status().Cause; cause != nil {
			t.Errorf("Status.Cause = %v after a successful start; want nil", cause)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
}

// Registered after the attempt has ended, a release runs at once, in the
// caller's goroutine; before, it is one of the attempt's.
func TestG4LateParts(t *testing.T) {
	bubble(t, "after the end", func(t *testing.T) {
		for name, c := range map[string]struct {
			do   func() error
			want string // logged
		}{
			"nil":   {func() error { return nil }, ""},
			"error": {func() error { return errBoom }, "boom"},
			"panic": {func() error { panic("late panic") }, "late panic"},
		} {
			var log logBuffer
			r := newRig(t, "a")
			l := r.new(log.option())
			wantNil(t, "Start", l.Start(background()))
			wantNil(t, "Stop", l.Stop(background()))
			ran := 0
			r.scope.Defer("late", func(ctx context.Context) error {
				ran++
				if deadline, ok := ctx.Deadline(); ctx.Err() != nil || !ok || time.Until(deadline) != 10*time.Second {
					t.Errorf("%s: the late release's context: %v, bounded %v", name, ctx.Err(), ok)
				}
				return c.do()
			})
			if ran != 1 {
				t.Errorf("%s: the late release ran %d times by the time that Defer returned; want once", name, ran)
			}
			if got := log.String(); !strings.Contains(got, c.want) || (c.want == "") != (got == "") || c.want != "" && !strings.Contains(got, "late") {
				t.Errorf("%s: logged %q; want it to name %q", name, got, c.want)
			}
			wantState(t, l, spec.Idle)
		}
	})
	bubble(t, "while it runs, and while it is given back", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new()
		wantNil(t, "Start", l.Start(background()))
		r.hold(r.scope, "b")
		if held := l.Status().Held; len(held) != 2 || held[1] != "b" {
			t.Errorf("Status.Held = %v; want a b", held)
		}
		late := true
		r.release = func(_ context.Context, part string) error {
			if part == "a" && late {
				late = false
				r.scope.Defer("later", func(context.Context) error {
					r.mu.Lock()
					defer r.mu.Unlock()
					r.log = append(r.log, "-later")
					return nil
				})
			}
			return nil
		}
		wantNil(t, "Stop", l.Stop(background()))
		r.wantLog("open +a +b -b -a -later")
	})
	bubble(t, "by an open that was cancelled", func(t *testing.T) {
		r := newRig(t, "a", "b")
		r.at = func(ctx context.Context, part string) error {
			if part == "b" {
				<-ctx.Done() // and goes on all the same
			}
			return nil
		}
		l := r.new(fsm.WithStartTimeout(time.Second))
		wantIs(t, "Start", l.Start(background()), context.DeadlineExceeded)
		r.wantLog("open +a +b -b -a")
	})
	// After the last release has run, and before the attempt is over.
	bubble(t, "in the last moment", func(t *testing.T) {
		for _, parts := range [][]string{nil, {"a"}} {
			r := newRig(t, parts...)
			released, finishes := 0, 0
			at := pointHook(func(action spec.Action) {
				if action != spec.Finish {
					return
				}
				if released == 0 {
					r.scope.Defer("last", func(context.Context) error { released++; return nil })
				}
				if finishes++; finishes > 10 { // nothing else would end it
					panic("G12 Progress is broken: an attempt comes to its end again and again")
				}
			})
			l := r.new(control.WithHook(at).(fsm.Option))
			wantNil(t, "Start", l.Start(background()))
			wantNil(t, "Stop", l.Stop(background()))
			if held := l.Status().Held; released != 1 || len(held) > 0 {
				t.Errorf("with %d parts: the last one was released %d times, held %v; want once, nothing", len(parts), released, held)
			}
			wantState(t, l, spec.Idle)
		}
	})
}

// pointHook is called at each point; all else is as without a hook.
type pointHook func(spec.Action)

func (f pointHook) Point(action spec.Action, _ control.Attempt) { f(action) }
func (pointHook) Took(spec.Action, control.Attempt)             {}
func (pointHook) Go(f func()) func()                            { return f }
func (pointHook) Wait(spec.Action, control.Attempt, <-chan struct{}, <-chan struct{}) {
}
