package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

func TestAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := server(taken.Addr().String(), http.NotFoundHandler(), time.Minute)
	defer srv.Close()
	var failed *fsm.StartError
	if err := srv.Start(t.Context()); !errors.As(err, &failed) || failed.Part != "listener" || !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("Start: %v; want the listener's address in use", err)
	}
	taken.Close()
	if err := srv.Start(t.Context()); err != nil { // it may be tried again
		t.Fatal(err)
	}
}

// A Stop waits for the request in flight; the server may be started again.
func TestStopDrains(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	srv := server("127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		io.WriteString(w, "served")
	}), time.Minute)
	defer srv.Close()
	addr := started(t, srv)
	body := make(chan string)
	go func() { body <- get(t, addr) }()
	<-entered
	stopped := make(chan error)
	go func() { stopped <- srv.Stop(context.Background()) }()
	if _, err := srv.Wait(t.Context(), fsm.Stopping); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-stopped:
		t.Errorf("Stop returned %v with a request in flight", err)
	case <-time.After(20 * time.Millisecond): // a moment to be wrong in
	}
	close(leave)
	if got := <-body; got != "served" {
		t.Errorf("the request got %q; want that it is served", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Stop: %v", err)
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Errorf("Start again: %v", err)
	}
}

// get makes a request as any client would, without a lease.
func get(t *testing.T, addr string) string {
	res, err := http.Get("http://" + addr)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// A request that does not end is cut off at the end of patience. A Stop whose caller leaves before
// that does not wait for it.
func TestStopForced(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	srv := server("127.0.0.1:0", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(entered)
		<-leave
	}), 50*time.Millisecond)
	defer srv.Close()
	defer close(leave)
	addr := started(t, srv)
	ended := make(chan error)
	go func() {
		_, err := http.Get("http://" + addr)
		ended <- err
	}()
	<-entered
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if err := srv.Stop(now); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop: %v; want the caller's own reason", err)
	}
	if err := <-ended; err == nil {
		t.Error("the request that was cut off went well")
	}
	if _, err := srv.Wait(t.Context(), fsm.Idle); err != nil {
		t.Fatal(err)
	}
	if err := srv.Status().Cause; !errors.Is(err, context.DeadlineExceeded) { // G14
		t.Errorf("why it ended so: %v; want that the patience for a request ended", err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("it still listens")
	}
}

// A server that dies is released, and the cause is kept; it may be started again.
func TestDies(t *testing.T) {
	srv := server("127.0.0.1:0", http.NotFoundHandler(), time.Minute)
	defer srv.Close()
	started(t, srv)
	lease, err := srv.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	disk := errors.New("the disk is full")
	lease.Fail(disk)
	lease.Release()
	if _, err := srv.Wait(t.Context(), fsm.Idle); err != nil {
		t.Fatal(err)
	}
	if s := srv.Status(); !errors.Is(s.Cause, disk) || len(s.Held) > 0 {
		t.Errorf("%v; want the cause, and nothing held", s)
	}
	started(t, srv)
}

func started(t *testing.T, srv *fsm.Lifecycle[net.Addr]) (addr string) {
	t.Helper()
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	lease, err := srv.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	return lease.Resource().String()
}
