package engine

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// The ready batches of a broker share a request, up to its size, and each partition gets its
// turn.
func TestD8RequestsAreShared(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.ConnectionsPerBroker = 1
		cfg.RequestBytes, cfg.BatchBytes = 100_000, 20_000
		cfg.Connection.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := b.Dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return slowConn{c}, nil
		}
		e := start(t, cfg)
		var requests, partitions, largest atomic.Int64
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			requests.Add(1)
			size := int64(0)
			for _, rt := range req.(*kmsg.ProduceRequest).Topics {
				for _, rp := range rt.Partitions {
					partitions.Add(1)
					size += int64(len(rp.Records))
				}
			}
			largest.Store(max(largest.Load(), size))
			return nil, nil, false
		})
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				for range 4 {
					if err := e.Write(t.Context(), time.Now(), kafka.Message{Key: []byte{byte(i)}, Value: make([]byte, 10_000)}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if largest.Load() > 100_000 || largest.Load() < 60_000 || partitions.Load() < 3*requests.Load() {
			t.Errorf("%d requests for %d batches, the largest with %d bytes", requests.Load(), partitions.Load(), largest.Load())
		}
	}, kfake.SeedTopics(20, "t"))
}

// A partition is ready again, and no longer busy, once an attempt has succeeded after one that failed.
func TestReadyAfterAFailedAttempt(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		e := start(t, config(b, "t"))
		p := (*e.topics.Load())["t"].all()[0]
		fault := b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: notEnoughReplicas, Count: -1})
		d, err := send(t.Context(), e, message("x"))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if p.Ready() || !p.Busy() {
			t.Errorf("after a failed attempt: ready %t, busy %t", p.Ready(), p.Busy())
		}
		fault.Remove()
		<-d.done
		synctest.Wait()
		if d.err != nil || !p.Ready() || p.Busy() {
			t.Errorf("after the next one: ready %t, busy %t, and %v", p.Ready(), p.Busy(), d.err)
		}
	}, kfake.SeedTopics(1, "t"))
}

// On a slowConn each write takes a while.
type slowConn struct{ net.Conn }

func (c slowConn) Write(b []byte) (int, error) {
	time.Sleep(10 * time.Millisecond)
	return c.Conn.Write(b)
}

// A batch that was withdrawn between two attempts leaves nothing to the next one: it has its
// own attempts, and the partition is not taken for busy.
func TestD5WithdrawnBetweenAttempts(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.MaxAttempts = 8
		e := start(t, cfg)
		refusing := b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: notEnoughReplicas, Count: -1})
		ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
		defer cancel()
		if v := verdicts(t, e.Write(ctx, time.Now(), message("x")))[0]; v != core.Rejected {
			t.Errorf("what was refused for now and then withdrawn is %v", v)
		}
		if p := (*e.topics.Load())["t"].all()[0]; p.Busy() {
			t.Error("the partition is busy")
		}
		before := refusing.Hits()
		if v := verdicts(t, e.Write(t.Context(), time.Now(), message("y")))[0]; v != core.Rejected {
			t.Errorf("what is refused for now is %v", v)
		}
		if n := refusing.Hits() - before; n != 8 {
			t.Errorf("%d attempts, want 8", n)
		}
		refusing.Remove()
		if err := e.Write(t.Context(), time.Now(), message("z")); err != nil {
			t.Error(err)
		}
		if got := values(t, b, "t")[0]; len(got) != 1 || got[0] != "z" {
			t.Errorf("the log has %v", got)
		}
	}, kfake.SeedTopics(1, "t"))
}
