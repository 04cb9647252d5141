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
	srv := server(taken.Addr().String(), http.NotFoundHandler())
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
	}))
	defer srv.Close()
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	lease, err := srv.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	addr := lease.Resource()
	lease.Release()
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

// get asks as anybody would, who holds no lease.
func get(t *testing.T, addr net.Addr) string {
	res, err := http.Get("http://" + addr.String())
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
