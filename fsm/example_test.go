package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// A guarded listener: opened once for all callers, closed once.
func Example() {
	listener := fsm.New(func(ctx context.Context, s *fsm.Scope) (net.Listener, error) {
		s.Part("listener")
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		s.Defer("listener", func(context.Context) error { return l.Close() })
		return l, nil
	})
	defer listener.Close()

	ctx := context.Background()
	for range 3 { // from anywhere, any number of times
		if err := listener.Start(ctx); err != nil {
			fmt.Println(err)
		}
	}
	err := listener.Use(ctx, func(_ context.Context, l net.Listener) error {
		fmt.Println("listening on", l.Addr().Network())
		return nil
	})
	fmt.Println(err, listener.State())
	// Output:
	// listening on tcp
	// <nil> Started
}

func ExampleNew() {
	type client struct{ name string }
	l := fsm.New(func(ctx context.Context, s *fsm.Scope) (*client, error) {
		return &client{"a client"}, nil
	}, fsm.WithStartTimeout(30*time.Second))
	fmt.Println(l.State()) // New opens nothing
	// Output: Idle
}

func ExampleLifecycle_Start() {
	down := true
	l := fsm.New(func(context.Context, *fsm.Scope) (string, error) {
		if down {
			return "", errors.New("connection refused")
		}
		return "connected", nil
	})
	fmt.Println(l.Start(context.Background()), "-", l.State())
	down = false // the failed start has given everything back: it can be retried
	fmt.Println(l.Start(context.Background()), "-", l.State())
	// Output:
	// fsm: start: attempt 1: connection refused - Idle
	// <nil> - Started
}

func ExampleLifecycle_Stop() {
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil })
	ctx := context.Background()
	fmt.Println(l.Stop(ctx), l.State()) // of an idle one: nothing to do
	fmt.Println(l.Start(ctx), l.State())
	fmt.Println(l.Stop(ctx), l.State())
	fmt.Println(l.Start(ctx), l.State()) // it may be started again
	fmt.Println(l.Shutdown(ctx), l.State())
	fmt.Println(l.Start(ctx)) // not after Shutdown
	// Output:
	// <nil> Idle
	// <nil> Started
	// <nil> Idle
	// <nil> Started
	// <nil> Closed
	// fsm: closed
}

func ExampleLifecycle_Use() {
	l := fsm.New(func(context.Context, *fsm.Scope) (string, error) { return "the resource", nil })
	ctx := context.Background()
	show := func(ctx context.Context, resource string) error {
		fmt.Println("using", resource)
		return nil
	}
	fmt.Println(l.Use(ctx, show))
	if err := l.Start(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Println(l.Use(ctx, show))
	fmt.Println(l.Close())
	fmt.Println(l.Use(ctx, show))
	// Output:
	// fsm: not started
	// using the resource
	// <nil>
	// <nil>
	// fsm: closed
}

// Acquire is Use for hot paths: it allocates nothing and takes no lock.
func ExampleLifecycle_Acquire() {
	l := fsm.New(func(context.Context, *fsm.Scope) (string, error) { return "the resource", nil })
	if err := l.Start(context.Background()); err != nil {
		fmt.Println(err)
	}
	lease, err := l.Acquire()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lease.Release() // a Stop waits for this
	fmt.Println("using", lease.Resource())
	// Output: using the resource
}

// What a failed attempt had acquired is given back, in reverse.
func ExampleScope() {
	l := fsm.New(func(ctx context.Context, s *fsm.Scope) (string, error) {
		for _, part := range []string{"pool", "session", "subscription"} {
			s.Part(part) // named in the error, and in Status
			if part == "subscription" {
				return "", errors.New("not authorised")
			}
			s.Defer(part, func(context.Context) error {
				fmt.Println("release", part)
				return nil
			})
		}
		return "ready", nil
	})
	err := l.Start(context.Background())
	fmt.Println(err)
	var failed *fsm.StartError
	if errors.As(err, &failed) {
		fmt.Println("at", failed.Part)
	}
	// Output:
	// release session
	// release pool
	// fsm: start: attempt 1: subscription: not authorised
	// at subscription
}

func ExampleWithObserver() {
	received := make(chan struct{})
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 0, nil },
		fsm.WithObserver(func(t fsm.Transition) {
			fmt.Printf("%s: %s to %s\n", t.Event, t.From, t.To)
			if t.To == fsm.Closed {
				close(received)
			}
		}))
	_ = l.Start(context.Background())
	_ = l.Close()
	<-received // perhaps after Close has returned
	// Output:
	// start: Idle to Starting
	// opened: Starting to Started
	// shutdown: Started to Stopping
	// closed: Stopping to Closed
}

