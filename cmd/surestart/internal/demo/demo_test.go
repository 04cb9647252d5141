package demo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/flight"
	"github.com/seed3893aba4/surestart/producer"
	"github.com/seed3893aba4/surestart/spec"
)

// Each thing that can be wrong is noticed, alone, with the guarantee that promises it.
func TestFailuresNameTheGuarantee(t *testing.T) {
	cfg := Config{Callers: 10, Messages: 1000}
	kept := column{Opens: 1, Reopens: 2, StateAfter: true, Legal: true, Drained: true, CutOff: 1, InFlight: 1,
		HungTime: 1500 * time.Millisecond, Acknowledged: 1000, Found: 1000}
	if f := failures(cfg, kept); len(f) != 0 {
		t.Fatalf("everything was kept, and yet: %v", f)
	}
	for name, c := range map[string]struct {
		spoil     func(*column)
		guarantee string
	}{
		"stuck":                 {func(c *column) { c.Stuck = "why" }, g12},
		"two openings":          {func(c *column) { c.Opens = 2 }, g1},
		"no opening":            {func(c *column) { c.Opens = 0 }, g1},
		"reopened thrice":       {func(c *column) { c.Reopens = 3 }, g1},
		"early":                 {func(c *column) { c.Early = 1 }, g3},
		"denied":                {func(c *column) { c.Denied = 1 }, g6},
		"not idle":              {func(c *column) { c.StateAfter = false }, g4},
		"unknown transition":    {func(c *column) { c.Legal = false }, "the table"},
		"not drained":           {func(c *column) { c.Drained = false }, g9},
		"stop took too long":    {func(c *column) { c.HungTime = 2001 * time.Millisecond }, g12},
		"stop did not return":   {func(c *column) { c.HungTime = stopLimit }, g12},
		"nothing was in flight": {func(c *column) { c.InFlight = 0 }, g9},
		"nothing was cut off":   {func(c *column) { c.CutOff = 0 }, g9},
		"connection left":       {func(c *column) { c.Conns = 1 }, g7},
		"goroutine left":        {func(c *column) { c.Goroutines = 1 }, g7},
		"not all acknowledged":  {func(c *column) { c.Acknowledged = 999 }, g12},
		"one lost":              {func(c *column) { c.Lost = 1 }, g9},
		"one twice":             {func(c *column) { c.Duplicates = 1 }, d3},
	} {
		t.Run(name, func(t *testing.T) {
			col := kept
			c.spoil(&col)
			if f := failures(cfg, col); len(f) != 1 || f[0].guarantee != c.guarantee {
				t.Errorf("failures = %v; want one, of %s", f, c.guarantee)
			}
		})
	}
}

func TestTransitionsAreComparedWithTheTable(t *testing.T) {
	legal := []fsm.Transition{
		{From: spec.Idle, To: spec.Starting, Event: spec.EventStart, Attempt: 1},
		{From: spec.Starting, To: spec.Started, Event: spec.EventOpened, Attempt: 1},
		{From: spec.Started, To: spec.Stopping, Event: spec.EventStop, Attempt: 1},
	}
	for name, c := range map[string]struct {
		seen  []fsm.Transition
		legal bool
	}{
		"as specified":     {legal, true},
		"one is missing":   {append(legal[:1:1], legal[2]), false},
		"not in the table": {[]fsm.Transition{{From: spec.Idle, To: spec.Started, Event: spec.EventOpened}}, false},
	} {
		s := &storm{screen: NewScreen(io.Discard, false), recorder: flight.NewRecorder(10), col: column{Legal: true}}
		for _, x := range c.seen {
			s.recorder.Observe(x)
			s.transitions(t.Context())
		}
		if s.col.Legal != c.legal || s.shown != len(c.seen) {
			t.Errorf("%s: legal = %t, want %t; %d shown", name, s.col.Legal, c.legal, s.shown)
		}
	}
}

