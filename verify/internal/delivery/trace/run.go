package trace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/record"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/producer"
	model "github.com/seed3893aba4/surestart/spec/delivery"
)

// A run is a running producer whose trace is recorded.
type run struct {
	t      testing.TB
	b      *testbroker.Broker
	topic  string
	net    *testbroker.Lossy
	p      *producer.Producer
	old    int // one message in so many is of an hour ago; 0: none
	most   int // messages
	trace  *Trace
	record Recorder

	mu   sync.Mutex
	rand *rand.Rand
	told map[string]core.Verdict
	next int
}

// begin makes a producer and starts it.
func begin(t testing.TB, b *testbroker.Broker, topic string, seed uint64, mode Mode, limits core.Limits, set func(*producer.Config)) *run {
	t.Helper()
	r := &run{
		t: t, b: b, topic: topic, told: make(map[string]core.Verdict), rand: rand.New(rand.NewPCG(seed, 1)),
		net:  testbroker.NewLossy(b, nil),
		most: model.Capacity, trace: &Trace{Mode: mode, Leader: Kafka, Limits: limits},
	}
	var mu sync.Mutex
	faults := rand.New(rand.NewPCG(seed, 2))
	r.net.Draw = func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return faults.IntN(n)
	}
	if b.Fake != nil {
		r.trace.Leader = Kfake
	}
	if limits == (core.Limits{}) {
		r.trace.Limits = core.KafkaLimits
	}
	cfg := producer.Config{
		Brokers: b.Addrs, Topic: topic, Dial: r.net.Dial, Logger: slog.New(slog.DiscardHandler),
		WriteTimeout: 2 * time.Second, ReadTimeout: 2 * time.Second, DialTimeout: time.Second, DeliveryTimeout: 5 * time.Second,
	}
	cfg.Acks = producer.Acks(mode.Acks) // both count All, One, None
	if !mode.Idempotent {
		cfg.Idempotence = producer.IdempotenceOff
	}
	if set != nil {
		set(&cfg)
	}
	record.Into(&cfg, record.Hook{Event: r.record.Event, Limits: limits})
	p, err := producer.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.p = p
	r.start()
	return r
}

func (r *run) start() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.p.Start(ctx); err != nil {
		r.t.Fatalf("Start: %v", err)
	}
}

// upTo draws a number.
func (r *run) upTo(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rand.IntN(n)
}

// write writes n messages of size bytes for a writer, whose messages are in one partition, and
// records the caller's results. It writes no more than there is room for.
func (r *run) write(ctx context.Context, writer, n, size int) {
	r.mu.Lock()
	n = min(n, r.most-r.next)
	msgs := make([]kafka.Message, n)
	values := make([]string, n)
	for i := range msgs {
		values[i] = fmt.Sprintf("%d.%0*d", writer, max(size-len(strconv.Itoa(writer))-1, 1), r.next)
		r.next++
		msgs[i] = kafka.Message{Key: []byte(strconv.Itoa(writer)), Value: []byte(values[i])}
		if r.old > 0 && r.rand.IntN(r.old) == 0 {
			msgs[i].Time = time.Now().Add(-time.Hour)
		}
	}
	r.mu.Unlock()
	if n <= 0 {
		return
	}
	err := r.p.WriteMessages(ctx, msgs...)
	var each kafka.WriteErrors
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, v := range values {
		one := err
		if errors.As(err, &each) {
			one = each[i]
		}
		r.told[v] = verdictOf(one)
	}
}

// room reports whether there is room for more messages.
func (r *run) room() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next < r.most
}

func verdictOf(err error) core.Verdict {
	switch {
	case err == nil:
		return core.Delivered
	case errors.Is(err, producer.ErrNotSent):
		return core.NotSent
	case errors.Is(err, producer.ErrRejected):
		return core.Rejected
	case errors.Is(err, producer.ErrMaybeDelivered):
		return core.Maybe
	}
	return 0
}

// force stops the producer, and forces the stop after patience.
func (r *run) force(patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = r.p.Stop(ctx)
	ctx, cancel = context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := r.p.Wait(ctx, fsm.Idle); err != nil {
		r.t.Errorf("not stopped: %v", err)
	}
}

// finish stops the producer, reads the log, and returns the trace.
func (r *run) finish(name string, partitions int) *Trace {
	r.t.Helper()
	r.net.Calm()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.p.Shutdown(ctx); err != nil {
		r.t.Errorf("Shutdown: %v", err)
	}
	time.Sleep(time.Second) // what is on its way has come by then
	t := r.trace
	t.Name, t.Events, t.Told = name, r.record.Events(), maps.Clone(r.told)
	t.Logs = make([][]Entry, partitions)
	for _, rec := range r.b.Read(r.t, r.topic) {
		t.Logs[rec.Partition] = append(t.Logs[rec.Partition], Entry{string(rec.Value), rec.ProducerID, rec.ProducerEpoch})
	}
	return t
}
