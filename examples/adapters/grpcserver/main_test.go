package main

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/leakcheck"
)

// blocking makes the unary requests say that they are there, and wait, deaf to their
// context.
type blocking struct {
	entered, leave chan struct{}
}

func newBlocking() blocking { return blocking{make(chan struct{}), make(chan struct{})} }

func (b blocking) option() grpc.ServerOption {
	return grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		b.entered <- struct{}{}
		<-b.leave
		return handle(ctx, req)
	})
}

func nothing(grpc.ServiceRegistrar) {}

func start(t *testing.T, srv *lifecycle) (addr string, client healthpb.HealthClient) {
	t.Helper()
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	lease, err := srv.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	addr = lease.Resource().String()
	lease.Release()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		leakcheck.Nothing(t, []string{addr}, []string{"google.golang.org/grpc"})
	})
	return addr, healthpb.NewHealthClient(conn)
}

func TestAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := server(taken.Addr().String(), nothing)
	var failed *fsm.StartError
	if err := srv.Start(t.Context()); !errors.As(err, &failed) || failed.Part != "listener" || !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("Start: %v; want the listener's address in use", err)
	}
	taken.Close()
	_, client := start(t, srv) // it may be tried again
	if _, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("Check: %v", err)
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
}

// A stop waits for the request in flight, which gets its answer; one that comes
// meanwhile is refused.
func TestStopDrains(t *testing.T) {
	b := newBlocking()
	srv := server("127.0.0.1:0", nothing, b.option())
	_, client := start(t, srv)
	answered, stopped := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := client.Check(context.Background(), &healthpb.HealthCheckRequest{})
		answered <- err
	}()
	<-b.entered
	go func() { stopped <- srv.Stop(context.Background()) }()
	if _, err := srv.Wait(t.Context(), fsm.Stopping); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{}); status.Code(err) != codes.Unavailable { // G10
		t.Errorf("a request during the stop: %v; want Unavailable", err)
	}
	if s := srv.Status(); s.InFlight != 1 || s.Releasing != "" {
		t.Errorf("%v; want that the stop waits for one request", s)
	}
	close(b.leave)
	if err := <-answered; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Stop: %v", err)
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Errorf("Start again: %v", err)
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
}

// A stop whose context ends cuts the requests off, a stream as well as a unary one,
// and counts them.
func TestStopForced(t *testing.T) {
	b := newBlocking()
	srv := server("127.0.0.1:0", nothing, b.option())
	_, client := start(t, srv)
	t.Cleanup(func() { close(b.leave) })
	unary := make(chan error, 1)
	go func() {
		_, err := client.Check(context.Background(), &healthpb.HealthCheckRequest{})
		unary <- err
	}()
	<-b.entered
	watch, err := client.Watch(t.Context(), &healthpb.HealthCheckRequest{}) // a stream without end
	if err != nil {
		t.Fatal(err)
	}
	for serving := false; !serving; { // the observer may be told a moment after Start has returned
		res, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		serving = res.Status == healthpb.HealthCheckResponse_SERVING
	}
	ctx, enough := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Stop(ctx) }()
	// Who watches learns of the stop while it still waits.
	if res, err := watch.Recv(); err != nil || res.Status != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("Watch: %v, %v; want NOT_SERVING", res, err)
	}
	if s := srv.Status(); s.State != fsm.Stopping || s.InFlight != 2 {
		t.Errorf("%v; want that the stop waits for two requests", s)
	}
	enough()
	var cut *fsm.StopError
	if err := <-stopped; !errors.As(err, &cut) || cut.CutOff != 2 {
		t.Errorf("Stop: %v; want two requests cut off", err)
	}
	if err := <-unary; err == nil {
		t.Error("the request that was cut off went well")
	}
	if _, err := watch.Recv(); err == nil {
		t.Error("the stream that was cut off goes on")
	}
	if _, err := srv.Wait(t.Context(), fsm.Idle); err != nil {
		t.Error(err)
	}
	if err := srv.Status().Cause; err != nil {
		t.Errorf("the release: %v", err)
	}
}

// A Stop during a start: nothing is left listening (G8).
func TestStopDuringStart(t *testing.T) {
	opening, stopped := make(chan struct{}), make(chan error, 1)
	var srv *lifecycle
	srv = server("127.0.0.1:0", func(grpc.ServiceRegistrar) {
		close(opening)
		srv.Wait(context.Background(), fsm.Stopping) // as slow as can be
	})
	started := make(chan error, 1)
	go func() { started <- srv.Start(context.Background()) }()
	<-opening
	go func() { stopped <- srv.Stop(context.Background()) }()
	if err := <-started; !errors.Is(err, fsm.ErrStopped) {
		t.Errorf("Start: %v; want ErrStopped", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Stop: %v", err)
	}
	leakcheck.Nothing(t, nil, []string{"google.golang.org/grpc"})
}

// The program serves until its context ends, as by a signal, and leaves nothing.
func TestProgram(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	ctx, signal := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, addr, time.Minute) }()
	leakcheck.Eventually(t, "it serves", func() string {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return err.Error()
		}
		conn.Close()
		return ""
	})
	signal()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) { // it may still have been in Start
		t.Errorf("run: %v", err)
	}
	leakcheck.Nothing(t, []string{addr}, []string{"google.golang.org/grpc"})
}
