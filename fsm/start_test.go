package fsm_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

func TestG1SingleFlight(t *testing.T) {
	const callers = 1000
	for _, c := range []struct {
		name string
		err  error
		log  string
	}{
		{"success", nil, "open +a +b"},
		{"failure", errBoom, "open +a +b -b -a"},
	} {
		bubble(t, "all callers share the one "+c.name, func(t *testing.T) {
			r := newRig(t, "a", "b")
			proceed := make(chan struct{})
			r.at = func(_ context.Context, part string) error {
				if part == "" {
					<-proceed
					return c.err
				}
				return nil
			}
			l := r.new()
			calls := make([]*call, callers)
			for i := range calls {
				calls[i] = begin(t, func() error { return l.Start(background()) })
			}
			synctest.Wait()
			wantState(t, l, spec.Starting)
			if got := l.Status().Waiters; got != callers {
				t.Errorf("Status.Waiters = %d; want %d", got, callers)
			}
			close(proceed)
			for _, call := range calls {
				if call.result() != calls[0].result() || !errors.Is(call.err, c.err) {
					t.Fatalf("one caller got %v, another %v; want both %v", calls[0].err, call.err, c.err)
				}
			}
			r.wantLog(c.log)
			wantNil(t, "Stop", l.Stop(background()))
		})
	}
	bubble(t, "a Start waits for the release to end", func(t *testing.T) {
		r := newRig(t, "a")
		proceed := make(chan struct{})
		r.release = func(context.Context, string) error { <-proceed; return nil }
		l := r.new()
		wantNil(t, "Start", l.Start(background()))
		stop := begin(t, func() error { return l.Stop(background()) })
		synctest.Wait()
		one := begin(t, func() error { return l.Start(background()) })
		two := begin(t, func() error { return l.Start(background()) })
		one.mustPend("Start during a release")
		wantState(t, l, spec.Stopping)
		close(proceed)
		wantNil(t, "Stop", stop.result())
		wantNil(t, "Start", one.result())
		wantNil(t, "Start", two.result())
		r.wantLog("open +a -a open +a") // one attempt for the two
		wantNil(t, "Stop", l.Stop(background()))
	})
}

func TestG2Idempotence(t *testing.T) {
	bubble(t, "Start of a started one", func(t *testing.T) {
		r := newRig(t, "a")
		var seen []fsm.Transition
		l := r.new(fsm.WithObserver(func(tr fsm.Transition) { seen = append(seen, tr) }))
		wantNil(t, "Start", l.Start(background()))
		synctest.Wait()
		r.wantLog("open +a")
		n, before := len(seen), l.Status()
		over, cancel := context.WithCancel(background())
		cancel()
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Start with a context that has ended", l.Start(over))
		wantNil(t, "Use", l.Use(background(), func(ctx context.Context, r *rig) error { return l.Start(ctx) }))
		synctest.Wait()
		if after := l.Status(); len(seen) != n || after.Attempt != before.Attempt || after.Since != before.Since {
			t.Errorf("Start of a started lifecycle changed it: %+v, then %+v; %d transitions, then %d", before, after, n, len(seen))
		}
		r.wantLog("")
		wantNil(t, "Stop", l.Stop(background()))
	})
	bubble(t, "Stop of an idle one, all of a closed one", func(t *testing.T) {
		r := newRig(t, "a")
		var seen []fsm.Transition
		l := r.new(fsm.WithObserver(func(tr fsm.Transition) { seen = append(seen, tr) }))
		over, cancel := context.WithCancel(background())
		cancel()
		for range 2 {
			wantNil(t, "Stop", l.Stop(background()))
			wantNil(t, "Stop with a context that has ended", l.Stop(over))
			wantState(t, l, spec.Idle)
		}
		wantNil(t, "Shutdown", l.Shutdown(background()))
		for range 2 {
			wantNil(t, "Stop", l.Stop(background()))
			wantNil(t, "Shutdown", l.Shutdown(background()))
			wantNil(t, "Shutdown with a context that has ended", l.Shutdown(over))
			wantNil(t, "Close", l.Close())
			wantState(t, l, spec.Closed)
		}
		synctest.Wait()
		if len(seen) != 1 || seen[0].Event != spec.EventShutdown {
			t.Errorf("transitions %v; want the one Shutdown", seen)
		}
		r.wantLog("")
	})
}

