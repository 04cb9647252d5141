package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// librdkafka 382, 1476: messages expire in the queue, and are sent all the same. Wherever a message
// waits to be taken: when its caller leaves or its time is up it is ErrNotSent, with the cause, and never comes.
func TestR40ExpiredInTheQueue(t *testing.T) {
	for _, at := range []struct {
		name  string
		cfg   Config
		begin func(b *testbroker.Broker, topic string) (end func())
		cause error // besides the caller's, or the timeout
	}{
		{name: "Lingering", cfg: Config{Linger: 29 * time.Second}, begin: func(*testbroker.Broker, string) func() { return func() {} }},
		{name: "BehindABatch", cfg: Config{WriteTimeout: time.Hour}, begin: func(b *testbroker.Broker, _ string) func() {
			return pauseProduce(b)
		}},
		{name: "WithoutALeader", begin: func(b *testbroker.Broker, topic string) func() {
			var on atomic.Bool
			on.Store(true)
			leaderless(b, topic, &on)
			b.Net.Cut() // so that it looks for the leader
			return func() { on.Store(false) }
		}, cause: kafka.LeaderNotAvailable},
		{name: "WithoutABroker", begin: func(b *testbroker.Broker, _ string) func() {
			b.Net.Kill(0)
			return func() { b.Net.Revive(0) }
		}, cause: syscall.ECONNREFUSED},
	} {
		t.Run(at.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t)
				topic := b.CreateTopic(t, 2)
				l := newLedger()
				cfg := at.cfg
				cfg.Topic, cfg.Balancer, cfg.Completion = topic, toFirst, l.completion()
				p := newProducer(t, b, cfg)
				start(t, p)
				end := at.begin(b, topic)
				time.Sleep(time.Second)
				first := async(func() error { return l.write(bg, t, p, message("first")) })
				time.Sleep(time.Second)

				reason := errors.New("no more time")
				ctx, leave := context.WithTimeoutCause(bg, 5*time.Second, reason)
				defer leave()
				began := time.Now()
				left := async(func() error { return l.write(ctx, t, p, messages("left", 3)...) })
				if cfg.Linger > 0 { // its time is never up
					mustBe(t, get(t, left), ErrNotSent, reason)
					if err := errors.Join(p.Stop(bg), get(t, first)); err != nil {
						t.Error(err)
					}
					if c := l.verify(t, b, topic); c.notSent != 3 || c.acked != 1 {
						t.Errorf("%v", c)
					}
					return
				}
				var sends sync.WaitGroup
				l.send(bg, t, p, &sends, messages("expired-sent", 3)...)
				err := l.write(bg, t, p, messages("expired", 3)...)
				if took := time.Since(began); took != 30*time.Second {
					t.Errorf("it has failed after %v, want 30 s", took)
				}
				sends.Wait()
				for _, err := range []error{err, l.told["expired-sent-0"]} {
					mustBe(t, err, ErrNotSent, context.DeadlineExceeded)
					if at.cause != nil {
						mustBe(t, err, at.cause)
					}
				}
				mustBe(t, get(t, left), ErrNotSent, reason)
				get(t, first)
				end()
				later := async(func() error { return l.write(bg, t, p, message("later")) })
				if err := errors.Join(p.Flush(bg), get(t, later)); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Hour)
				if err := p.Stop(bg); err != nil {
					t.Error(err)
				}
				if c := l.verify(t, b, topic); c.notSent < 9 || c.acked == 0 {
					t.Errorf("%v", c)
				}
			})
		})
	}
}

// toFirst sends everything to partition 0.
var toFirst = kafka.BalancerFunc(func(kafka.Message, ...int) int { return 0 })

// The time of a batch runs from its oldest message: what waited behind a batch under way has lingered
// already, and what comes late does not hold up the others. Each message has a deadline of its own.
func TestR40BatchTimeIsOfItsOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 1)
		const linger = 10 * time.Second
		p := newProducer(t, b, Config{Topic: topic, Linger: linger, WriteTimeout: time.Minute, Logger: slog.New(slog.DiscardHandler)})
		start(t, p)
		resume := pauseProduce(b)
		under := send(t, p, message("under way"))
		time.Sleep(linger + time.Second)
		began := time.Now()
		oldest := async(func() error { return p.WriteMessages(bg, message("oldest")) })
		time.Sleep(4 * time.Second)
		resume()
		if err := outcome(t, under); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		late := async(func() error { return p.WriteMessages(bg, message("late")) })
		if err := errors.Join(get(t, oldest), get(t, late)); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != linger {
			t.Errorf("they were sent %v after the first had come, want %v", took, linger)
		}
		if c := p.Counters(); c.Requests != 2 {
			t.Errorf("%d requests, want 2", c.Requests)
		}

		b.Net.Kill(0)
		time.Sleep(time.Second)
		began = time.Now()
		oldest = async(func() error { return p.WriteMessages(bg, message("expires")) })
		time.Sleep(20 * time.Second)
		late = async(func() error { return p.WriteMessages(bg, message("in time")) })
		mustBe(t, get(t, oldest), ErrNotSent, context.DeadlineExceeded)
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("it expired after %v", took)
		}
		if age := p.Counters().Oldest; age != 10*time.Second {
			t.Errorf("the oldest message without a verdict is %v old, want 10 s: the expired one has its verdict", age)
		}
		b.Net.Revive(0)
		if err := get(t, late); err != nil {
			t.Errorf("what shared a batch with it: %v", err)
		}
		if found := values(t, b, topic); len(found) != 4 || found["expires"] != 0 {
			t.Errorf("found %v", found)
		}
	})
}

