package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/leakcheck"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/producer/internal/connection"
)

// config has the defaults of a producer.
func config(b *testbroker.Broker, topics ...string) Config {
	return Config{
		Brokers: b.Addrs, Connection: &connection.Config{Dial: b.Dial, Timeout: 5 * time.Second, ClientID: "test"}, Topics: topics,
		Mode: core.Idempotent, Acks: -1, BatchSize: 10_000, BatchBytes: 1 << 20, RequestBytes: 8 << 20, MaxInFlight: 64 << 20,
		ConnectionsPerBroker: 2, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, DeliveryTimeout: 30 * time.Second,
	}
}

// packages are those whose goroutines must not be left.
var packages = []string{"producer/internal/engine.", "producer/internal/sender.", "producer/internal/cluster.", "producer/internal/connection."}

// start starts an Engine that is stopped at the end of the test, which must leave nothing.
func start(t testing.TB, cfg Config) *Engine {
	t.Helper()
	e := New(cfg)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := e.Start(ctx, ignore); err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := e.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
		leavesNothing(t, e)
	})
	return e
}

func leavesNothing(t testing.TB, e *Engine) {
	t.Helper()
	if _, bench := t.(*testing.B); !bench { // whose own goroutines are like those
		leakcheck.Eventually(t, "nothing left", func() string { return leakcheck.Goroutine(packages) })
	}
	if n := e.room.used.Load(); n != 0 {
		t.Errorf("%d bytes are in flight, and no message", n)
	}
	for _, p := range e.partitions() {
		if n := p.Held(); n != 0 {
			t.Errorf("partition %d of %s holds %d bytes, and no message", p.Number(), p.Topic(), n)
		}
	}
}

// ignore is the part of a Start whose parts do not matter.
func ignore(string) {}

// A sent is a Send that was admitted.
type sent struct {
	Delivery
	done chan struct{} // closed when each message has its verdict
	err  error         // then
}

func (d *sent) ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

func send(ctx context.Context, e *Engine, msgs ...kafka.Message) (*sent, error) {
	d := &sent{done: make(chan struct{})}
	d.Ended = func(err error) {
		d.err = err
		close(d.done)
	}
	return d, e.Send(ctx, time.Now(), &d.Delivery, msgs...)
}

func message(v string) kafka.Message { return kafka.Message{Value: []byte(v)} }

// values returns the messages in the log, by partition.
func values(t testing.TB, b *testbroker.Broker, topic string) map[int32][]string {
	t.Helper()
	all := make(map[int32][]string)
	for _, r := range b.Read(t, topic) {
		all[r.Partition] = append(all[r.Partition], string(r.Value))
	}
	return all
}

// Every message is in the log once, in the order of its writer.
func TestDelivers(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 4)
		e := start(t, config(b, topic))
		deliver(t, e, 8, 50, 20)
		verify(t, b, topic, 8, 50*20)
	})
}

// deliver writes from several writers, each with a key of its own.
func deliver(t testing.TB, e *Engine, writers, calls, batch int) {
	t.Helper()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range calls {
				msgs := make([]kafka.Message, batch)
				for k := range msgs {
					msgs[k] = kafka.Message{Key: []byte(strconv.Itoa(w)), Value: fmt.Appendf(nil, "%d", i*batch+k)}
				}
				if err := e.Write(context.Background(), time.Now(), msgs...); err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
			}
		})
	}
	wg.Wait()
}

// verify finds each of n messages of each writer once, in order.
func verify(t testing.TB, b *testbroker.Broker, topic string, writers, n int) {
	t.Helper()
	next := make(map[string]int)
	for _, r := range b.Read(t, topic) {
		key := string(r.Key)
		if got, _ := strconv.Atoi(string(r.Value)); got != next[key] {
			t.Fatalf("writer %s: message %d where %d belongs", key, got, next[key])
		}
		next[key]++
	}
	for w := range writers {
		if got := next[strconv.Itoa(w)]; got != n {
			t.Errorf("writer %d: %d of %d messages are in the log", w, got, n)
		}
	}
}

// eachOutside is testbroker.Each without virtual time, in which the decompressors of franz-go
// cannot end.
func eachOutside(t *testing.T, test func(t *testing.T, b *testbroker.Broker)) {
	t.Run("kfake", func(t *testing.T) { test(t, testbroker.Fake(t)) })
	t.Run("kafka", func(t *testing.T) { test(t, testbroker.Real(t)) })
}

