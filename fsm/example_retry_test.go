package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

var errRefused = errors.New("connection refused")

// doubling is a Backoff without state: its answer depends only on the try. Package resilience has
// one with jitter and limits.
type doubling struct{ tries int }

func (d doubling) Next(try int, err error) (wait time.Duration, again bool) {
	return time.Millisecond << (try - 1), try < d.tries && errors.Is(err, errRefused)
}

// A start is tried again after a temporary error. The parts of a try are released before the next.
// A Tracer receives each try.
func ExampleWithRetry() {
	tries := 0
	retries := make(chan fsm.Step, 10)
	var patient fsm.Backoff = doubling{tries: 5}
	l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
		s.Part("socket")
		s.Defer("socket", func(context.Context) error { fmt.Println("release the socket"); return nil })
		s.Part("greeting")
		if tries++; tries < 3 {
			return 0, errRefused
		}
		return 42, nil
	}, fsm.WithRetry(patient), fsm.WithStartTimeout(time.Minute), fsm.WithTracer(steps(func(s fsm.Step) {
		if s.Kind == fsm.StepRetry {
			retries <- s
		}
	})))
	fmt.Println(l.Start(context.Background()))
	for range 2 {
		s := <-retries // perhaps after Start has returned
		fmt.Println(s.Kind, s.Part, s.Err, s.Pause)
	}
	fmt.Println(l.Close())
	// Output:
	// release the socket
	// release the socket
	// <nil>
	// retry greeting connection refused 1ms
	// retry greeting connection refused 2ms
	// release the socket
	// <nil>
}

// steps is a Tracer of the steps only.
type steps func(fsm.Step)

func (f steps) Step(s fsm.Step)           { f(s) }
func (f steps) Transition(fsm.Transition) {}

// once is a Breaker that admits attempts until one has failed. Package resilience has one that
// recovers.
type once struct{ failed error }

func (b *once) Allow() (done func(fsm.Outcome, error), err error) {
	if b.failed != nil {
		return nil, fmt.Errorf("not tried any more: %w", b.failed)
	}
	return func(outcome fsm.Outcome, err error) {
		if outcome == fsm.Failed {
			b.failed = err
		}
	}, nil
}

// A start that a Breaker refuses fails at once, and open is not called.
func ExampleWithBreaker() {
	var breaker fsm.Breaker = new(once)
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) {
		fmt.Println("open")
		return 0, errRefused
	}, fsm.WithBreaker(breaker))
	for range 2 {
		fmt.Println(l.Start(context.Background()))
	}
	fmt.Println(l.Close()) // is not asked
	// Output:
	// open
	// fsm: start: attempt 1: connection refused
	// fsm: start: attempt 2: not tried any more: connection refused
	// <nil>
}
