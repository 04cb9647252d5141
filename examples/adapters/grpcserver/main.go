// Command grpcserver is a gRPC server as a resource, whose requests are uses of it. A stop waits
// for them until its deadline (G9), then reports how many it cut off. A request that comes
// meanwhile is refused as Unavailable and can go elsewhere (G10). A client that watches its health
// learns of a stop before the drain begins.
//
//	go run ./grpcserver -addr 127.0.0.1:50051
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

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/seed3893aba4/surestart/fsm"
)

// lifecycle is of a server; its resource is the address that it listens on.
type lifecycle = fsm.Lifecycle[net.Addr]

// server returns a gRPC server that starts once, for any number of callers. register adds the
// services. gRPC's own health service is there already, and reports the state of the lifecycle.
func server(addr string, register func(grpc.ServiceRegistrar), opts ...grpc.ServerOption) *lifecycle {
	healthy := health.NewServer()
	healthy.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	var l *lifecycle
	l = fsm.New(func(ctx context.Context, s *fsm.Scope) (net.Addr, error) {
		s.Part("listener")
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		s.Defer("listener", func(context.Context) error {
			if err := ln.Close(); !errors.Is(err, net.ErrClosed) { // the server has closed it
				return err
			}
			return nil
		})

		s.Part("server")
		srv := grpc.NewServer(append(admitting(l), opts...)...)
		healthpb.RegisterHealthServer(srv, healthy)
		register(srv)
		served := make(chan struct{})
		go func() {
			defer close(served)
			if err := srv.Serve(ln); err != nil {
				s.Fail(err) // it died: release what is left, keep the cause
			}
		}()
		s.Defer("server", func(ctx context.Context) error {
			err := stop(ctx, srv)
			<-served
			return err
		})
		return ln.Addr(), nil
	}, fsm.WithObserver(func(t fsm.Transition) { // in order, so that the last word is right
		now := healthpb.HealthCheckResponse_NOT_SERVING
		if t.To == fsm.Started {
			now = healthpb.HealthCheckResponse_SERVING
		}
		healthy.SetServingStatus("", now)
	}))
	return l
}

// stop ends the server. Its requests have ended by now, except for their last bytes, unless the
// drain was cut short. In that case it does not wait for them.
func stop(ctx context.Context, srv *grpc.Server) error {
	if fsm.Forced(ctx) {
		srv.Stop()
		return nil
	}
	graceful := make(chan struct{})
	go func() {
		defer close(graceful)
		srv.GracefulStop() // takes no context, and waits without bound
	}()
	var err error
	select {
	case <-graceful:
	case <-ctx.Done():
		err = errors.New("a client did not take its last bytes")
		srv.Stop() // ends the other, too
		<-graceful
	}
	return err
}

// admitting makes each request a use of the lifecycle.
func admitting(l *lifecycle) []grpc.ServerOption {
	admit := func(ctx context.Context, f func(context.Context) error) error {
		err := l.Use(ctx, func(ctx context.Context, _ net.Addr) error { return f(ctx) })
		if errors.Is(err, fsm.ErrNotStarted) || errors.Is(err, fsm.ErrClosed) {
			return status.Error(codes.Unavailable, err.Error()) // clients try another server
		}
		return err
	}
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (res any, err error) {
			err = admit(ctx, func(ctx context.Context) (err error) {
				res, err = handle(ctx, req)
				return err
			})
			return res, err
		}),
		grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			return admit(ss.Context(), func(ctx context.Context) error { return handle(srv, stream{ss, ctx}) })
		}),
	}
}

// A stream whose context ends when its use is cut off.
type stream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s stream) Context() context.Context { return s.ctx }

func main() {
	addr := flag.String("addr", "127.0.0.1:50051", "listen on")
	patience := flag.Duration("patience", 20*time.Second, "how long a stop waits for the requests in flight")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *patience); err != nil {
		fmt.Fprintln(os.Stderr, "grpcserver:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr string, patience time.Duration) error {
	srv := server(addr, func(grpc.ServiceRegistrar) {})
	defer srv.Close() // whatever happens: a Start may be left while it succeeds
	if err := srv.Start(ctx); err != nil {
		return err
	}
	// Until a signal, or until it has died.
	if _, err := srv.Wait(ctx, fsm.Idle); err == nil {
		return srv.Status().Cause
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return srv.Shutdown(last) // a *fsm.StopError says how many requests were cut off
}