// A nil from Start is too early while no broker works.
func TestCrowdCountsEarlyAnswers(t *testing.T) {
	cl := newProxy(kmsg.Metadata)
	var calls atomic.Int64
	refusal := errors.New("no")
	s := &storm{cl: cl, sys: system{start: func(ctx context.Context) error {
		switch n := calls.Add(1); {
		case n <= 3:
			return nil // too early
		case n <= 5:
			return refusal
		case n <= 7:
			<-ctx.Done()
			return context.Cause(ctx)
		}
		cl.set(working)
		return nil
	}}}
	for i, c := range []struct {
		callers int
		want    outcomes
	}{{3, outcomes{ok: 3, early: 3}}, {2, outcomes{err: refusal}}, {2, outcomes{}}, {1, outcomes{ok: 1}}} {
		patience := time.Minute
		if i == 2 { // they give up
			patience = time.Millisecond
		}
		if o := s.crowd(t.Context(), c.callers, 0, patience, func() {}); o != c.want {
			t.Errorf("crowd %d: %+v, want %+v", i, o, c.want)
		}
	}
	if s.col.Early != 3 {
		t.Errorf("%d early, want 3", s.col.Early)
	}
}

// A system whose Start does not return is stuck, and says for how long. An interrupted storm is
// not stuck: it ends with the cause.
func TestAgainWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &storm{cl: newProxy(kmsg.Metadata), sys: system{start: func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}}}
		var st stuck
		if err := s.again(t.Context()); !errors.As(err, &st) || st.Error() != "no Start has succeeded within 1m0s" {
			t.Errorf("%v", err)
		}
		ctx, interrupt := context.WithCancelCause(t.Context())
		why := errors.New("interrupted")
		err := s.play(ctx, func(ctx context.Context) error {
			interrupt(why)
			return s.again(ctx)
		})
		if err != why || s.col.Stuck != "" {
			t.Errorf("%v, stuck: %q", err, s.col.Stuck)
		}
	})
}

// A message that failed is sent again, by the call and by the message. One that may have been
// delivered is sent again only if it is not on the broker.
func TestLoadSendsAgainWhatFailed(t *testing.T) {
	copies, calls, refused := make([]int, 1000), 0, 0
	l := newLoad(system{write: func(_ context.Context, msgs ...kafka.Message) error {
		if calls++; calls == 1 {
			return producer.ErrNotStarted
		}
		failures := make(kafka.WriteErrors, len(msgs))
		var err error
		for i, m := range msgs {
			n, _ := number(m.Value)
			switch {
			case calls%20 == 0 && i%2 == 0:
				failures[i], err = kafka.NotEnoughReplicas, failures
				refused++
				continue
			case calls <= 200 && calls%20 == 5 && i%2 == 0:
				failures[i], err = fmt.Errorf("cut: %w", producer.ErrMaybeDelivered), failures
				if n%4 != 0 {
					continue // it did not arrive
				}
			}
			copies[n]++
		}
		return err
	}}, 1000)
	l.add(0, 1000)
	for len(l.maybe) == 0 || len(l.queue) > 0 {
		l.send(t.Context(), l.take())
	}
	unsure := len(l.maybe)
	if found := l.lookUp(copies); found == 0 || found == unsure || len(l.maybe) != 0 || refused == 0 {
		t.Fatalf("%d may have been delivered, %d were, %d were refused: the test shows nothing", unsure, found, refused)
	}
	calls = 201
	l.write(t.Context()) // one writer: copies is its own
	for n := range 1000 {
		if copies[n] != 1 || !l.acked[n] {
			t.Fatalf("message %d: on the broker %d times, acknowledged %t", n, copies[n], l.acked[n])
		}
	}
}

// The wait ends where no message gets through, and goes on where some do.
func TestLoadNoticesAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		l := newLoad(system{write: func(context.Context, ...kafka.Message) error {
			time.Sleep(time.Second)
			if calls++; calls > 100 {
				return producer.ErrNotStarted
			}
			return nil
		}}, 1000)
		l.add(0, 1000)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); l.write(ctx) }()
		if err := l.reach(t.Context(), 500); err != nil {
			t.Errorf("gave up on a load that moves: %v", err)
		}
		var stall stuck
		if err := l.reach(t.Context(), 1000); !errors.As(err, &stall) || l.count.Load() != 500 {
			t.Errorf("%v, %d acknowledged; want 500, and a stall", err, l.count.Load())
		}
		cancel()
		<-ended
	})
}

