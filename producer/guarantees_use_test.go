package producer

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// The guarantees of the use and the end of a producer.

// A stop waits for the verdicts of admitted messages, also of those of a Send, whose caller does
// not wait. A caller that leaves a write withdraws it, and it does not come later (D5).
func TestG9DrainFirst(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		resume := pauseProduce(b)
		first := async(func() error { return p.WriteMessages(bg, message("waits")) })
		until(t, "the write to be under way", func() bool { return p.Counters().Requests == 1 })
		sent := send(t, p, message("sent"))
		ctx, cancel := context.WithCancel(bg)
		second := async(func() error { return p.WriteMessages(ctx, message("leaves")) })
		until(t, "all to be in flight", inFlight(p, 3))
		cancel()
		if err := get(t, second); classOf(t, err) != ErrNotSent || !errors.Is(err, context.Canceled) {
			t.Errorf("the write that left: %v", err)
		}
		stopping := async(func() error { return p.Stop(bg) })
		until(t, "the drain", func() bool { return p.State() == fsm.Stopping })
		mustBe(t, p.WriteMessages(bg, message("late")), ErrNotStarted, ErrNotSent)
		select {
		case err := <-stopping:
			t.Fatalf("Stop did not wait for the writes in flight: %v", err)
		case err := <-first:
			t.Fatalf("the write in flight ended: %v", err)
		case <-sent.Done():
			t.Fatalf("the Send in flight ended: %v", sent.Err())
		default:
		}
		resume()
		if err := get(t, stopping); err != nil {
			t.Error(err)
		}
		if err := get(t, first); err != nil {
			t.Error(err)
		}
		select { // the stop has waited for it
		case <-sent.Done():
		default:
			t.Error("Stop has returned, and a Send has no verdict")
		}
		if err := sent.Err(); err != nil {
			t.Error(err)
		}
		if found := values(t, b, topic); found["waits"] != 1 || found["sent"] != 1 || len(found) != 2 {
			t.Errorf("found %v, want waits and sent once each", found)
		}
	})
}

// pauseProduce holds produce requests until resume is called; then they are served.
func pauseProduce(b *testbroker.Broker) (resume func()) {
	gate := make(chan struct{})
	b.Fake.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		b.Fake.SleepControl(func() { <-gate })
		return nil, nil, false
	})
	return sync.OnceFunc(func() { close(gate) })
}

func TestG10UseOnlyStarted(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic})
		write := func() error { return p.WriteMessages(bg, message("x")) }
		mustBe(t, write(), ErrNotStarted, ErrNotSent)
		mustBe(t, p.Ping(bg), ErrNotStarted)
		start(t, p)
		if err := write(); err != nil {
			t.Error(err)
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		mustBe(t, write(), ErrNotStarted, ErrNotSent)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		mustBe(t, write(), ErrClosed, ErrNotSent, io.ErrClosedPipe)
		mustBe(t, p.Ping(bg), ErrClosed)
		if found := values(t, b, topic); found["x"] != 1 {
			t.Errorf("found %v, want x once", found)
		}
	})
}

func TestG11CloseIsFinal(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), StartOnWrite: true})
		start(t, p)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		mustBe(t, p.Start(bg), ErrClosed)
		mustBe(t, p.WriteMessages(bg, message("x")), ErrClosed)
		if p.State() != fsm.Closed || p.Status().Attempt != 1 {
			t.Errorf("after a Start of a closed producer: %+v", p.Status())
		}
		nothingLeft(t, b, p)
	})
}

// Whatever the brokers do, a call returns once its own context ends.
func TestG12Progress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), MaxInFlightBytes: 150})
		hung := b.Hang()
		returns := func(what string, call func(context.Context) error) {
			t.Helper()
			ctx, cancel := context.WithTimeout(bg, time.Second)
			defer cancel()
			began := time.Now()
			mustBe(t, call(ctx), context.DeadlineExceeded)
			if took := time.Since(began); took > time.Second+50*time.Millisecond {
				t.Errorf("%s took %v, want 1 s", what, took)
			}
		}
		returns("Start", p.Start)
		hung.Set(false)
		start(t, p)
		hung.Set(true)
		returns("Ping", p.Ping)
		write := func(ctx context.Context) error { return p.WriteMessages(ctx, message("x")) }
		returns("WriteMessages", write)
		// One caller stays, so that others wait for it.
		patient := async(func() error { return write(bg) })
		until(t, "the write to be in flight", func() bool { return p.Status().InFlight == 1 })
		returns("WriteMessages, for another batch", write)
		returns("WriteMessages, for room", func(ctx context.Context) error {
			return p.WriteMessages(ctx, message(strings.Repeat("x", 100)))
		})
		returns("Flush", p.Flush)
		returns("Stop", p.Stop)
		if err := get(t, patient); classOf(t, err) != ErrNotSent { // it was behind the first
			t.Errorf("the write that was cut off: %v", err)
		}
		nothingLeft(t, b, p)
	})
}

// What an old session still does has no effect on the one after it: a request that outlives a
// forced stop, and that the broker comes to only later, is not appended behind what the next
// start has written (D4); nor is the message that was cut off there twice.
func TestG13OwnGeneration(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		l := newLedger()
		if err := l.write(bg, t, p, message("before")); err != nil {
			t.Fatal(err)
		}
		// The broker holds the first request, and handles it after all, when its client is long gone.
		held, handled := make(chan struct{}), make(chan struct{})
		var requests atomic.Int32
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			if requests.Add(1) == 1 {
				b.Fake.SleepControl(func() { <-held })
				close(handled)
			}
			return nil, nil, false
		})
		write := async(func() error { return l.write(bg, t, p, message("old")) })
		until(t, "the request to be at the broker", func() bool { return requests.Load() == 1 })
		mustBe(t, p.Stop(endedContext()), context.Canceled)
		if err := get(t, write); classOf(t, err) != ErrMaybeDelivered {
			t.Error(err)
		}
		start(t, p)
		if err := l.write(bg, t, p, message("new")); err != nil {
			t.Error(err)
		}
		close(held)
		<-handled
		if err := l.write(bg, t, p, message("newer")); err != nil {
			t.Error(err)
		}
		if c := l.verify(t, b, topic); c.found != 3 {
			t.Errorf("%v; want all but the old one", c)
		}
	})
}

// Why the last attempt failed is readable until the next successful start.
func TestG14CauseKept(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := testbroker.TopicName()
		p := newProducer(t, b, Config{Topic: topic})
		mustBe(t, p.Start(bg), kafka.UnknownTopicOrPartition)
		mustBe(t, p.Status().Cause, kafka.UnknownTopicOrPartition)
		var failed *fsm.StartError
		if !errors.As(p.Status().Cause, &failed) || failed.Part != "metadata" {
			t.Errorf("cause %v, want a StartError of part metadata", p.Status().Cause)
		}
		b.CreateTopicNamed(t, topic, 1)
		start(t, p)
		if cause := p.Status().Cause; cause != nil {
			t.Errorf("after a successful start the cause is %v", cause)
		}
	})
}

// A dial that calls Start or Stop with the context that it was given does not wait
// for itself.
func TestG15NoSelfDeadlock(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		var p *Producer
		results := make(chan error, 100)
		dial := b.Dial
		if dial == nil {
			dial = new(net.Dialer).DialContext
		}
		p = newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			results <- p.Start(ctx)
			results <- p.Stop(ctx)
			return dial(ctx, network, address)
		}})
		start(t, p)
		for range 6 { // a connection for the metadata, two to the leader
			mustBe(t, get(t, results), fsm.ErrReentrant)
		}
	})
}
