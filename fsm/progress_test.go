package fsm_test

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

// Whatever the hooks do, a call returns promptly once its own context ends. In a
// bubble promptly is: without any time passing.
func TestG12Progress(t *testing.T) {
	bubble(t, "a deaf open, a deaf release, a deaf use", func(t *testing.T) {
		r := newRig(t, "a")
		forever := make(chan struct{}) // or nearly so
		r.at = func(_ context.Context, part string) error {
			if part == "" {
				<-forever
			}
			return nil
		}
		r.release = func(context.Context, string) error { <-forever; return nil }
		l := r.new(fsm.WithLogger(slog.New(slog.DiscardHandler)))
		bounded := func(what string, f func(ctx context.Context) error) {
			t.Helper()
			ctx, cancel := context.WithTimeoutCause(background(), time.Second, errBoom)
			defer cancel()
			began := time.Now()
			wantIs(t, what, f(ctx), errBoom)
			if took := time.Since(began); took != time.Second {
				t.Errorf("%s took %v; want 1s", what, took)
			}
		}
		all := func() {
			t.Helper()
			bounded("Start", l.Start)
			bounded("Stop", l.Stop)
			bounded("Wait", func(ctx context.Context) error { _, err := l.Wait(ctx, spec.Idle); return err })
			l.Status()
			l.State()
			l.Acquire()
		}
		all() // Starting, then Stopping under an open that never returns
		wantState(t, l, spec.Stopping)
		all()
		close(forever)
		_, err := l.Wait(background(), spec.Idle)
		wantNil(t, "Wait", err)
		wantNil(t, "Start", l.Start(background()))

		forever = make(chan struct{})
		end := make(chan struct{})
		uses, _ := deaf(t, l, 1, end)
		r.release = func(context.Context, string) error { <-forever; return nil }
		bounded("Stop under a deaf use", l.Stop)
		all() // Stopping, under a release that never returns
		bounded("Shutdown under a release that never returns", l.Shutdown)
		began := time.Now()
		stopError(t, l.Close())
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("Close took %v; want its 30s", took)
		}
		close(forever)
		_, err = l.Wait(background(), spec.Closed)
		wantNil(t, "Wait", err)
		close(end)
		uses[0].result()
	})
	bubble(t, "no wake-up is lost, however many wait", func(t *testing.T) {
		for stoppers := range 4 {
			for inUse := range 3 {
				for queued := range 3 {
					r := newRig(t, "a")
					r.release = func(context.Context, string) error { time.Sleep(time.Second); return nil }
					l := started(t, r)
					end := make(chan struct{})
					waiting, _ := deaf(t, l, inUse, end)
					if stoppers == 0 {
						r.scope.Fail(errBoom)
					}
					for range stoppers {
						waiting = append(waiting, begin(t, func() error { return l.Stop(background()) }))
					}
					synctest.Wait()
					for range queued {
						waiting = append(waiting, begin(t, func() error { return l.Start(background()) }))
					}
					synctest.Wait()
					close(end)
					for _, c := range waiting {
						wantNil(t, "a call that waited", c.result())
					}
					_, err := l.Wait(background(), spec.Idle, spec.Started)
					wantNil(t, "Wait", err)
					if got := l.State() == spec.Started; got != (queued > 0) {
						t.Errorf("%d stoppers, %d uses, %d queued: started again: %v", stoppers, inUse, queued, got)
					}
					wantNil(t, "Close", l.Close())
				}
			}
		}
	})
	bubble(t, "Starting ends, when no caller is left", func(t *testing.T) {
		r := newRig(t, "a")
		r.at = func(ctx context.Context, part string) error { time.Sleep(time.Second); return nil }
		l := r.new()
		ctx, cancel := context.WithCancel(background())
		start := begin(t, func() error { return l.Start(ctx) })
		synctest.Wait()
		cancel()
		start.result()
		s, err := l.Wait(background(), spec.Idle, spec.Started)
		wantNil(t, "Wait", err)
		if s != spec.Idle {
			t.Errorf("an abandoned attempt led to %v", s)
		}
	})
	bubble(t, "hooks that exit, one after the other", func(t *testing.T) {
		r := newRig(t, "a", "b", "c")
		exits := true
		r.at = func(_ context.Context, part string) error {
			if part == "" && exits {
				runtime.Goexit()
			}
			return nil
		}
		r.release = func(context.Context, string) error { runtime.Goexit(); return nil }
		l := r.new()
		e := startError(t, l.Start(background()))
		if e.Rollback == nil {
			t.Errorf("%v; want the releases' failures too", e)
		}
		r.wantLog("open +a +b +c -c -b -a") // each once
		exits = false
		wantNil(t, "Start", l.Start(background()))
		stopError(t, l.Stop(background()))
		wantState(t, l, spec.Idle)
	})
}

