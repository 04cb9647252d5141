//go:build unix

package producer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A bad network between the producer and Apache Kafka: slow, dripping, cut in the
// middle of requests. No write fails.
func badNetwork(t *testing.T, b *testbroker.OwnBroker) {
	proxy := testbroker.NewProxy(t)
	for _, fault := range []struct {
		name string
		harm func(more func(int))
	}{
		{"latency", func(more func(int)) {
			proxy.Latency(20 * time.Millisecond)
			more(100)
			proxy.Latency(0)
		}},
		{"drip", func(more func(int)) {
			proxy.Drip(20_000)
			more(100)
			proxy.Drip(0)
		}},
		{"cut-mid-request", func(more func(int)) {
			for n := range int64(40) {
				before := proxy.Cuts()
				proxy.CutAfter(1 + 7*n) // in the head of a request, in its records, between two
				until(t, "a cut", func() bool { return proxy.Cuts() > before })
				more(4)
			}
		}},
		{"cut", func(more func(int)) {
			for range 20 {
				proxy.Cut()
				more(4)
			}
		}},
	} {
		t.Run(fault.name, func(t *testing.T) {
			topic := b.CreateTopic(t, 2)
			p := newProducer(t, b.Broker, Config{Topic: topic, Dial: proxy.Dial})
			start(t, p)
			underLoad(t, b, fault.name, p, topic, 4, fault.harm)
			shutDown(t, b, p)
			eventually(t, "no connection to the proxy", func() string { return strings.Repeat("open ", proxy.Open()) })
		})
	}
}

// Half-open connections: everything is accepted and discarded. A start fails within the
// DialTimeout, a write has a true verdict, and a stop keeps its time. Once the network is back,
// everything works again.
func halfOpen(t *testing.T, b *testbroker.OwnBroker) {
	proxy := testbroker.NewProxy(t)
	topic := b.CreateTopic(t, 1)
	p := newProducer(t, b.Broker, Config{
		Topic: topic, Dial: proxy.Dial,
		DialTimeout: 3 * time.Second, WriteTimeout: time.Second,
	})
	proxy.HalfOpen(true)
	failsThenStarts(t, b.Broker, p, "metadata", func() { proxy.HalfOpen(false) }, context.DeadlineExceeded)

	start(t, p)
	l := newLedger()
	if err := l.write(bg, t, p, message("before")); err != nil {
		t.Error(err)
	}
	proxy.HalfOpen(true)
	before := proxy.Swallowed()
	ctx, leave := context.WithCancel(bg)
	m := message(fmt.Sprintf("swallowed-%01000d", 0)) // longer than any other request
	swallowed := async(func() error { return l.write(ctx, t, p, m) })
	until(t, "the request to be sent", func() bool { return proxy.Swallowed() > before+len(m.Value) })
	leave()
	if err := get(t, swallowed); classOf(t, err) != ErrMaybeDelivered {
		t.Errorf("a write into nothing: %v", err)
	}
	waits := async(func() error { return l.write(bg, t, p, message("patient")) })
	until(t, "the write to be in flight", inFlight(p, 1))
	proxy.HalfOpen(false)
	if err := get(t, waits); err != nil {
		t.Errorf("a write whose network came back: %v", err)
	}

	proxy.HalfOpen(true)
	cutOff := async(func() error { return l.write(bg, t, p, message("cut-off")) })
	until(t, "the write to be in flight", inFlight(p, 1))
	ctx, cancel := context.WithTimeout(bg, 100*time.Millisecond)
	defer cancel()
	var stopErr *StopError
	if err := p.Stop(ctx); !errors.As(err, &stopErr) || stopErr.Messages != 1 {
		t.Errorf("Stop: %v, want a StopError of one message", err)
	}
	get(t, cutOff)
	nothingLeft(t, b.Broker, p)
	proxy.HalfOpen(false)
	startsAndWrites(t, b.Broker, p)
}