func TestModes(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		for acks, mode := range map[int16]core.Mode{1: core.Acknowledged, 0: core.Unanswered, -1: core.Acknowledged} {
			topic := b.CreateTopic(t, 1)
			cfg := config(b, topic)
			cfg.Mode, cfg.Acks = mode, acks
			e := New(cfg)
			if err := e.Start(t.Context(), ignore); err != nil {
				t.Fatal(err)
			}
			for i := range 10 {
				if err := e.Write(t.Context(), time.Now(), message(strconv.Itoa(i))); err != nil {
					t.Errorf("acks %d: %v", acks, err)
				}
			}
			if err := e.Stop(t.Context()); err != nil {
				t.Errorf("acks %d: Stop: %v", acks, err)
			}
			if acks == 0 {
				leakcheck.Eventually(t, "messages", func() string {
					if n := len(values(t, b, topic)[0]); n != 10 {
						return fmt.Sprintf("%d messages", n)
					}
					return ""
				})
			} else if n := len(values(t, b, topic)[0]); n != 10 {
				t.Errorf("acks %d: %d messages", acks, n)
			}
			leavesNothing(t, e)
		}
	})
}

func TestCompressions(t *testing.T) {
	eachOutside(t, func(t *testing.T, b *testbroker.Broker) {
		for _, c := range []kafka.Compression{kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
			topic := b.CreateTopic(t, 2)
			cfg := config(b, topic)
			cfg.Compression = c
			e := New(cfg)
			if err := e.Start(t.Context(), ignore); err != nil {
				t.Fatal(err)
			}
			deliver(t, e, 4, 10, 50)
			if err := e.Stop(t.Context()); err != nil {
				t.Errorf("%v: Stop: %v", c, err)
			}
			verify(t, b, topic, 4, 500)
			leavesNothing(t, e)
		}
	})
}

// What was written before a stop and after the next start stands in order, with the same
// producer id.
func TestRestarts(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		e := New(config(b, topic))
		for i := range 5 {
			if err := e.Write(t.Context(), time.Now(), message("no")); !errors.Is(err, fsm.ErrNotStarted) {
				t.Errorf("Write before Start: %v", err)
			}
			if err := e.Start(t.Context(), ignore); err != nil {
				t.Fatal(err)
			}
			for k := range 3 {
				if err := e.Write(t.Context(), time.Now(), message(fmt.Sprint(3*i+k))); err != nil {
					t.Error(err)
				}
			}
			if err := e.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			leavesNothing(t, e)
		}
		ids := make(map[int64]bool)
		for i, r := range b.Read(t, topic) {
			ids[r.ProducerID] = true
			if string(r.Value) != strconv.Itoa(i) {
				t.Errorf("offset %d has %s", i, r.Value)
			}
		}
		if len(ids) != 1 {
			t.Errorf("%d producer ids", len(ids))
		}
	})
}

// What lingers shares a request, and is sent at once by Flush and by Stop (R44).
func TestD7Linger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.SeedTopics(1, "t"))
		cfg := config(b, "t")
		cfg.Linger = time.Second
		e := start(t, cfg)
		var wg sync.WaitGroup
		write := func() {
			wg.Go(func() {
				if err := e.Write(t.Context(), time.Now(), message("x")); err != nil {
					t.Error(err)
				}
			})
		}
		began := time.Now()
		for range 10 {
			write()
			time.Sleep(50 * time.Millisecond)
		}
		wg.Wait()
		if took := time.Since(began); took < time.Second || took > 1100*time.Millisecond {
			t.Errorf("messages lingered for %v", took)
		}
		write()
		synctest.Wait()
		began = time.Now()
		if err := e.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("Flush took %v", took)
		}
		write()
		synctest.Wait()
		began = time.Now()
		if err := e.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("Stop took %v", took)
		}
		wg.Wait()
		if n := len(values(t, b, "t")[0]); n != 12 {
			t.Errorf("%d messages", n)
		}
	})
}

// A lone write takes few allocations (budget: 12), the broker's not counted.
func TestAllocations(t *testing.T) {
	b := testbroker.Real(t) // the embedded one allocates in this process
	e := start(t, config(b, b.CreateTopic(t, 1)))
	m := message("x")
	n := math.Inf(1)
	for range 100 { // with the race detector a pool drops what it is given, at random
		n = min(n, testing.AllocsPerRun(10, func() {
			if err := e.Write(context.Background(), time.Now(), m); err != nil {
				t.Error(err)
			}
		}))
	}
	if n > 12 {
		t.Errorf("%v allocations a write", n)
	}
	t.Logf("%v allocations a write", n)
}