func TestG13OwnGeneration(t *testing.T) {
	bubble(t, "old scopes and leases", func(t *testing.T) {
		r := newRig(t, "a")
		l := started(t, r)
		scope := r.scope
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		old := lease.Context()
		over, cancel := context.WithCancel(background())
		cancel()
		stopError(t, l.Stop(over)) // forced: the lease lives on
		_, err = l.Wait(background(), spec.Idle)
		wantNil(t, "Wait", err)
		unchanged := func(want fsm.State) {
			t.Helper()
			before := l.Status()
			scope.Fail(errBoom)
			lease.Fail(errBoom)
			scope.Part("old")
			synctest.Wait()
			wantState(t, l, want)
			if after := l.Status(); after.Cause != before.Cause || after.Since != before.Since || after.InFlight != before.InFlight {
				t.Errorf("an old failure report changed %+v to %+v", before, after)
			}
		}
		unchanged(spec.Idle)

		proceed := make(chan struct{})
		r.at = func(context.Context, string) error { <-proceed; return nil }
		start := begin(t, func() error { return l.Start(background()) })
		start.mustPend("Start")
		unchanged(spec.Starting)
		close(proceed)
		wantNil(t, "Start", start.result())
		unchanged(spec.Started)

		use, err := l.Acquire()
		wantNil(t, "Acquire", err)
		if got := l.Status().InFlight; got != 1 {
			t.Errorf("Status.InFlight = %d; want the new attempt's one", got)
		}
		stop := begin(t, func() error { return l.Stop(background()) })
		stop.mustPend("Stop")
		lease.Release() // the old one: does not end the new one's drain
		stop.mustPend("Stop under the new lease")
		if use.Context().Err() != nil || old.Err() == nil {
			t.Errorf("the new lease's context: %v, the old one's: %v; want nil, ended", use.Context().Err(), old.Err())
		}
		unchanged(spec.Stopping)
		use.Release()
		wantNil(t, "Stop", stop.result())
		unchanged(spec.Idle)
	})
	bubble(t, "a failure reported before open has returned fails the attempt", func(t *testing.T) {
		r := newRig(t, "a", "b")
		r.at = func(ctx context.Context, part string) error {
			if part == "b" && r.opened == 1 {
				r.scope.Fail(errBoom)
				if context.Cause(ctx) != errBoom {
					t.Errorf("open's context after Fail: %v; want boom", context.Cause(ctx))
				}
			}
			return nil
		}
		l := r.new()
		if e := startError(t, l.Start(background())); e.Err != errBoom || e.Part != "b" {
			t.Errorf("Start: %v; want boom at b", e)
		}
		r.wantLog("open +a +b -b -a")
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Stop", l.Stop(background()))
	})
	bubble(t, "one Fail is one release; a second changes nothing", func(t *testing.T) {
		r := newRig(t, "a")
		r.release = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		l := started(t, r)
		r.scope.Fail(errBoom)
		r.scope.Fail(context.Canceled)
		wantState(t, l, spec.Stopping)
		start := begin(t, func() error { return l.Start(background()) }) // queued: an attempt of its own
		synctest.Wait()
		r.scope.Fail(context.Canceled)
		wantNil(t, "Start", start.result())
		r.wantLog("open +a -a open +a")
		wantNil(t, "Stop", l.Stop(background()))
	})
	bubble(t, "an old start timeout", func(t *testing.T) {
		r := newRig(t, "a")
		r.at = func(_ context.Context, part string) error {
			if part == "" && r.opened == 1 {
				return errBoom
			}
			time.Sleep(400 * time.Millisecond)
			return nil
		}
		l := r.new(fsm.WithStartTimeout(time.Second))
		wantIs(t, "Start", l.Start(background()), errBoom) // after 0.4 s; its timer would fire at 1 s
		wantNil(t, "Start", l.Start(background()))         // 0.4 s to 1.2 s
		time.Sleep(time.Hour)
		wantState(t, l, spec.Started)
		wantNil(t, "Stop", l.Stop(background()))
	})
}
