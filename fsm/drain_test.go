package fsm_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

// started returns a started lifecycle of r.
func started(t testing.TB, r *rig, opts ...fsm.Option) *fsm.Lifecycle[*rig] {
	t.Helper()
	l := r.new(opts...)
	wantNil(t, "Start", l.Start(background()))
	return l
}

// deaf begins n uses that do not end before the channel is closed, and returns
// their contexts.
func deaf(t testing.TB, l *fsm.Lifecycle[*rig], n int, end chan struct{}) (uses []*call, contexts []context.Context) {
	contexts = make([]context.Context, n)
	for i := range n {
		uses = append(uses, begin(t, func() error {
			return l.Use(background(), func(ctx context.Context, r *rig) error {
				r.use(func() { contexts[i] = ctx; <-end })
				return nil
			})
		}))
	}
	synctest.Wait()
	return uses, contexts
}

func TestG9DrainFirst(t *testing.T) {
	for _, stop := range stops {
		bubble(t, stop.name+" waits for the uses in flight", func(t *testing.T) {
			r := newRig(t, "a")
			l := started(t, r)
			end := make(chan struct{})
			uses, contexts := deaf(t, l, 3, end)
			lease, err := l.Acquire()
			wantNil(t, "Acquire", err)
			if got := l.Status().InFlight; got != 4 {
				t.Errorf("Status.InFlight = %d; want 4", got)
			}
			stopped := begin(t, func() error { return stop.do(l, background()) })
			stopped.mustPend(stop.name + " under four uses")
			close(end)
			for _, use := range uses {
				wantNil(t, "Use", use.result())
			}
			stopped.mustPend(stop.name + " under the lease")
			r.wantLog("open +a")
			if got := l.Status(); got.InFlight != 1 || len(got.Held) != 1 {
				t.Errorf("Status = %+v; want 1 use in flight, 1 part held", got)
			}
			if lease.Context().Err() != nil {
				t.Error("the lease's context ended in an unforced drain")
			}
			for _, ctx := range contexts { // they have returned
				wantIs(t, "a use's context", context.Cause(ctx), context.Canceled)
			}
			lease.Release()
			wantNil(t, stop.name, stopped.result())
			r.wantLog("-a")
			wantState(t, l, stop.final)
		})
		bubble(t, stop.name+"'s end of context forces", func(t *testing.T) {
			r := newRig(t, "a")
			forced := false
			var contexts []context.Context
			r.release = func(ctx context.Context, _ string) error {
				forced = fsm.Forced(ctx)
				for _, ctx := range contexts {
					if ctx.Err() == nil {
						t.Error("G9 DrainFirst is broken: the release began before the uses' contexts were cancelled")
					}
				}
				return nil
			}
			l := started(t, r)
			end := make(chan struct{})
			var uses []*call
			uses, contexts = deaf(t, l, 3, end)
			lease, err := l.Acquire()
			wantNil(t, "Acquire", err)
			contexts = append(contexts, lease.Context())
			unseen, err := l.Acquire()
			wantNil(t, "Acquire", err)
			ctx, cancel := context.WithTimeoutCause(background(), time.Second, errBoom)
			defer cancel()
			err = stop.do(l, ctx)
			for _, ctx := range contexts { // synchronously
				if context.Cause(ctx) != stop.reason {
					t.Errorf("a use's context: %v when %s returns; want %v", context.Cause(ctx), stop.name, stop.reason)
				}
			}
			if ctx := unseen.Context(); context.Cause(ctx) != stop.reason {
				t.Errorf("a lease's context asked for after the force: %v; want %v", context.Cause(ctx), stop.reason)
			}
			if e := stopError(t, err); e.CutOff != 5 || e.Err != errBoom {
				t.Errorf("%s: %+v; want five uses cut off and its own cause", stop.name, e)
			}
			synctest.Wait()
			if !forced {
				t.Error("Forced: false in the release; want true")
			}
			wantState(t, l, stop.final) // the deaf uses are not waited for
			r.wantLog("open +a -a")
			close(end)
			for _, use := range uses {
				wantNil(t, "Use", use.result())
			}
			lease.Release()
			unseen.Release()
			wantState(t, l, stop.final)
			quiet(t)
		})
	}
	bubble(t, "a lease without a call of Context before is cut off, too", func(t *testing.T) {
		l := started(t, newRig(t, "a"))
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		over, cancel := context.WithCancel(background())
		cancel()
		if e := stopError(t, l.Stop(over)); e.CutOff != 1 {
			t.Errorf("Stop: %+v; want one cut off", e)
		}
		if cause := context.Cause(lease.Context()); cause != fsm.ErrStopped {
			t.Errorf("the lease's context, asked for after the force: %v; want ErrStopped", cause)
		}
		lease.Release()
	})
	bubble(t, "Stop's end does not force while another stopper waits", func(t *testing.T) {
		for _, other := range stops {
			r := newRig(t, "a")
			l := started(t, r)
			end := make(chan struct{})
			uses, contexts := deaf(t, l, 1, end)
			patient := begin(t, func() error { return other.do(l, background()) })
			ctx, cancel := context.WithCancelCause(background())
			hasty := begin(t, func() error { return l.Stop(ctx) })
			synctest.Wait()
			cancel(errBoom)
			if e := stopError(t, hasty.result()); e.CutOff != 0 || e.Err != errBoom {
				t.Errorf("Stop: %+v; want none cut off and its own cause", e)
			}
			patient.mustPend("the other stopper")
			if contexts[0].Err() != nil {
				t.Error("the use was cut off")
			}
			close(end)
			wantNil(t, "the other stopper", patient.result())
			wantNil(t, "Use", uses[0].result())
		}
	})
	bubble(t, "the last Stop to leave forces", func(t *testing.T) {
		r := newRig(t, "a")
		l := started(t, r)
		end := make(chan struct{})
		uses, _ := deaf(t, l, 2, end)
		one, cancelOne := context.WithCancel(background())
		two, cancelTwo := context.WithCancel(background())
		first := begin(t, func() error { return l.Stop(one) })
		second := begin(t, func() error { return l.Stop(two) })
		synctest.Wait()
		cancelOne()
		if e := stopError(t, first.result()); e.CutOff != 0 {
			t.Errorf("the first to leave: %+v; want none cut off", e)
		}
		wantState(t, l, spec.Stopping)
		cancelTwo()
		if e := stopError(t, second.result()); e.CutOff != 2 {
			t.Errorf("the last to leave: %+v; want two cut off", e)
		}
		_, err := l.Wait(background(), spec.Idle)
		wantNil(t, "Wait", err)
		close(end)
		uses[0].result()
		uses[1].result()
	})
	bubble(t, "the end of a Shutdown's context forces, even if others wait", func(t *testing.T) {
		r := newRig(t, "a")
		r.release = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		l := started(t, r)
		end := make(chan struct{})
		uses, _ := deaf(t, l, 2, end)
		stop := begin(t, func() error { return l.Stop(background()) })
		other := begin(t, func() error { return l.Shutdown(background()) })
		synctest.Wait()
		over, cancel := context.WithCancel(background())
		cancel()
		if e := stopError(t, l.Shutdown(over)); e.CutOff != 2 || e.Err != context.Canceled {
			t.Errorf("Shutdown: %+v; want two cut off", e)
		}
		// Callers that come or leave now cut off no use.
		if e := stopError(t, l.Shutdown(over)); e.CutOff != 0 {
			t.Errorf("a second Shutdown: %+v; want none cut off", e)
		}
		wantNil(t, "Stop", stop.result()) // they wait to the end: the release's own result
		wantNil(t, "Shutdown", other.result())
		close(end)
		uses[0].result()
		uses[1].result()
	})
	bubble(t, "no use in flight: nothing is forced", func(t *testing.T) {
		r := newRig(t, "a")
		r.release = func(ctx context.Context, _ string) error {
			if fsm.Forced(ctx) {
				t.Error("Forced: true; want false")
			}
			time.Sleep(time.Second)
			return nil
		}
		l := started(t, r)
		over, cancel := context.WithCancel(background())
		cancel()
		if e := stopError(t, l.Shutdown(over)); e.CutOff != 0 {
			t.Errorf("Shutdown: %+v; want none cut off", e)
		}
		_, err := l.Wait(background(), spec.Closed)
		wantNil(t, "Wait", err)
	})
	bubble(t, "it is decided before the first release runs", func(t *testing.T) {
		r := newRig(t, "a", "b")
		var forced []bool
		r.release = func(ctx context.Context, _ string) error {
			forced = append(forced, fsm.Forced(ctx))
			time.Sleep(time.Second)
			return nil
		}
		l := started(t, r)
		ctx, cancel := context.WithTimeout(background(), 500*time.Millisecond) // in the midst of b's release
		defer cancel()
		stopError(t, l.Shutdown(ctx))
		_, err := l.Wait(background(), spec.Closed)
		wantNil(t, "Wait", err)
		if !slices.Equal(forced, []bool{false, false}) {
			t.Errorf("Forced in the releases: %v; want false for both", forced)
		}
	})
	bubble(t, "Fail forces at once", func(t *testing.T) {
		r := newRig(t, "a")
		forced := false
		r.release = func(ctx context.Context, _ string) error { forced = fsm.Forced(ctx); return nil }
		l := started(t, r)
		end := make(chan struct{})
		uses, contexts := deaf(t, l, 2, end)
		r.scope.Fail(errBoom)
		for _, ctx := range contexts { // synchronously
			wantIs(t, "a use's context", context.Cause(ctx), errBoom)
		}
		synctest.Wait()
		wantState(t, l, spec.Idle)
		if !forced {
			t.Error("Forced: false in the release; want true")
		}
		close(end)
		uses[0].result()
		uses[1].result()
	})
	bubble(t, "Forced of any other context", func(t *testing.T) {
		r := newRig(t, "a")
		r.at = func(ctx context.Context, _ string) error {
			if fsm.Forced(ctx) {
				t.Error("Forced: true in open")
			}
			return nil
		}
		l := started(t, r)
		if fsm.Forced(background()) {
			t.Error("Forced(Background): true")
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
}

// The state is never a lie: what outlives its time is seen and logged, once.
func TestG9StuckRelease(t *testing.T) {
	bubble(t, "logged once, visible, held", func(t *testing.T) {
		var log logBuffer
		r := newRig(t, "a", "b")
		proceed := make(chan struct{})
		r.release = func(ctx context.Context, part string) error {
			if part == "b" {
				<-proceed
				return ctx.Err()
			}
			return nil
		}
		l := started(t, r, fsm.WithReleaseTimeout(time.Second), log.option())
		ctx, cancel := context.WithTimeout(background(), time.Minute)
		defer cancel()
		stop := begin(t, func() error { return l.Stop(ctx) })
		time.Sleep(500 * time.Millisecond)
		if log.String() != "" {
			t.Errorf("logged %q before the timeout", log.String())
		}
		stopError(t, stop.result())
		time.Sleep(time.Hour)
		synctest.Wait()
		s := l.Status()
		if s.State != spec.Stopping || s.Releasing != "b" || !slices.Equal(s.Held, []string{"a", "b"}) {
			t.Errorf("Status = %+v; want Stopping, releasing b, a and b held", s)
		}
		if n := strings.Count(log.String(), "outlives its timeout"); n != 1 || !strings.Contains(log.String(), "part=b") {
			t.Errorf("logged %q; want b's release, once", log.String())
		}
		again := begin(t, func() error { return l.Stop(background()) })
		again.mustPend("Stop while b is held")
		close(proceed)
		if e := stopError(t, again.result()); e.Part != "b" || !errors.Is(e, context.DeadlineExceeded) {
			t.Errorf("Stop: %+v; want b's error", e)
		}
		wantState(t, l, spec.Idle)
		r.wantLog("open +a +b -b -a")
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("logged %d lines; want 1:\n%s", n, log.String())
		}
	})
}
