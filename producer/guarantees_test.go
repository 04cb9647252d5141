package producer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
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
			// One for the metadata, two to the leader.
			if n := b.Accepted() - before; n != 3 {
				t.Errorf("the broker saw %d connections, want 3", n)
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
		_, dials := connections(p)
		start(t, p)
		if _, again := connections(p); again != dials {
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
		if held := p.Status().Held; !slices.Equal(held, []string{"engine"}) {
			t.Errorf("held %q, want the engine", held)
		}
		_, dials := connections(p)
		for i := range 10 {
			// kafka-go hands on an answer before it takes the connection back: a write that
			// comes in between dials. In virtual time it has taken it back after any pause.
			time.Sleep(time.Millisecond)
			if err := p.WriteMessages(bg, message(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		if _, after := connections(p); after > dials && b.Name == "virtual" {
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
	for _, part := range []string{"metadata", "producer id", "leaders", "permission"} {
		t.Run(part, func(t *testing.T) {
			testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
				p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 2), CheckWritePermission: true})
				var broken atomic.Bool
				broken.Store(true)
				inPart(b, part, func() (kmsg.Response, error, bool) {
					return nil, errors.New("cut"), broken.Load() // closes the connection
				})
				err := p.Start(bg)
				var failed *fsm.StartError
				if !errors.As(err, &failed) || failed.Part != part || failed.Rollback != nil {
					t.Fatalf("Start: %v, want a StartError of part %s", err, part)
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
			if tr.Event == fsm.EventFailed && tr.Attempt == 1 {
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
		hung := hangIn(b, "leaders")
		ctx, cancel := context.WithCancelCause(bg)
		first := async(func() error { return p.Start(ctx) })
		until(t, "the attempt to be asking a leader", func() bool { return hung.hits.Load() > 0 })
		others := []<-chan error{async(func() error { return p.Start(bg) }), async(func() error { return p.Start(bg) })}
		until(t, "all to wait", func() bool { return p.Status().Waiters == 3 })

		reason := errors.New("had enough")
		cancel(reason)
		mustBe(t, get(t, first), reason)
		if st := p.Status(); st.State != fsm.Starting || st.Attempt != 1 {
			t.Errorf("after one had left: %+v, want Starting, attempt 1", st)
		}
		// The last ones leave by a Stop; the attempt is theirs no more.
		hung.on.Store(false)
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
			hung := hangIn(b, "leaders")
			starting := async(func() error { return p.Start(bg) })
			until(t, "the attempt to be asking a leader", func() bool { return hung.hits.Load() > 0 })
			if err := stop.call(p); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			mustBe(t, get(t, starting), stop.want)
			nothingLeft(t, b, p)
			hung.on.Store(false)
		}
	})
}
