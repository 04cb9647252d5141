package producer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Bugs that really happened, elsewhere; each test says where and what.

// aiokafka 1143: two starts, two senders, a busy loop.
func TestR1TwoStartsTwoSenders(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic})
		first, second := async(func() error { return p.Start(bg) }), async(func() error { return p.Start(bg) })
		if err := errors.Join(get(t, first), get(t, second)); err != nil {
			t.Fatal(err)
		}
		if err := p.WriteMessages(bg, messages("m", 10)...); err != nil {
			t.Fatal(err)
		}
		if n := p.Status().Attempt; n != 1 {
			t.Errorf("%d attempts, want 1", n)
		}
		if records := b.Read(t, topic); len(records) != 10 {
			t.Errorf("%d records, want 10: each message once", len(records))
		}
	})
}

// aiokafka 1143, as proposed: the second of two concurrent starts reports success
// while the first is still bootstrapping, which then fails.
func TestR2SecondStartSucceedsWhileFirstFails(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), ConnectionsPerBroker: 1})
		fail := make(chan struct{})
		asked := make(chan struct{}, 10)
		inPart(b, "leaders", func() (kmsg.Response, error, bool) {
			asked <- struct{}{}
			b.Fake.SleepControl(func() { <-fail })
			return nil, errors.New("cut"), true
		})
		first := async(func() error { return p.Start(bg) })
		get(t, asked)
		second := async(func() error { return p.Start(bg) })
		until(t, "both to wait", func() bool { return p.Status().Waiters == 2 })
		select {
		case err := <-first:
			t.Fatalf("the first returned %v while the leader had not answered", err)
		case err := <-second:
			t.Fatalf("the second returned %v while the leader had not answered", err)
		default:
		}
		close(fail)
		var failed *fsm.StartError
		for _, c := range []<-chan error{first, second} {
			if err := get(t, c); !errors.As(err, &failed) || failed.Part != "leaders" {
				t.Errorf("got %v, want a StartError of part leaders", err)
			}
		}
		nothingLeft(t, b, p)
	})
}

// aiokafka 1143, as proposed: a cancelled start leaves "started" set; the retry
// does nothing and nothing sends.
func TestR5CancelledStartLeavesStartedSet(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic})
		hung := hangIn(b, "leaders")
		ctx, cancel := context.WithCancel(bg)
		starting := async(func() error { return p.Start(ctx) })
		until(t, "the attempt to hang", func() bool { return hung.hits.Load() > 0 })
		cancel()
		mustBe(t, get(t, starting), context.Canceled)
		hung.on.Store(false)
		start(t, p)
		if err := p.WriteMessages(bg, message("x")); err != nil {
			t.Fatal(err)
		}
		if found := values(t, b, topic); found["x"] != 1 {
			t.Errorf("found %v, want x once", found)
		}
	})
}

// sarama's NewAsyncProducer, aiokafka 715: each failed start leaks a client.
func TestR8FailedStartsLeakClients(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: testbroker.TopicName()})
		for i := range 5 {
			err := p.Start(bg)
			mustBe(t, err, kafka.UnknownTopicOrPartition)
			var topicErr *TopicError
			if !errors.As(err, &topicErr) || topicErr.Topic != p.cfg.Topic {
				t.Errorf("%v does not name the topic", err)
			}
			nothingLeft(t, b, p)
			if n := p.Status().Attempt; n != uint64(i+1) {
				t.Errorf("attempt %d, want %d", n, i+1)
			}
		}
	})
}

// uber/fx 1035: the rollback runs with the start context, which has expired, and
// so releases nothing.
func TestR9RollbackOnExpiredContext(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 3)})
		hung := hangIn(b, "leaders")
		ctx, cancel := context.WithTimeout(bg, 50*time.Millisecond)
		defer cancel()
		mustBe(t, p.Start(ctx), context.DeadlineExceeded)
		until(t, "the rollback", func() bool { return p.State() == fsm.Idle })
		nothingLeft(t, b, p)
		hung.on.Store(false)
		start(t, p)
	})
}

// aiokafka, CometBFT, dskit 409: a stop during a start returns at once; then the
// start completes and stays up for good.
func TestR14StopDuringStart(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), ConnectionsPerBroker: 1})
		answer := make(chan struct{})
		asked := make(chan struct{}, 10)
		inPart(b, "leaders", func() (kmsg.Response, error, bool) {
			asked <- struct{}{}
			b.Fake.SleepControl(func() { <-answer })
			return nil, nil, false
		})
		starting := async(func() error { return p.Start(bg) })
		get(t, asked)
		if err := p.Stop(bg); err != nil {
			t.Fatal(err)
		}
		close(answer) // the leader would answer now
		mustBe(t, get(t, starting), ErrStopped)
		nothingLeft(t, b, p)
		if p.State() != fsm.Idle {
			t.Errorf("state %v, want Idle", p.State())
		}
	})
}

