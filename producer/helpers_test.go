package producer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/leakcheck"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// hang is how long a test waits for what must happen; it is no measure of anything.
const hang = time.Minute

var bg = context.Background()

// newProducer makes a producer for b, and checks when the test ends that it left
// nothing behind: no connection, no goroutine.
func newProducer(t testing.TB, b *testbroker.Broker, cfg Config) *Producer {
	t.Helper()
	if cfg.Brokers == nil {
		cfg.Brokers = b.Addrs
	}
	if cfg.Dial == nil {
		cfg.Dial = b.Dial
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, known := checked.LoadOrStore(b, true); !known {
		t.Cleanup(func() { processClean(t, b) }) // after the Shutdown of the last producer
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(bg, hang)
		defer cancel()
		if err := p.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown at the end of the test: %v", err)
		}
		holdsNothing(t, p)
	})
	return p
}

var checked sync.Map // the brokers whose test has the check of processClean

func start(t testing.TB, p *Producer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(bg, hang)
	defer cancel()
	if err := p.Start(ctx); err != nil {
		t.Fatalf("Start: %v", err)
	}
}

// nothingLeft fails unless the only producer of the test holds no part, no connection (by its own
// count, the operating system's and the broker's), and no goroutine (G7).
func nothingLeft(t testing.TB, b *testbroker.Broker, p *Producer) {
	t.Helper()
	holdsNothing(t, p)
	processClean(t, b)
}

// holdsNothing fails unless the producer holds no part and no connection.
func holdsNothing(t testing.TB, p *Producer) {
	t.Helper()
	if s := p.State(); s != fsm.Idle && s != fsm.Closed {
		t.Errorf("state %v, want Idle or Closed", s)
	}
	if held := p.Status().Held; len(held) > 0 {
		t.Errorf("parts still held: %q", held)
	}
	if c := p.Counters(); c.Connections != 0 || undecided(c) != 0 {
		t.Errorf("%d connections still open, %d messages without a verdict", c.Connections, undecided(c))
	}
	if n := p.InFlightBytes(); n != 0 {
		t.Errorf("%d bytes in flight, and no message", n)
	}
}

func processClean(t testing.TB, b *testbroker.Broker) {
	t.Helper()
	eventually(t, "no socket left", func() string {
		if n := b.Sockets(t); n > 0 {
			return fmt.Sprintf("%d sockets", n)
		}
		return ""
	})
	noGoroutines(t)
}

// noGoroutines fails if a goroutine of kafka-go, fsm or this package remains. A goroutine that has
// released everything may need a moment to end. The goroutines of the test itself are recognised by
// a word in their stack.
func noGoroutines(t testing.TB, but ...string) {
	t.Helper()
	eventually(t, "no goroutine left", func() string {
		return leakcheck.Goroutine([]string{"segmentio/kafka-go", "surestart/producer", "surestart/fsm"}, but...)
	})
}

// eventually waits until check finds nothing.
func eventually(t testing.TB, what string, check func() string) {
	t.Helper()
	const within = 10 * time.Second
	if found := leakcheck.Within(within, check); found != "" {
		t.Errorf("%s: after %v still:\n%s", what, within, found)
	}
}

func message(v string) kafka.Message { return kafka.Message{Value: []byte(v)} }

func messages(prefix string, n int) []kafka.Message {
	msgs := make([]kafka.Message, n)
	for i := range msgs {
		msgs[i] = message(fmt.Sprintf("%s-%d", prefix, i))
	}
	return msgs
}

// values counts the records of the topic by value.
func values(t testing.TB, b *testbroker.Broker, topic string) map[string]int {
	t.Helper()
	found := make(map[string]int)
	for _, r := range b.Read(t, topic) {
		found[string(r.Value)]++
	}
	return found
}

// classOf returns the one class of a message's error, and fails if there are
// none or several.
func classOf(t testing.TB, err error) error {
	t.Helper()
	var classes []error
	for _, class := range []error{ErrNotSent, ErrMaybeDelivered, ErrRejected} {
		if errors.Is(err, class) {
			classes = append(classes, class)
		}
	}
	if len(classes) != 1 {
		t.Errorf("%v is of %d classes %v, want exactly one", err, len(classes), classes)
		return nil
	}
	return classes[0]
}

func mustBe(t testing.TB, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("got %v, want an error that is %v", err, target)
		}
	}
}

// async runs f in a goroutine and returns where its result comes.
func async[T any](f func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- f() }()
	return c
}

// get waits for a result that must come.
func get[T any](t testing.TB, c <-chan T) (v T) {
	t.Helper()
	timer := time.NewTimer(hang)
	defer timer.Stop()
	select {
	case v = <-c:
	case <-timer.C:
		buf := make([]byte, 1<<20)
		t.Fatalf("nothing came within %v\n%s", hang, buf[:runtime.Stack(buf, true)])
	}
	return v
}

// until waits for what another goroutine brings about.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	began := time.Now()
	for !done() {
		if time.Since(began) > hang {
			t.Fatalf("waited %v for: %s", hang, what)
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// inFlight reports whether n messages are admitted and have no verdict.
func inFlight(p *Producer, n int64) func() bool {
	return func() bool { return undecided(p.Counters()) == n }
}

func undecided(c Counters) int64 { return c.Admitted - c.Delivered - c.NotSent - c.Rejected - c.Maybe }

// connections are those to leaders: how many there are, and how many were ever made.
func connections(p *Producer) (now, ever int) {
	c := p.Counters()
	return int(c.Connections), int(c.Connects)
}

// opened is how many connections to leaders the producer has made.
func (p *Producer) opened() int { return int(p.Counters().Connects) }

func endedContext() context.Context {
	ctx, cancel := context.WithCancel(bg)
	cancel()
	return ctx
}
