package producer

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// batches notes how many records each produce request holds, and when it came.
type batches struct {
	hold chan struct{} // nothing is answered until it is closed

	mu    sync.Mutex
	began time.Time
	sizes []int
	at    []time.Duration
}

func countBatches(t *testing.T, b *testbroker.Broker) *batches {
	n := &batches{began: time.Now(), hold: make(chan struct{})}
	b.Fake.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		var batch kmsg.RecordBatch
		if err := batch.ReadFrom(req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records); err != nil {
			t.Error(err)
		}
		n.mu.Lock()
		n.sizes, n.at = append(n.sizes, int(batch.NumRecords)), append(n.at, time.Since(n.began))
		n.mu.Unlock()
		b.Fake.SleepControl(func() { <-n.hold })
		return nil, nil, false
	})
	return n
}

func (n *batches) want(t *testing.T, what string, sizes ...int) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Equal(n.sizes, sizes) {
		t.Errorf("%s: requests of %v records, want %v", what, n.sizes, sizes)
	}
	n.sizes = nil
}

// A message that finds its partition free is sent at once; those that come while a
// request is under way are the next, up to BatchSize and BatchBytes. A partition
// does not wait for another.
func TestBatchIsWhatComesMeanwhile(t *testing.T) {
	for _, c := range []struct {
		name  string
		cfg   Config
		value string
		sizes []int
	}{
		{"all", Config{}, "x", []int{1, 25}},
		{"BatchSize", Config{BatchSize: 10}, "x", []int{1, 10, 10, 5}},
		{"BatchBytes", Config{BatchBytes: 1000}, strings.Repeat("x", 150), []int{1, 5, 5, 5, 5, 5}}, // 173 and more each
		{"one by one", Config{BatchSize: 1}, "x", slices.Repeat([]int{1}, 26)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t)
				c.cfg.Topic = b.CreateTopic(t, 1)
				c.cfg.MaxInFlightBytes = 1 << 20
				p := newProducer(t, b, c.cfg)
				start(t, p)
				n := countBatches(t, b)
				var all []*Delivery
				send := func(msgs ...kafka.Message) {
					d, err := p.Send(bg, msgs...)
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, d)
				}
				send(message("first"))
				synctest.Wait()
				for i := range 5 {
					var msgs []kafka.Message
					for j := range 5 {
						msgs = append(msgs, message(fmt.Sprintf("%02d-%s", 5*i+j, c.value)))
					}
					send(msgs...)
				}
				close(n.hold)
				for _, d := range all {
					if err := outcome(t, d); err != nil {
						t.Error(err)
					}
				}
				n.want(t, c.name, c.sizes...)
				at := int64(0)
				for _, d := range all {
					for i := range d.call.slots {
						if _, offset := d.Position(i); offset != at {
							t.Errorf("at %d, want %d", offset, at)
						}
						at++
					}
				}
			})
		})
	}
}

// With a Linger a message waits so long for others, unless the batch is full before;
// what waits behind a request has waited already.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), Linger: 50 * time.Millisecond, BatchSize: 4})
		start(t, p)
		n := countBatches(t, b)
		close(n.hold)
		var wg sync.WaitGroup
		write := func(k int) {
			wg.Go(func() {
				if err := p.WriteMessages(bg, messages(testbroker.TopicName(), k)...); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		write(1)
		time.Sleep(20 * time.Millisecond)
		write(1)
		n.want(t, "before the linger")
		time.Sleep(29 * time.Millisecond)
		n.want(t, "before the linger")
		wg.Wait()
		if took := n.at[0]; took != 50*time.Millisecond {
			t.Errorf("sent after %v, want 50 ms", took)
		}
		n.want(t, "after the linger", 2)

		write(1)
		write(3)
		n.want(t, "full", 4)
		wg.Wait()

		write(6) // 4 at once, 2 when their time has come
		n.want(t, "more than full", 4)
		wg.Wait()
		n.want(t, "the rest", 2)
		if s := p.Totals(); s.BatchTime.Max != 50*time.Millisecond || s.BatchTime.Min != 0 || s.BatchTime.Count != 4 {
			t.Errorf("batches were filled in %+v", s.BatchTime)
		}
	})
}

// A batch that is full with the end of a chunk takes nothing of the next: nobody is
// told of a batch without messages.
func TestNoSegmentIsEmpty(t *testing.T) {
	s := &session{cfg: &Config{BatchSize: 64, BatchBytes: 1 << 20}}
	l := s.lane("t", 0)
	c := &call{s: s}
	msgs := messages("m", 128)
	c.fill(msgs)
	if !l.put(c, msgs, slices.Repeat([]*lane{l}, len(msgs))) {
		t.Fatal("the lane was not free")
	}
	for range 2 {
		if batch, n := l.take(); n != 64 || len(batch) != 1 || len(batch[0].msgs) != 64 {
			t.Errorf("%d messages in %d segments, want 64 in one", n, len(batch))
		}
	}
	if _, n := l.take(); n != 0 {
		t.Errorf("%d messages more", n)
	}
}