// An observer receives a transition after the call that caused it. A program that ends waits for
// it, and for the lines of package fsmlog.
func ExampleLifecycle_FlushObservers() {
	seen := 0
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil }, fsm.WithObserver(func(fsm.Transition) { seen++ }))
	l.Start(context.Background())
	l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // an observer may hang
	defer cancel()
	fmt.Println(l.FlushObservers(ctx), seen, l.Status().Undelivered)
	// Output: <nil> 4 0
}

func ExampleLifecycle_Wait() {
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 0, nil })
	ready := make(chan struct{})
	go func() {
		defer close(ready)
		state, err := l.Wait(context.Background(), fsm.Started)
		fmt.Println(state, err)
	}()
	_ = l.Start(context.Background())
	<-ready
	_ = l.Close()
	_, err := l.Wait(context.Background(), fsm.Started) // it never will be
	fmt.Println(err)
	// Output:
	// Started <nil>
	// fsm: closed
}

// A release that knows whether uses may still be running.
func ExampleForced() {
	l := fsm.New(func(ctx context.Context, s *fsm.Scope) (int, error) {
		s.Defer("connections", func(ctx context.Context) error {
			if fsm.Forced(ctx) {
				fmt.Println("closed under whoever still uses them")
			} else {
				fmt.Println("closed when idle")
			}
			return nil
		})
		return 0, nil
	})
	ctx := context.Background()
	_ = l.Start(ctx)
	_ = l.Stop(ctx)

	_ = l.Start(ctx)
	lease, _ := l.Acquire() // a use that does not end
	now, cancel := context.WithCancel(ctx)
	cancel()
	err := l.Shutdown(now) // does not wait for it, nor for the connections
	<-l.Done()
	lease.Release()
	fmt.Println(err)
	// Output:
	// closed when idle
	// closed under whoever still uses them
	// fsm: stop: 1 use cut off: context canceled
}

// The conditions, and what each says: errors.Is finds them.
func ExampleErrNotStarted() {
	var l *fsm.Lifecycle[string]
	l = fsm.New(func(ctx context.Context, _ *fsm.Scope) (string, error) {
		return "the resource", l.Start(ctx) // itself: it would wait for itself
	})
	ctx := context.Background()
	_, err := l.Acquire()
	fmt.Println(errors.Is(err, fsm.ErrNotStarted), l.State() == fsm.Idle)
	fmt.Println(errors.Is(l.Start(ctx), fsm.ErrReentrant))
	l.Close()
	fmt.Println(errors.Is(l.Start(ctx), fsm.ErrClosed))
	// Output:
	// true true
	// true
	// true
}

// Another caller stops the attempt that a Start waits for.
func ExampleErrStopped() {
	opening := make(chan struct{})
	l := fsm.New(func(ctx context.Context, _ *fsm.Scope) (int, error) {
		close(opening)
		<-ctx.Done() // no caller wants it any more
		return 0, context.Cause(ctx)
	})
	started := make(chan error)
	go func() { started <- l.Start(context.Background()) }()
	<-opening
	fmt.Println(l.Stop(context.Background()))
	err := <-started
	fmt.Println(err, errors.Is(err, fsm.ErrStopped))
	// Output:
	// <nil>
	// fsm: stopped true
}

