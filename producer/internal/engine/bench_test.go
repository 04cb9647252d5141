//go:build unix

package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A writer writes a call of messages, and waits for them.
type writer func(ctx context.Context, values [][]byte) error

func benchEngine(b *testing.B, broker *testbroker.Broker, topic string, c kafka.Compression) writer {
	cfg := config(broker, topic)
	cfg.Compression = c
	e := start(b, cfg)
	pool := sync.Pool{New: func() any { return new([]kafka.Message) }}
	return func(ctx context.Context, values [][]byte) error {
		p := pool.Get().(*[]kafka.Message)
		defer pool.Put(p)
		*p = (*p)[:0]
		for _, v := range values {
			*p = append(*p, kafka.Message{Value: v})
		}
		return e.Write(ctx, time.Now(), *p...)
	}
}

func benchFranz(b *testing.B, broker *testbroker.Broker, topic string, c kafka.Compression, linger time.Duration) writer {
	codec := kgo.NoCompression()
	if c == kafka.Snappy {
		codec = kgo.SnappyCompression()
	}
	cl := broker.Client(b, kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(linger),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.MaxBufferedRecords(100_000))
	b.Cleanup(cl.Close)
	return func(ctx context.Context, values [][]byte) error {
		records := make([]*kgo.Record, len(values))
		for i, v := range values {
			records[i] = &kgo.Record{Value: v}
		}
		return cl.ProduceSync(ctx, records...).FirstErr()
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkProduce is the engine beside franz-go: callers write calls of messages. It needs
// a real broker (SURESTART_KAFKA): the embedded one would take most of the CPU.
func BenchmarkProduce(b *testing.B) {
	if os.Getenv(testbroker.Env) == "" {
		b.Skip("no " + testbroker.Env)
	}
	for _, w := range []struct {
		callers, batch, size, partitions int
		c                                kafka.Compression
	}{
		{64, 100, 100, 4, 0}, {64, 100, 1024, 4, 0}, {64, 100, 100, 4, kafka.Snappy}, {64, 100, 1024, 4, kafka.Snappy},
		{64, 1, 100, 100, 0}, {1, 1, 100, 1, 0},
	} {
		for _, client := range []string{"engine", "franz10ms", "franz0"} {
			b.Run(fmt.Sprintf("callers=%d/batch=%d/size=%d/partitions=%d/%v/%s", w.callers, w.batch, w.size, w.partitions, w.c, client), func(b *testing.B) {
				broker := testbroker.Real(b)
				topic := broker.CreateTopic(b, w.partitions, "segment.index.bytes=65536") // else they take 20 MB a partition
				b.Cleanup(func() {                                                        // gigabytes, otherwise
					cl := broker.Client(b)
					defer cl.Close()
					req := kmsg.NewPtrDeleteTopicsRequest()
					rt := kmsg.NewDeleteTopicsRequestTopic()
					rt.Topic = &topic
					req.Topics, req.TopicNames, req.TimeoutMillis = append(req.Topics, rt), []string{topic}, 10_000
					_, _ = req.RequestWith(context.Background(), cl)
				})
				write := map[string]func() writer{
					"engine":    func() writer { return benchEngine(b, broker, topic, w.c) },
					"franz10ms": func() writer { return benchFranz(b, broker, topic, w.c, 10*time.Millisecond) },
					"franz0":    func() writer { return benchFranz(b, broker, topic, w.c, 0) },
				}[client]()
				payload := make([]byte, 1<<20)
				rand.Read(payload)
				values := make([][]byte, w.batch)
				for i := range values {
					at := i * 7919 % (len(payload) - w.size)
					values[i] = payload[at : at+w.size]
				}
				if err := write(b.Context(), values); err != nil {
					b.Fatal(err)
				}
				var calls atomic.Int64
				var mu sync.Mutex
				var took []time.Duration
				var wg sync.WaitGroup
				b.ResetTimer()
				before := cpu()
				for range w.callers {
					wg.Go(func() {
						var mine []time.Duration
						for calls.Add(1) <= int64(b.N) {
							began := time.Now()
							if err := write(context.Background(), values); err != nil {
								b.Error(err)
							}
							mine = append(mine, time.Since(began))
						}
						mu.Lock()
						took = append(took, mine...)
						mu.Unlock()
					})
				}
				wg.Wait()
				used := cpu() - before
				b.StopTimer()
				slices.Sort(took)
				n := float64(b.N * w.batch)
				b.ReportMetric(n/b.Elapsed().Seconds(), "msg/s")
				b.ReportMetric(float64(used.Nanoseconds())/n, "cpu-ns/msg")
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