// A Close waits for messages that have no verdict yet, and not for those that are dead: whose time was up,
// or whose caller has left, wherever they were.
func TestR40CloseDoesNotWaitForTheDead(t *testing.T) {
	for name, begin := range map[string]func(b *testbroker.Broker, topic string){
		"WithoutABroker": func(b *testbroker.Broker, _ string) { b.Net.Kill(0) },
		"Frozen":         func(b *testbroker.Broker, _ string) { b.Net.Freeze() },
		"NoAnswer":       func(b *testbroker.Broker, _ string) { b.Hang(kmsg.Produce) },
		"WithoutALeader": func(b *testbroker.Broker, topic string) {
			on := new(atomic.Bool)
			on.Store(true)
			leaderless(b, topic, on)
			b.Net.Cut()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t)
				topic := b.CreateTopic(t, 2)
				p := newProducer(t, b, Config{Topic: topic, Balancer: toFirst, WriteTimeout: time.Hour, Logger: slog.New(slog.DiscardHandler)})
				start(t, p)
				begin(b, topic)
				time.Sleep(time.Second)
				var dead []*Delivery
				for i := range 10 {
					dead = append(dead, send(t, p, messages(fmt.Sprint("expires-", i), 3)...))
				}
				ctx, leave := context.WithTimeout(bg, 29*time.Second)
				defer leave()
				left := async(func() error { return p.WriteMessages(ctx, messages("left", 3)...) })
				mustBe(t, get(t, left), context.DeadlineExceeded)
				for _, d := range dead {
					mustBe(t, outcome(t, d), context.DeadlineExceeded)
				}
				began := time.Now()
				if err := p.Close(); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > 50*time.Millisecond {
					t.Errorf("Close took %v, and nothing is pending", took)
				}
			})
		})
	}
}

// librdkafka 3489, confluent-kafka-dotnet 1670, fluent-bit 5593: a flush or close sits out the linger.
// Flush, Stop, Shutdown and Close send at once what lingers, in all partitions, of writes and Sends.
func TestR44FlushAndCloseSitOutTheLinger(t *testing.T) {
	for name, end := range map[string]func(p *Producer) error{
		"Flush":    func(p *Producer) error { return p.Flush(bg) },
		"Stop":     func(p *Producer) error { return p.Stop(bg) },
		"Shutdown": func(p *Producer) error { return p.Shutdown(bg) },
		"Close":    (*Producer).Close,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t)
				topics := []string{b.CreateTopic(t, 3), b.CreateTopic(t, 2)}
				l := newLedger()
				p := newProducer(t, b, Config{Topics: topics, Linger: time.Hour, DeliveryTimeout: 2 * time.Hour, Balancer: new(kafka.RoundRobin), Completion: l.completion()})
				start(t, p)
				var wg sync.WaitGroup
				for i := range 20 {
					m := kafka.Message{Topic: topics[i%2], Value: fmt.Append(nil, i)}
					if i < 10 {
						wg.Go(func() { l.write(bg, t, p, m) })
					} else {
						l.send(bg, t, p, &wg, m)
					}
				}
				time.Sleep(time.Minute)
				if n := undecided(p.Counters()); n != 20 {
					t.Fatalf("%d messages linger, want 20", n)
				}
				began := time.Now()
				if err := end(p); err != nil {
					t.Error(err)
				}
				wg.Wait()
				if took := time.Since(began); took > 50*time.Millisecond {
					t.Errorf("it took %v", took)
				}
				if c := l.verify(t, b, topics...); c.acked != 20 {
					t.Errorf("%v", c)
				}
			})
		})
	}
}

// A call that waits for room does not sit out the linger of those that have it; nothing lingers
// while it waits, and then messages linger again.
func TestR44WaitingForRoomEndsTheLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 4)
		p := newProducer(t, b, Config{Topic: topic, Linger: time.Hour, DeliveryTimeout: 2 * time.Hour, MaxInFlightBytes: 2000, Balancer: new(kafka.RoundRobin)})
		start(t, p)
		began := time.Now()
		var all []*Delivery
		for i := range 50 {
			m := message(fmt.Sprint(i))
			m.Key = make([]byte, 100)
			all = append(all, send(t, p, m))
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("50 Sends of which a few have room took %v", took)
		}
		time.Sleep(time.Minute)
		c := p.Counters()
		if n := undecided(c); n == 0 || n == 50 || c.Waiting != 0 {
			t.Errorf("%d linger, %d wait", n, c.Waiting)
		}
		if err := p.Flush(bg); err != nil {
			t.Error(err)
		}
		for _, d := range all {
			if err := outcome(t, d); err != nil {
				t.Error(err)
			}
		}
		if found := values(t, b, topic); len(found) != 50 {
			t.Errorf("%d messages found", len(found))
		}
	})
}
