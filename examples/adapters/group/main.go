// Command group runs lifecycles beside other work in a group that ends as a whole: in
// an errgroup.Group, or as actors of a run.Group of oklog/run.
//
// Both need a function that returns when its part of the work is over, and a
// resource has none: it is open until it dies or is stopped. Run is that function. A
// stop that comes before the start is not forgotten (G6, G11); a resource that dies ends
// the group, with the reason (G14); each part drains before the group has ended (G9).
//
//	go run ./group             errgroup
//	go run ./group -with run   oklog/run
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/oklog/run"
	"golang.org/x/sync/errgroup"

	"github.com/seed3893aba4/surestart/fsm"
)

// Run starts the lifecycle and returns when it has been shut down: because ctx has
// ended, which is no error; because the resource has died or did not start, and then
// the error says why. It waits for the uses in flight for as long as patience, then cuts them off.
func Run[R any](ctx context.Context, l *fsm.Lifecycle[R], patience time.Duration) error {
	err := l.Start(ctx)
	if err == nil {
		if _, err = l.Wait(ctx, fsm.Idle, fsm.Closed); err == nil { // the group did not end it
			err = l.Status().Cause
		}
	}
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		err = nil
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return errors.Join(err, l.Shutdown(last))
}

// Actor is Run for the Add of a run.Group.
func Actor[R any](l *fsm.Lifecycle[R], patience time.Duration) (execute func() error, interrupt func(error)) {
	ctx, cancel := context.WithCancel(context.Background())
	return func() error { return Run(ctx, l, patience) }, func(error) { cancel() }
}

func listener(name string) *fsm.Lifecycle[net.Listener] {
	return fsm.New(func(ctx context.Context, s *fsm.Scope) (net.Listener, error) {
		s.Part(name)
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		s.Defer(name, func(context.Context) error { return ln.Close() })
		fmt.Println(name, "is open")
		return ln, nil
	})
}

func main() {
	with := flag.String("with", "errgroup", "errgroup or run")
	flag.Parse()
	if err := program(context.Background(), *with); err != nil {
		fmt.Fprintln(os.Stderr, "group:", err)
		os.Exit(1)
	}
}

const patience = 20 * time.Second

func program(ctx context.Context, with string) error {
	public, internal := listener("the public port"), listener("the internal port")
	if with == "run" {
		var g run.Group
		g.Add(Actor(public, patience))
		g.Add(Actor(internal, patience))
		g.Add(run.SignalHandler(ctx, os.Interrupt, syscall.SIGTERM))
		if err := g.Run(); !errors.Is(err, run.ErrSignal) && !errors.Is(err, ctx.Err()) {
			return err
		}
		return nil
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return Run(ctx, public, patience) })
	g.Go(func() error { return Run(ctx, internal, patience) })
	return g.Wait()
}
