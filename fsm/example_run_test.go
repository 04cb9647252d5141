package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// Run is for a resource that one goroutine owns: its whole life is one call.
func ExampleLifecycle_Run() {
	l := fsm.New(func(_ context.Context, s *fsm.Scope) (string, error) {
		s.Defer("listener", func(context.Context) error { fmt.Println("released"); return nil })
		return "listener", nil
	})
	ctx, cancel := context.WithCancel(context.Background()) // a service's: signal.NotifyContext
	ended := make(chan error)
	go func() { ended <- l.Run(ctx) }()
	l.Wait(context.Background(), fsm.Started)
	cancel()
	fmt.Println(<-ended, l.State())
	// Output:
	// released
	// <nil> Closed
}

// Do is Use with a result.
func ExampleDo() {
	l := fsm.New(func(context.Context, *fsm.Scope) (map[string]int, error) { return map[string]int{"stock": 7}, nil })
	ctx := context.Background()
	l.Start(ctx)
	defer l.Close()
	n, err := fsm.Do(ctx, l, func(_ context.Context, db map[string]int) (int, error) { return db["stock"], nil })
	fmt.Println(n, err)
	// Output: 7 <nil>
}

// A lease must not be copied, and go vet reports a copy; Move passes it on.
func ExampleLease_Move() {
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil })
	l.Start(context.Background())
	defer l.Close()
	var held []fsm.Lease[int]
	if lease, err := l.Acquire(); err == nil {
		held = append(held, lease.Move())
	}
	fmt.Println(held[0].Resource())
	held[0].Release()
	// Output: 42
}

type requestID struct{}

// The attempt carries one value of the Start that began it, and nothing else of its
// context: that is a request's, and the resource outlives it.
func ExampleWithCallerContext() {
	l := fsm.New(func(ctx context.Context, _ *fsm.Scope) (int, error) {
		fmt.Println("opened for", ctx.Value(requestID{}))
		return 42, nil
	}, fsm.WithCallerContext(func(caller context.Context) context.Context {
		return context.WithValue(context.Background(), requestID{}, caller.Value(requestID{}))
	}))
	defer l.Close()
	l.Start(context.WithValue(context.Background(), requestID{}, "request 1"))
	// Output: opened for request 1
}

// outcomesOf is a Breaker that refuses nothing, and counts.
type outcomesOf map[fsm.Outcome]int

func (o outcomesOf) Allow() (done func(fsm.Outcome, error), err error) {
	return func(outcome fsm.Outcome, _ error) { o[outcome]++ }, nil
}

// Who ended an attempt decides its outcome, not what open's error wraps.
func ExampleOutcome() {
	outcomes := make(outcomesOf)
	var fails error = fmt.Errorf("the handshake: %w", context.Canceled)
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, fails }, fsm.WithBreaker(outcomes))
	ctx := context.Background()
	l.Start(ctx)
	fails = nil
	l.Start(ctx)
	l.Close()
	fmt.Println(outcomes[fsm.Failed], outcomes[fsm.Cancelled], outcomes[fsm.Opened])
	// Output: 1 0 1
}

// The events say why a lifecycle changes its state.
func ExampleEvent() {
	events := make(chan fsm.Event, 10)
	l := fsm.New(func(_ context.Context, s *fsm.Scope) (*fsm.Scope, error) { return s, nil },
		fsm.WithObserver(func(t fsm.Transition) { events <- t.Event }))
	l.Start(context.Background())
	l.Use(context.Background(), func(_ context.Context, s *fsm.Scope) error {
		s.Fail(errors.New("connection lost"))
		return nil
	})
	for event := range events {
		fmt.Println(event)
		if event == fsm.EventReleased {
			break
		}
	}
	// Output:
	// start
	// opened
	// died
	// released
}

// A caller that gives up gets a LeaveError: the attempt may well succeed for others.
func ExampleLeaveError() {
	opening, proceed := make(chan struct{}), make(chan struct{})
	l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
		s.Part("handshake")
		close(opening)
		<-proceed
		return 42, nil
	})
	patient := make(chan error)
	go func() { patient <- l.Start(context.Background()) }()
	<-opening
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for l.Status().Waiters < 2 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	err := l.Start(ctx)
	var left *fsm.LeaveError
	fmt.Println(err, errors.As(err, &left), errors.Is(err, context.Canceled))
	close(proceed)
	fmt.Println(<-patient)
	l.Close()
	// Output:
	// fsm: start: left attempt 1: handshake: context canceled true true
	// <nil>
}
