// Command httpserver is a net/http server as a resource. Start fails if its address is taken, a stop
// waits for the requests in flight, and the cause of its death is kept.
//
//	go run ./examples/httpserver -addr 127.0.0.1:8080
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// server returns an HTTP server that is started once, however many ask. Its
// resource is the address that it listens on. patience is for the requests that are
// in flight when it is stopped.
func server(addr string, handler http.Handler, patience time.Duration) *fsm.Lifecycle[net.Addr] {
	return fsm.New(func(ctx context.Context, s *fsm.Scope) (net.Addr, error) {
		s.Part("listener")
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, err // a *fsm.StartError says that it was the listener, and why
		}
		s.Defer("listener", func(context.Context) error {
			if err := ln.Close(); !errors.Is(err, net.ErrClosed) { // srv.Shutdown has closed it
				return err
			}
			return nil
		})

		s.Part("server")
		srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
		served := make(chan struct{})
		go func() {
			defer close(served)
			if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				s.Fail(err) // it died: release what is left, keep the cause
			}
		}()
		s.Defer("server", func(ctx context.Context) error {
			err := srv.Shutdown(ctx) // waits for the requests in flight
			if err != nil {
				err = errors.Join(err, srv.Close()) // the release timeout has passed: cut them off
			}
			<-served
			return err
		})
		return ln.Addr(), nil
	}, fsm.WithReleaseTimeout(patience))
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "listen on")
	flag.Parse()
	if err := run(*addr); err != nil {
		fmt.Fprintln(os.Stderr, "httpserver:", err)
		os.Exit(1)
	}
}

func run(addr string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	srv := server(addr, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") }), 10*time.Second)
	defer srv.Close()
	if err := srv.Start(ctx); err != nil {
		return err
	}
	fmt.Println("listening; interrupt to stop")
	// Until a signal, or until it has died.
	if _, err := srv.Wait(ctx, fsm.Idle); err == nil {
		return srv.Status().Cause
	}
	return srv.Close()
}
