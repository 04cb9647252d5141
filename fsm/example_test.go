package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

// A listener, guarded: opened once whoever asks, closed once.
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
	told := make(chan struct{})
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 0, nil },
		fsm.WithObserver(func(t fsm.Transition) {
			fmt.Printf("%s: %s to %s\n", t.Event, t.From, t.To)
			if t.To == spec.Closed {
				close(told)
			}
		}))
	_ = l.Start(context.Background())
	_ = l.Close()
	<-told // perhaps after Close has returned
	// Output:
	// start: Idle to Starting
	// opened: Starting to Started
	// shutdown: Started to Stopping
	// closed: Stopping to Closed
}

func ExampleLifecycle_Wait() {
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 0, nil })
	ready := make(chan struct{})
	go func() {
		defer close(ready)
		state, err := l.Wait(context.Background(), spec.Started)
		fmt.Println(state, err)
	}()
	_ = l.Start(context.Background())
	<-ready
	_ = l.Close()
	_, err := l.Wait(context.Background(), spec.Started) // it never will be
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
	fmt.Println(l.Shutdown(now)) // will not wait for it
	<-l.Done()
	lease.Release()
	// Output:
	// closed when idle
	// fsm: stop: 1 uses cut off: context canceled
	// closed under whoever still uses them
}
