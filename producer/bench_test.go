package producer

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Side by side: the Producer, and kafka-go's Writer, synchronous, with what
// suits it (its own defaults are a second and 100 messages). go test -bench WriteMessages -benchmem ./producer
func BenchmarkWriteMessages(b *testing.B) {
	broker := testbroker.Fake(b, kfake.BlackholeProduce(), kfake.SeedTopics(4, "t"))
	cfg := Config{Brokers: broker.Addrs, Topic: "t"}
	p, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	start(b, p)
	defer p.Close()
	full := cfg.withDefaults()
	transport := &kafka.Transport{IdleTimeout: full.IdleTimeout}
	w := &kafka.Writer{
		Addr: kafka.TCP(broker.Addrs...), Topic: "t", Transport: transport, Balancer: kafka.Murmur2Balancer{}, RequiredAcks: kafka.RequireAll,
		BatchTimeout: time.Millisecond, BatchSize: 256, BatchBytes: full.BatchBytes,
	}
	defer transport.CloseIdleConnections()
	defer w.Close()

	value := make([]byte, 100)
	for _, n := range []int{1, 100, 1000} {
		for _, c := range []struct {
			name  string
			write func(msgs ...kafka.Message) error
		}{
			{"Writer", func(msgs ...kafka.Message) error { return w.WriteMessages(bg, msgs...) }},
			{"Producer", func(msgs ...kafka.Message) error { return p.WriteMessages(bg, msgs...) }},
		} {
			b.Run(fmt.Sprintf("%d/%s", n, c.name), func(b *testing.B) {
				b.ReportAllocs()
				b.SetParallelism(64)
				b.RunParallel(func(pb *testing.PB) {
					msgs := make([]kafka.Message, n)
					for i := range msgs {
						msgs[i].Value = value
					}
					for pb.Next() {
						if err := c.write(msgs...); err != nil {
							b.Error(err)
						}
					}
				})
				b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "msgs/s")
			})
		}
	}
}

// The cost of a Send for a single goroutine, beside that of the asynchronous Writer, which reports
// no verdicts.
//
//	go test -bench Send -benchmem ./producer
func BenchmarkSend(b *testing.B) {
	broker := testbroker.Fake(b, kfake.BlackholeProduce(), kfake.SeedTopics(4, "t"))
	p, err := New(Config{Brokers: broker.Addrs, Topic: "t"})
	if err != nil {
		b.Fatal(err)
	}
	start(b, p)
	defer p.Close()
	value := make([]byte, 100)
	for _, n := range []int{1, 100} {
		msgs := make([]kafka.Message, n)
		for i := range msgs {
			msgs[i].Value = value
		}
		b.Run(fmt.Sprintf("%d/Writer", n), func(b *testing.B) {
			b.ReportAllocs()
			transport := &kafka.Transport{}
			w := &kafka.Writer{
				Addr: kafka.TCP(broker.Addrs...), Topic: "t", Transport: transport, Balancer: kafka.Murmur2Balancer{}, RequiredAcks: kafka.RequireAll,
				BatchTimeout: time.Millisecond, BatchSize: 256, BatchBytes: p.cfg.BatchBytes, Async: true,
			}
			defer transport.CloseIdleConnections()
			for b.Loop() {
				if err := w.WriteMessages(bg, msgs...); err != nil {
					b.Fatal(err)
				}
			}
			w.Close()
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "msgs/s")
		})
		b.Run(fmt.Sprintf("%d/Send", n), func(b *testing.B) {
			b.ReportAllocs()
			var last *Delivery
			for b.Loop() {
				d, err := p.Send(bg, msgs...)
				if err != nil {
					b.Fatal(err)
				}
				last = d
			}
			last.Wait(bg)
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

// Lone writes, one after the other: the cost without other messages to wait for.
func BenchmarkLoneWrite(b *testing.B) {
	broker := testbroker.Fake(b, kfake.BlackholeProduce(), kfake.SeedTopics(1, "t"))
	p, err := New(Config{Brokers: broker.Addrs, Topic: "t"})
	if err != nil {
		b.Fatal(err)
	}
	start(b, p)
	defer p.Close()
	b.ReportAllocs()
	m := kafka.Message{Value: make([]byte, 100)}
	for b.Loop() {
		if err := p.WriteMessages(bg, m); err != nil {
			b.Fatal(err)
		}
	}
}

// WriteMessages allocates less often than kafka-go's Writer, counted with the whole way to the
// embedded broker and back.
func TestWriteAllocatesNoMoreThanWriter(t *testing.T) {
	broker := testbroker.Fake(t, kfake.BlackholeProduce(), kfake.SeedTopics(1, "t"))
	p := newProducer(t, broker, Config{Topic: "t"})
	start(t, p)
	full := p.cfg
	// Closed while it asks for metadata, a bare Transport leaves a connection's goroutine.
	transport := &kafka.Transport{MetadataTTL: time.Hour}
	w := &kafka.Writer{
		Addr: kafka.TCP(broker.Addrs...), Topic: "t", Transport: transport, Balancer: kafka.Murmur2Balancer{}, RequiredAcks: kafka.RequireAll,
		BatchTimeout: time.Microsecond, BatchSize: full.BatchSize, BatchBytes: full.BatchBytes,
	}
	defer transport.CloseIdleConnections()
	defer w.Close()
	for _, n := range []int{1, 10, 100} {
		msgs := make([]kafka.Message, n)
		for i := range msgs {
			msgs[i].Value = []byte("x")
		}
		measure := func(least *float64, write func() error) {
			*least = min(*least, testing.AllocsPerRun(50, func() {
				if err := write(); err != nil {
					t.Error(err)
				}
			}))
		}
		// The rest of the process allocates too, and under -race a pool forgets at random: the
		// least counts, and one that is too many is so each time.
		writer, producer := math.Inf(1), math.Inf(1)
		for round := 0; round < 3 || producer > writer && round < 60; round++ {
			measure(&writer, func() error { return w.WriteMessages(bg, msgs...) })
			measure(&producer, func() error { return p.WriteMessages(bg, msgs...) })
		}
		t.Logf("%d messages: Writer %v allocations, Producer %v", n, writer, producer)
		if producer > writer {
			t.Errorf("%d messages: Producer allocates %v times, the Writer %v", n, producer, writer)
		}
	}
}
