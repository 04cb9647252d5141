package producer

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// The guarantees of the use and the end of a producer.

// A stop waits for the writes in flight, also for those whose callers have left.
func TestG9DrainFirst(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		resume := pauseProduce(b)
		first := async(func() error { return p.WriteMessages(bg, message("waits")) })
		until(t, "the write to be in flight", func() bool { return p.Status().InFlight == 1 })
		ctx, cancel := context.WithCancel(bg)
		second := async(func() error { return p.WriteMessages(ctx, message("leaves")) })
		until(t, "both writes to be in flight", inFlight(p, 2))
		cancel()
		if err := get(t, second); classOf(t, err) != ErrMaybeDelivered || !errors.Is(err, context.Canceled) {
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
		default:
		}
		resume()
		if err := get(t, stopping); err != nil {
			t.Error(err)
		}
		if err := get(t, first); err != nil {
			t.Error(err)
		}
		if found := values(t, b, topic); found["waits"] != 1 || found["leaves"] != 1 || len(found) != 2 {
			t.Errorf("found %v, want waits and leaves once each", found)
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
		// One that stays, so that others wait for it.
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

// What an old session still does has no effect on the one after it.
func TestG13OwnGeneration(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		old := p.current.Load()
		hung := b.Hang(kmsg.Produce)
		write := async(func() error { return p.WriteMessages(bg, message("old")) })
		until(t, "the write to hang", func() bool { return hung.Hits() > 0 })
		ended, cancel := context.WithCancel(bg)
		cancel()
		mustBe(t, p.Stop(ended), context.Canceled)
		hung.Set(false)
		start(t, p)
		if err := get(t, write); classOf(t, err) != ErrMaybeDelivered {
			t.Error(err)
		}
		old.close(ended) // again, late
		if err := p.WriteMessages(bg, message("new")); err != nil {
			t.Error(err)
		}
		if found := values(t, b, topic); found["new"] != 1 || found["old"] != 0 {
			t.Errorf("found %v, want new once", found)
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