// A resource that dies reports its failure. It is released, and the reason kept.
func ExampleScope_Fail() {
	died := make(chan func(error), 1)
	l := fsm.New(func(_ context.Context, s *fsm.Scope) (string, error) {
		s.Defer("connection", func(context.Context) error { return nil })
		died <- s.Fail // for the goroutine that reads from the connection
		return "connected", nil
	})
	ctx := context.Background()
	fmt.Println(l.Start(ctx))
	(<-died)(errors.New("connection reset"))
	l.Wait(ctx, fsm.Idle)
	var status fsm.Status = l.Status()
	var state fsm.State = status.State
	fmt.Println(state, len(status.Held), status.Cause)
	fmt.Println(l.Start(ctx)) // a new one
	// Output:
	// <nil>
	// Idle 0 connection reset
	// <nil>
}

// A user of the resource that finds it dead reports the failure.
func ExampleLease_Fail() {
	l := fsm.New(func(context.Context, *fsm.Scope) (string, error) { return "connected", nil })
	ctx := context.Background()
	_ = l.Start(ctx)
	lease, err := l.Acquire()
	if err != nil {
		fmt.Println(err)
		return
	}
	lease.Fail(errors.New("out of step"))
	<-lease.Context().Done() // other uses learn of it
	lease.Release()
	l.Wait(ctx, fsm.Idle)
	fmt.Println(l.Status().Cause)
	// Output: out of step
}

// A panic of open is an error like any other; the program goes on.
func ExamplePanicError() {
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) {
		ports := map[string][]int{}
		return ports["http"][0], nil // a bug
	})
	err := l.Start(context.Background())
	var panicked *fsm.PanicError
	fmt.Println(errors.As(err, &panicked), l.State())
	fmt.Println(panicked.Value)
	// Output:
	// true Idle
	// runtime error: index out of range [0] with length 0
}

// A release fails, the others run all the same, and Stop returns the error.
func ExampleStopError() {
	l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
		s.Defer("file", func(context.Context) error {
			fmt.Println("the file is closed")
			return nil
		})
		s.Defer("session", func(context.Context) error { return errors.New("connection reset") })
		return 0, nil
	})
	ctx := context.Background()
	_ = l.Start(ctx)
	var failed *fsm.StopError
	if err := l.Stop(ctx); errors.As(err, &failed) {
		fmt.Println(failed.Part, "-", failed.Err, "-", l.State())
	}
	// Output:
	// the file is closed
	// session - session: connection reset - Idle
}

// What there is to set, with the defaults. The values of the base context are what
// open gets, instead of those of the first caller.
func ExampleOption() {
	type key struct{}
	base := context.WithValue(context.Background(), key{}, "the program's")
	options := []fsm.Option{
		fsm.WithBaseContext(base),
		fsm.WithStartTimeout(30 * time.Second),   // default: none
		fsm.WithReleaseTimeout(10 * time.Second), // for each part
		fsm.WithStopTimeout(30 * time.Second),    // of Close
		fsm.WithLogger(slog.Default()),
	}
	l := fsm.New(func(ctx context.Context, _ *fsm.Scope) (any, error) { return ctx.Value(key{}), nil }, options...)
	defer l.Close()
	_ = l.Start(context.WithValue(context.Background(), key{}, "a caller's"))
	_ = l.Use(context.Background(), func(_ context.Context, value any) error {
		fmt.Println(value)
		return nil
	})
	// Output: the program's
}

// printing prints what a Tracer receives: the transitions, and between them each step.
type printing struct{ done chan struct{} }

func (p printing) Transition(t fsm.Transition) {
	fmt.Println(t.Event)
	if t.To == fsm.Closed {
		close(p.done)
	}
}

func (p printing) Step(s fsm.Step) {
	if s.Kind != fsm.StepBegun {
		fmt.Println("   ", s.Kind, s.Part)
	}
}

func ExampleWithTracer() {
	var tracer fsm.Tracer = printing{make(chan struct{})}
	l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
		s.Part("pool")
		s.Defer("pool", func(context.Context) error { return nil })
		return 0, nil
	}, fsm.WithTracer(tracer))
	_ = l.Start(context.Background())
	_ = l.Close()
	<-tracer.(printing).done // perhaps after Close has returned
	// Output:
	// start
	//     acquiring pool
	//     held pool
	// opened
	// shutdown
	//     releasing pool
	//     released pool
	// closed
}
