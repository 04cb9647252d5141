package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/run"
	"golang.org/x/sync/errgroup"

	"github.com/seed3893aba4/surestart/fsm"
)

// A part notes what happens to it.
type part struct {
	*fsm.Lifecycle[*part]
	refuse           error
	opened, released int
	fail             func(error)
}

func newPart() *part {
	p := new(part)
	p.Lifecycle = fsm.New(func(_ context.Context, s *fsm.Scope) (*part, error) {
		if p.refuse != nil {
			return nil, p.refuse
		}
		p.opened++
		p.fail = s.Fail
		s.Defer("part", func(context.Context) error {
			p.released++
			return nil
		})
		return p, nil
	})
	return p
}

// with runs the test with either kind of group: it starts the parts and returns the
// function that ends it from outside, and what the group returned.
func with(t *testing.T, test func(t *testing.T, start func(parts ...*part) (end func(), ended <-chan error))) {
	outside := errors.New("ended from outside")
	t.Run("errgroup", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(t, func(parts ...*part) (func(), <-chan error) {
				ctx, cancel := context.WithCancelCause(t.Context())
				g, ctx := errgroup.WithContext(ctx)
				for _, p := range parts {
					g.Go(func() error { return Run(ctx, p.Lifecycle, time.Minute) })
				}
				ended := make(chan error, 1)
				go func() { ended <- g.Wait() }()
				return func() { cancel(outside) }, ended
			})
		})
	})
	t.Run("run", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(t, func(parts ...*part) (func(), <-chan error) {
				var g run.Group
				for _, p := range parts {
					g.Add(Actor(p.Lifecycle, time.Minute))
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				g.Add(func() error { <-ctx.Done(); return nil }, func(error) { cancel(nil) })
				ended := make(chan error, 1)
				go func() { ended <- g.Run() }()
				return func() { cancel(outside) }, ended
			})
		})
	})
}

// Ended from outside: each part is shut down, once the use in flight has ended.
func TestEndedFromOutside(t *testing.T) {
	with(t, func(t *testing.T, start func(...*part) (func(), <-chan error)) {
		a, b := newPart(), newPart()
		end, ended := start(a, b)
		synctest.Wait()
		lease, err := a.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		end()
		synctest.Wait()
		if a.State() != fsm.Stopping || a.released != 0 || b.State() != fsm.Closed {
			t.Errorf("%v, %v; want that the one waits for its use, and the other is closed", a.Status(), b.Status())
		}
		lease.Release()
		if err := <-ended; err != nil {
			t.Errorf("the group: %v; being asked to end is no error", err)
		}
		if a.State() != fsm.Closed || a.opened != 1 || a.released != 1 || b.released != 1 {
			t.Errorf("%v, %v", a.Status(), b.Status())
		}
	})
}

// A use that does not end is cut off at the end of patience, and the group reports that.
func TestForced(t *testing.T) {
	with(t, func(t *testing.T, start func(...*part) (func(), <-chan error)) {
		a := newPart()
		end, ended := start(a)
		synctest.Wait()
		lease, err := a.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		defer lease.Release()
		began := time.Now()
		end()
		err = <-ended
		if took := time.Since(began); took != time.Minute {
			t.Errorf("it ended after %v of virtual time; want its patience", took)
		}
		var cut *fsm.StopError
		if t.Name() == "TestForced/errgroup" && (!errors.As(err, &cut) || cut.CutOff != 1) {
			t.Errorf("the group: %v; want one use cut off", err)
		} // a run.Group returns what ended it
		if lease.Context().Err() == nil {
			t.Error("the use was not told")
		}
		<-a.Done()
	})
}

// A part that dies ends the group, with the reason, and the others are shut down.
func TestDeathEndsTheGroup(t *testing.T) {
	with(t, func(t *testing.T, start func(...*part) (func(), <-chan error)) {
		a, b := newPart(), newPart()
		end, ended := start(a, b)
		defer end()
		synctest.Wait()
		reset := errors.New("connection reset")
		a.fail(reset)
		if err := <-ended; !errors.Is(err, reset) {
			t.Errorf("the group: %v; want why the part died", err)
		}
		if a.State() != fsm.Closed || b.State() != fsm.Closed || b.opened != 1 || b.released != 1 {
			t.Errorf("%v, %v; want both closed", a.Status(), b.Status())
		}
	})
}

// A part that does not start ends the group; the same group tried again, with fresh
// parts, comes up.
func TestStartFails(t *testing.T) {
	with(t, func(t *testing.T, start func(...*part) (func(), <-chan error)) {
		a, b := newPart(), newPart()
		a.refuse = errors.New("refused")
		end, ended := start(a, b)
		defer end()
		if err := <-ended; !errors.Is(err, a.refuse) {
			t.Errorf("the group: %v; want why it did not start", err)
		}
		if b.opened != b.released || b.State() != fsm.Closed {
			t.Errorf("%v; want that it was given back", b.Status())
		}
		again := newPart()
		end, ended = start(again)
		synctest.Wait()
		if again.State() != fsm.Started {
			t.Errorf("%v; want that it is started", again.Status())
		}
		end()
		<-ended
	})
}

// The stop comes before the start: nothing is opened (golang #20239).
func TestInterruptedBeforeItRuns(t *testing.T) {
	p := newPart()
	execute, interrupt := Actor(p.Lifecycle, time.Minute)
	interrupt(errors.New("another actor has ended"))
	if err := execute(); err != nil {
		t.Errorf("execute: %v", err)
	}
	if p.opened != 0 || p.State() != fsm.Closed {
		t.Errorf("opened %d times, %v; want that it never was", p.opened, p.State())
	}
}

func TestProgram(t *testing.T) {
	for _, with := range []string{"errgroup", "run"} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := program(ctx, with); err != nil {
			t.Errorf("-with %s: %v", with, err)
		}
	}
}
