// Command ordered is a service that needs a store, which needs a disk: a
// lifecycle whose open starts others, and whose release stops them in reverse.
// Nothing but fsm.Lifecycle is needed for that.
//
//	go run ./examples/ordered               starts all three, and stops them in reverse
//	go run ./examples/ordered -fail store   the store fails: the disk, started before it, is stopped
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/seed3893aba4/surestart/fsm"
)

// resource returns a lifecycle that only prints when it opens and closes.
func resource(name string, log io.Writer, fails bool) *fsm.Lifecycle[string] {
	return fsm.New(func(_ context.Context, s *fsm.Scope) (string, error) {
		s.Part(name)
		if fails {
			return "", errors.New("out of order")
		}
		fmt.Fprintln(log, "open", name)
		s.Defer(name, func(context.Context) error {
			fmt.Fprintln(log, "close", name)
			return nil
		})
		return name, nil
	})
}

// starter has the methods of any Lifecycle, whatever its resource.
type starter interface {
	Start(context.Context) error
	Stop(context.Context) error
}

// after starts a dependency as a part of what depends on it: it is stopped when
// that is released, or fails to start.
func after(ctx context.Context, s *fsm.Scope, name string, dependency starter) error {
	s.Part(name)
	if err := dependency.Start(ctx); err != nil {
		return err
	}
	s.Defer(name, dependency.Stop)
	return nil
}

func service(log io.Writer, fail string) *fsm.Lifecycle[string] {
	disk := resource("disk", log, fail == "disk")
	store := resource("store", log, fail == "store")
	return fsm.New(func(ctx context.Context, s *fsm.Scope) (string, error) {
		if err := after(ctx, s, "disk", disk); err != nil {
			return "", err
		}
		if err := after(ctx, s, "store", store); err != nil {
			return "", err
		}
		fmt.Fprintln(log, "open service")
		s.Defer("service", func(context.Context) error {
			fmt.Fprintln(log, "close service")
			return nil
		})
		return "the service", nil
	})
}

func main() {
	fail := flag.String("fail", "", "what does not start: disk or store")
	flag.Parse()
	if err := run(os.Stdout, *fail); err != nil {
		fmt.Fprintln(os.Stderr, "ordered:", err)
		os.Exit(1)
	}
}

func run(log io.Writer, fail string) error {
	s := service(log, fail)
	if err := s.Start(context.Background()); err != nil {
		return err
	}
	return s.Close()
}