func TestG3StartedIsOpen(t *testing.T) {
	bubble(t, "nil means open, all parts held", func(t *testing.T) {
		r := newRig(t, "a", "b", "c")
		r.at = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		l := r.new()
		first := begin(t, func() error { return l.Start(background()) })
		time.Sleep(1500 * time.Millisecond)
		second := begin(t, func() error { return l.Start(background()) })
		for range 2 { // while c is acquired, and while open has yet to return
			time.Sleep(time.Second)
			first.mustPend("the Start that opens")
			second.mustPend("the Start that joined")
		}
		wantNil(t, "Start", second.result())
		wantNil(t, "Start", first.result())
		s := l.Status()
		if s.State != spec.Started || len(s.Held) != 3 || len(r.held) != 3 {
			t.Errorf("after Start: %+v, held %v; want Started with three parts", s, r.held)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
	bubble(t, "the uses that follow are admitted and see the resource", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new()
		for range 3 {
			wantNil(t, "Start", l.Start(background()))
			lease, err := l.Acquire()
			wantNil(t, "Acquire", err)
			if lease.Resource() != r {
				t.Errorf("Resource() = %p; want what open returned, %p", lease.Resource(), r)
			}
			lease.Release()
			wantNil(t, "Stop", l.Stop(background()))
		}
	})
}

func TestG5NoStaleFailure(t *testing.T) {
	bubble(t, "a Start during a rollback makes an attempt of its own", func(t *testing.T) {
		r := newRig(t, "a")
		proceed := make(chan struct{})
		r.at = func(_ context.Context, part string) error {
			if part == "" && r.opened == 1 {
				return errBoom
			}
			return nil
		}
		r.release = func(context.Context, string) error { <-proceed; return nil }
		l := r.new()
		first := begin(t, func() error { return l.Start(background()) })
		first.mustPend("Start, before its parts are given back")
		wantState(t, l, spec.Stopping)
		second := begin(t, func() error { return l.Start(background()) })
		third := begin(t, func() error { return l.Start(background()) })
		second.mustPend("Start during the rollback")
		if s := l.Status(); s.Waiters != 3 || s.Attempt != 1 {
			t.Errorf("Status %+v; want 3 waiters, attempt 1", s)
		}
		close(proceed)
		if e := startError(t, first.result()); e.Attempt != 1 {
			t.Errorf("the first caller: %v; want the failure of attempt 1", e)
		}
		wantNil(t, "Start during the rollback", second.result())
		wantNil(t, "Start during the rollback", third.result())
		r.wantLog("open +a -a open +a")
		wantNil(t, "Stop", l.Stop(background()))
	})
	bubble(t, "its failure is of its own attempt", func(t *testing.T) {
		r := failingRig(t)
		l := r.new()
		first := begin(t, func() error { return l.Start(background()) })
		synctest.Wait()
		second := begin(t, func() error { return l.Start(background()) })
		if e := startError(t, first.result()); e.Attempt != 1 {
			t.Errorf("the first caller: %v; want the failure of attempt 1", e)
		}
		if e := startError(t, second.result()); e.Attempt != 2 {
			t.Errorf("the second caller: %v; want the failure of attempt 2", e)
		}
		r.wantLog("open +a -a open +a -a")
	})
	bubble(t, "the last of those that queued leaves: no attempt", func(t *testing.T) {
		r := newRig(t, "a")
		r.release = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		l := r.new()
		wantNil(t, "Start", l.Start(background()))
		stop := begin(t, func() error { return l.Stop(background()) })
		synctest.Wait()
		ctx, cancel := context.WithCancelCause(background())
		one := begin(t, func() error { return l.Start(ctx) })
		two := begin(t, func() error { return l.Start(ctx) })
		one.mustPend("Start during a release")
		cancel(errBoom)
		wantIs(t, "Start", one.result(), errBoom)
		wantIs(t, "Start", two.result(), errBoom)
		wantNil(t, "Stop", stop.result())
		wantState(t, l, spec.Idle)
		r.wantLog("open +a -a")
	})
}

// Start's answer on entry, in the order that its documentation gives.
func TestStartPrecedence(t *testing.T) {
	bubble(t, "started, reentrant, closed, ended", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new()
		over, cancel := context.WithCancelCause(background())
		cancel(errBoom)
		wantIs(t, "Start of an idle one, context ended", l.Start(over), errBoom)
		wantNil(t, "Start", l.Start(background()))

		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		within, leave := context.WithCancel(lease.Context())
		leave()
		wantNil(t, "Start of a started one, reentrant, ended", l.Start(within))
		shut := begin(t, func() error { return l.Shutdown(background()) })
		shut.mustPend("Shutdown under a use")
		wantIs(t, "Start of a closing one, reentrant, ended", l.Start(within), fsm.ErrReentrant)
		wantIs(t, "Start of a closing one, ended", l.Start(over), fsm.ErrClosed)
		wantIs(t, "Start of a closing one", l.Start(background()), fsm.ErrClosed)
		lease.Release()
		wantNil(t, "Shutdown", shut.result())
		wantIs(t, "Start of a closed one, ended", l.Start(over), fsm.ErrClosed)
		r.wantLog("open +a -a")
	})
}