// golang 20239, gofr 4139: a final stop that comes before the start is forgotten.
func TestR15ShutdownBeforeStart(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		for _, stop := range []func(*Producer) error{(*Producer).Close, func(p *Producer) error { return p.Shutdown(bg) }} {
			p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), StartOnWrite: true})
			if err := stop(p); err != nil {
				t.Fatal(err)
			}
			mustBe(t, p.Start(bg), ErrClosed)
			mustBe(t, p.WriteMessages(bg, message("x")), ErrClosed, ErrNotSent)
			if p.current.Load() != nil {
				t.Error("something was opened")
			}
		}
	})
}

// otel-contrib 31927: a Stop before any Start panics.
func TestR16StopNeverStarted(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: "t"})
		if err := errors.Join(p.Stop(bg), p.Shutdown(bg), p.Close()); err != nil {
			t.Error(err)
		}
		if s := p.Stats(); s.Messages != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// kafka-go 1307: a Close that races a write never returns.
func TestR20CloseRacingWrite(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 8)
		for i := range 10 {
			p := newProducer(t, b, Config{Topic: topic})
			start(t, p)
			var wg sync.WaitGroup
			written := make(chan struct{}) // virtual time stands still while they write
			begun := sync.OnceFunc(func() { close(written) })
			for w := range 8 {
				wg.Go(func() {
					for j := 0; ; j++ {
						if err := p.WriteMessages(bg, message(fmt.Sprint(i, w, j))); err != nil {
							mustBe(t, err, ErrClosed, io.ErrClosedPipe)
							return
						}
						begun()
					}
				})
			}
			<-written
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			wg.Wait()
		}
	})
}

// sarama 1017, 2647: closing twice panics.
func TestR21CloseTwice(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1)})
		start(t, p)
		closes := make([]<-chan error, 10)
		for i := range closes {
			closes[i] = async(p.Close)
		}
		for _, c := range closes {
			if err := get(t, c); err != nil {
				t.Error(err)
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// sarama 1441, confluent-kafka-go 909: a send after close panics.
func TestR22WriteAfterClose(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1)})
		start(t, p)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		mustBe(t, p.WriteMessages(bg, message("x")), ErrClosed, io.ErrClosedPipe, ErrNotSent)
		mustBe(t, p.WriteMessages(bg), ErrClosed)
	})
}

// kafka-go 602, 805: a WaitGroup is reused while it is waited for. Writes, pings,
// statistics, starts and stops, all at once.
func TestR23EverythingAtOnce(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 4), StartOnWrite: true})
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := range 50 {
					if err := p.WriteMessages(bg, message(fmt.Sprint(w, i))); err != nil {
						classOf(t, err)
					}
					if err := p.Ping(bg); err != nil && p.State() == fsm.Closed {
						t.Error(err)
					}
					p.Stats()
					_ = p.Status()
				}
			})
		}
		for range 2 {
			wg.Go(func() {
				for range 20 {
					if err := p.Start(bg); err != nil {
						mustBe(t, err, ErrStopped)
					}
					if err := p.Stop(bg); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	})
}

// franz-go 847: close hangs when the client never connected.
func TestR25CloseNeverConnected(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		refused := errors.New("connection refused")
		p := newProducer(t, b, Config{Topic: "t", Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, refused
		}})
		mustBe(t, p.Start(bg), refused)
		mustBe(t, p.WriteMessages(bg, message("x")), ErrNotStarted)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		nothingLeft(t, b, p)

		dialing := make(chan struct{}, 10)
		q := newProducer(t, b, Config{Topic: "t", Dial: hangingDial(dialing)})
		starting := async(func() error { return q.Start(bg) })
		get(t, dialing)
		if err := q.Close(); err != nil {
			t.Error(err)
		}
		mustBe(t, get(t, starting), ErrClosed)
		nothingLeft(t, b, q)
	})
}

// hangingDial never connects, as with a host that drops every packet.
func hangingDial(dialing chan<- struct{}) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		dialing <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
}

// kafka-go 599, 803, 1358: goroutines survive Close.
func TestR32GoroutinesSurviveClose(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 4)
		for i := range 20 {
			p, err := New(Config{Brokers: b.Addrs, Dial: b.Dial, Topic: topic})
			if err != nil {
				t.Fatal(err)
			}
			start(t, p)
			if err := p.WriteMessages(bg, messages(fmt.Sprint(i), 4)...); err != nil {
				t.Error(err)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if now, ever := connections(p); now != 0 || ever == 0 {
				t.Errorf("%d of %d connections still open", now, ever)
			}
		}
		noGoroutines(t)
		if n := b.Sockets(t); b.Dial == nil && n != 0 {
			t.Errorf("%d sockets open", n)
		}
	})
}
