package producer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/spec"
)

// The guarantees of a lifecycle, as a user of a producer sees them on a broker.

func TestG1SingleFlight(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 2)})
		before := 0
		if b.Fake != nil {
			before = b.Accepted()
		}
		results := make(chan error, 100)
		for range cap(results) {
			go func() { results <- p.Start(bg) }()
		}
		for range cap(results) {
			if err := get(t, results); err != nil {
				t.Error(err)
			}
		}
		if n := p.Status().Attempt; n != 1 {
			t.Errorf("%d attempts, want 1", n)
		}
		if b.Fake != nil {
			// One for the metadata, one for the leader.
			if n := b.Accepted() - before; n != 2 {
				t.Errorf("the broker saw %d connections, want 2", n)
			}
		}
	})
}

func TestG2Idempotence(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1)})
		for range 2 {
			if err := p.Stop(bg); err != nil {
				t.Fatal(err)
			}
		}
		start(t, p)
		_, dials := p.current.Load().dialer.open()
		start(t, p)
		if _, again := p.current.Load().dialer.open(); again != dials {
			t.Errorf("the second Start dialled: %d connections, then %d", dials, again)
		}
		for range 2 {
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Start returned nil: the brokers were reached, the leaders are connected. The
// first write dials nothing.
func TestG3StartedIsOpen(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 3)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		if held := p.Status().Held; !slices.Equal(held, []string{"transport", "writer"}) {
			t.Errorf("held %q, want transport and writer", held)
		}
		s := p.current.Load()
		_, dials := s.dialer.open()
		for i := range 10 {
			if err := p.WriteMessages(bg, message(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		if _, after := s.dialer.open(); after > dials {
			t.Errorf("the writes dialled %d times", after-dials)
		}
		if found := values(t, b, topic); len(found) != 10 {
			t.Errorf("%d different messages found, want 10", len(found))
		}
	})
}

// An attempt that fails at any part gives back all that it had acquired, and the
// next one works.
func TestG4Rollback(t *testing.T) {
	for _, at := range []struct {
		part string
		key  kmsg.Key
	}{{"metadata", kmsg.Metadata}, {"leaders", kmsg.ListOffsets}, {"permission", kmsg.Produce}} {
		t.Run(at.part, func(t *testing.T) {
			testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
				p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 2), CheckWritePermission: true})
				var broken atomic.Bool
				broken.Store(true)
				b.Fake.ControlKey(at.key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
					b.Fake.KeepControl()
					return nil, errors.New("cut"), broken.Load() // closes the connection
				})
				err := p.Start(bg)
				var failed *fsm.StartError
				if !errors.As(err, &failed) || failed.Part != at.part || failed.Rollback != nil {
					t.Fatalf("Start: %v, want a StartError of part %s", err, at.part)
				}
				nothingLeft(t, b, p)
				broken.Store(false)
				start(t, p)
				if err := p.WriteMessages(bg, message("x")); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A Start that comes while a failed attempt is being rolled back gets a result of
// its own, not that attempt's error.
func TestG5NoStaleFailure(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := testbroker.TopicName()
		var p *Producer
		second := make(chan (<-chan error), 1)
		p = newProducer(t, b, Config{Topic: topic, Lifecycle: []fsm.Option{fsm.WithObserver(func(tr fsm.Transition) {
			if tr.Event == spec.EventFailed && tr.Attempt == 1 {
				b.CreateTopicNamed(t, topic, 1)
				second <- async(func() error { return p.Start(bg) })
			}
		})}})
		mustBe(t, p.Start(bg), kafka.UnknownTopicOrPartition)
		if err := get(t, get(t, second)); err != nil {
			t.Errorf("the second Start got %v", err)
		}
	})
}

// A caller that gives up leaves alone: the attempt goes on for the others.
func TestG6NoForeignCancellation(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1)})
		hung := b.Hang(kmsg.ListOffsets)
		ctx, cancel := context.WithCancelCause(bg)
		first := async(func() error { return p.Start(ctx) })
		until(t, "the attempt to be asking a leader", func() bool { return hung.Hits() > 0 })
		others := []<-chan error{async(func() error { return p.Start(bg) }), async(func() error { return p.Start(bg) })}
		until(t, "all to wait", func() bool { return p.Status().Waiters == 3 })

		reason := errors.New("had enough")
		cancel(reason)
		mustBe(t, get(t, first), reason)
		if st := p.Status(); st.State != spec.Starting || st.Attempt != 1 {
			t.Errorf("after one had left: %+v, want Starting, attempt 1", st)
		}
		// The last ones leave by a Stop; the attempt is theirs no more.
		hung.Set(false)
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		for _, o := range others {
			mustBe(t, get(t, o), ErrStopped)
		}
		nothingLeft(t, b, p)
	})
}

func TestG7NoLeak(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 3)
		p := newProducer(t, b, Config{Topic: topic})
		for i := range 5 {
			start(t, p)
			if err := p.WriteMessages(bg, messages(fmt.Sprint(i), 10)...); err != nil {
				t.Fatal(err)
			}
			if err := p.Ping(bg); err != nil {
				t.Fatal(err)
			}
			if err := p.Stop(bg); err != nil {
				t.Fatal(err)
			}
			nothingLeft(t, b, p)
		}
		if found := values(t, b, topic); len(found) != 50 {
			t.Errorf("%d messages found, want 50", len(found))
		}
	})
}

func TestG8StopWins(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		for name, stop := range map[string]struct {
			call func(*Producer) error
			want error
		}{
			"Stop":     {func(p *Producer) error { return p.Stop(bg) }, ErrStopped},
			"Shutdown": {func(p *Producer) error { return p.Shutdown(bg) }, ErrClosed},
			"Close":    {(*Producer).Close, ErrClosed},
		} {
			p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1)})
			hung := b.Hang(kmsg.ListOffsets)
			starting := async(func() error { return p.Start(bg) })
			until(t, "the attempt to be asking a leader", func() bool { return hung.Hits() > 0 })
			if err := stop.call(p); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			mustBe(t, get(t, starting), stop.want)
			nothingLeft(t, b, p)
			hung.Set(false)
		}
	})
}

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
		until(t, "both writes to be in flight", func() bool { return p.current.Load().pending.Load() == 2 })
		cancel()
		if err := get(t, second); classOf(t, err) != ErrMaybeDelivered || !errors.Is(err, context.Canceled) {
			t.Errorf("the write that left: %v", err)
		}
		stopping := async(func() error { return p.Stop(bg) })
		until(t, "the drain", func() bool { return p.State() == spec.Stopping })
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
		if p.State() != spec.Closed || p.Status().Attempt != 1 {
			t.Errorf("after a Start of a closed producer: %+v", p.Status())
		}
		nothingLeft(t, b, p)
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
