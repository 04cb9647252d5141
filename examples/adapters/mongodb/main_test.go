package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/leakcheck"
)

func (s *server) nothingLeft(t *testing.T, l *fsm.Lifecycle[*mongo.Client]) {
	t.Helper()
	if held := l.Status().Held; len(held) > 0 {
		t.Errorf("held: %q", held)
	}
	leakcheck.Nothing(t, []string{s.addr}, []string{"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology", "go.mongodb.org/mongo-driver/v2/mongo."})
}

// First nothing listens there: each start that fails takes its monitors along. Then
// it is up, and many start it at once.
func TestDownThenUp(t *testing.T) {
	s := newServer(t)
	l := client(s.uri("serverSelectionTimeoutMS=50"))
	defer l.Close()
	for range 5 {
		var failed *fsm.StartError
		if err := l.Start(t.Context()); !errors.As(err, &failed) || failed.Part != "primary" {
			t.Fatalf("Start: %v; want that there is no primary", err)
		}
		s.nothingLeft(t, l)
	}
	l = client(s.uri(""))
	defer l.Close()
	s.up()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := l.Start(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := l.Status().Attempt; n != 1 {
		t.Errorf("%d attempts; want one for all (G1)", n)
	}
	if err := visit(t.Context(), l, "somebody"); err != nil || s.count() != 1 {
		t.Errorf("visit: %v; %d inserted", err, s.count())
	}
	if err := l.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	s.nothingLeft(t, l)
}

// The server accepts, and says nothing; the last caller leaves (G6).
func TestStartIsLeft(t *testing.T) {
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	s := &server{addr: deaf.Addr().String()}
	l := client(s.uri(""))
	defer l.Close()
	ctx, leave := context.WithCancelCause(t.Context())
	tired := errors.New("tired of waiting")
	started := make(chan error, 1)
	go func() { started <- l.Start(ctx) }()
	conn, err := deaf.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	leave(tired)
	if err := <-started; !errors.Is(err, tired) {
		t.Errorf("Start: %v; want the caller's own reason", err)
	}
	if _, err := l.Wait(t.Context(), fsm.Idle); err != nil {
		t.Fatal(err)
	}
	s.nothingLeft(t, l)
}

// inFlight returns a started client with an insert that the server does not answer until answer is
// closed.
func inFlight(t *testing.T, s *server) (l *fsm.Lifecycle[*mongo.Client], answer chan struct{}, ended chan error) {
	t.Helper()
	s.up()
	l = client(s.uri(""))
	t.Cleanup(func() { l.Close() })
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	asked, answer := s.hold()
	ended = make(chan error, 1)
	go func() { ended <- visit(context.Background(), l, "the last") }()
	<-asked
	return l, answer, ended
}

func TestStopDrains(t *testing.T) {
	s := newServer(t)
	l, answer, ended := inFlight(t, s)
	stopped := make(chan error, 1)
	go func() { stopped <- l.Stop(context.Background()) }()
	if _, err := l.Wait(t.Context(), fsm.Stopping); err != nil {
		t.Fatal(err)
	}
	if err := visit(t.Context(), l, "too late"); !errors.Is(err, fsm.ErrNotStarted) { // G10
		t.Errorf("a visit during the stop: %v", err)
	}
	if st := l.Status(); st.InFlight != 1 || st.Releasing != "" {
		t.Errorf("%v; want that the stop waits for one operation", st)
	}
	close(answer)
	if err := errors.Join(<-ended, <-stopped); err != nil || s.count() != 1 || s.farewells() != 1 {
		t.Errorf("the operation and the stop: %v; %d inserted, %d farewells", err, s.count(), s.farewells())
	}
	s.nothingLeft(t, l)
}

func TestStopForced(t *testing.T) {
	s := newServer(t)
	l, answer, ended := inFlight(t, s)
	defer close(answer)
	if err := l.Use(t.Context(), func(ctx context.Context, cl *mongo.Client) error { return cl.Ping(ctx, nil) }); err != nil {
		t.Fatal(err) // leaves a session to say farewell for
	}
	now, cancel := context.WithCancel(context.Background())
	cancel()
	var cut *fsm.StopError
	if err := l.Stop(now); !errors.As(err, &cut) || cut.CutOff != 1 {
		t.Errorf("Stop: %v; want one operation cut off", err)
	}
	if err := <-ended; err == nil {
		t.Error("the operation that was cut off went well")
	}
	if _, err := l.Wait(t.Context(), fsm.Idle); err != nil {
		t.Fatal(err)
	}
	if n := s.farewells(); n != 0 { // it would wait for the answer
		t.Errorf("a forced stop says farewell to the server, %d times", n)
	}
	s.nothingLeft(t, l)
}

func TestProgram(t *testing.T) {
	s := newServer(t)
	s.up()
	if err := run(t.Context(), s.uri("")); err != nil || s.count() != 1 {
		t.Errorf("run: %v; %d inserted", err, s.count())
	}
	s.nothingLeft(t, client(s.uri("")))
}