// A goroutine of a producer counts, and a caller of the storm does not.
func TestGoroutinesFindsWhatIsLeft(t *testing.T) {
	before := goroutines()
	l := fsm.New(func(ctx context.Context, _ *fsm.Scope) (int, error) {
		<-ctx.Done()
		return 0, context.Cause(ctx)
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // the storm's: it waits in fsm's code
		defer close(done)
		l.Start(ctx)
	}()
	if _, err := l.Wait(t.Context(), spec.Starting); err != nil {
		t.Fatal(err)
	}
	within(30*time.Second, func() bool { return goroutines() == before+1 })
	if n := goroutines() - before; n != 1 {
		t.Errorf("%d goroutines of the library while it opens, want its operation's", n)
	}
	cancel()
	<-done
	within(30*time.Second, func() bool { return goroutines() == before })
	if n := goroutines() - before; n != 0 {
		t.Errorf("%d goroutines left", n)
	}
}

// frame is a request or an answer as it is on the wire.
func frame(text string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

// The proxy refuses, hangs, works and dies, and counts the requests for metadata.
func TestProxy(t *testing.T) {
	broker, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	go func() { // it answers with what it was sent
		for {
			c, err := broker.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); io.Copy(c, c) }()
		}
	}()
	cl := newProxy(kmsg.Metadata)
	defer cl.close()
	dial := func() net.Conn {
		t.Helper()
		c, err := cl.dial(t.Context(), "tcp", broker.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c, err := cl.dial(t.Context(), "tcp", broker.Addr().String()); err == nil {
		c.Close()
		t.Fatal("down: a connection was accepted")
	}
	cl.set(hanging)
	c := dial()
	metadata := frame("\x00\x03 metadata")
	c.Write(append(frame("\x00\x12 api versions"), metadata...))
	got := make([]byte, len(metadata)+len(frame("\x00\x12 api versions")))
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := io.ReadFull(c, got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("hanging: read %q, %v; want no answer", got, err)
	}
	cl.set(working)
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.ReadFull(c, got); err != nil || !strings.HasSuffix(string(got), "metadata") {
		t.Fatalf("working: read %q, %v; want answers to what was sent while it hung", got, err)
	}
	if opened, open := cl.opened.Load(), cl.open.Load(); opened != 1 || open != 1 {
		t.Errorf("%d openings, %d connections; want one of each", opened, open)
	}
	// Killed while it hangs: the request is gone, and the connection ends.
	cl.set(hanging)
	c.Write(metadata)
	cl.set(down)
	if _, err := io.ReadFull(c, got); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("down: read %v; want the end of the connection", err)
	}
	cl.set(working)
	again := dial()
	if n := cl.open.Load(); n != 2 {
		t.Errorf("%d connections, want 2: the first is not closed", n)
	}
	again.Close()
	again.Close()
	c.Close()
	if opened, open := cl.opened.Load(), cl.open.Load(); opened != 1 || open != 0 {
		t.Errorf("%d openings, %d connections; want 1, 0", opened, open)
	}
}

func TestMessagesHaveTheirNumber(t *testing.T) {
	for _, n := range []int{0, 7, 199_999} {
		if got, ok := number(value(n)); got != n || !ok || len(value(n)) != 100 {
			t.Errorf("number = %d, %t, of %d bytes; want %d", got, ok, len(value(n)), n)
		}
	}
	for _, other := range []string{"", "hello", "7 7"} {
		if n, ok := number([]byte(other)); ok {
			t.Errorf("%q has the number %d", other, n)
		}
	}
}

func TestConfigIsValidated(t *testing.T) {
	good := Config{Callers: 10, Messages: 1000}
	if err := good.Validate(); err != nil {
		t.Errorf("%+v: %v", good, err)
	}
	for _, bad := range []Config{
		{Callers: 9, Messages: 1000}, {Callers: 20_001, Messages: 1000}, {Callers: 10, Messages: 999},
		{Callers: 10, Messages: 1000, Break: "everything"},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}
