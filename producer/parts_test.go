package producer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A topic refuses some messages of a batch, or the batch is too large as a whole. A message that is
// too large by itself is rejected. All others are delivered, in order, at the positions that the
// Delivery reports. The limit is the topic's; the producer's is a megabyte.
func TestRefusedInPart(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var calls, rejected, delivered int
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1, "max.message.bytes=1100")
		var mu sync.Mutex
		told := make(map[string]error) // by the Completion
		p := newProducer(t, b, Config{Topic: topic, Completion: func(msgs []kafka.Message, err error) {
			mu.Lock()
			defer mu.Unlock()
			for _, m := range msgs {
				if _, twice := told[string(m.Value)]; twice {
					t.Errorf("the Completion was told twice of %.10s", m.Value)
				}
				if m.Topic != topic || m.Partition != 0 {
					t.Errorf("the Completion was told of topic %q, partition %d", m.Topic, m.Partition)
				}
				told[string(m.Value)] = err
			}
		}})
		start(t, p)
		at := make(map[int64]string)
		n := 0
		for range 100 {
			n++
			var msgs []kafka.Message
			var large []bool
			for i := range 1 + r.IntN(40) {
				size := []int{0, 10, 300, 700, 1500, 4000}[r.IntN(6)]
				msgs = append(msgs, message(fmt.Sprintf("%d-%d-%s", n, i, strings.Repeat("x", size))))
				large = append(large, size > 1000)
			}
			d, err := p.Send(bg, msgs...)
			if err != nil {
				t.Fatal(err)
			}
			each := errorsOf(t, d.Wait(bg), len(msgs))
			last := int64(-1)
			for i, err := range each {
				_, offset := d.Position(i)
				switch {
				case !large[i] && (err != nil || offset <= last):
					t.Fatalf("message %d, not too large: %v, at %d; the one before it at %d", i, err, offset, last)
				case !large[i]:
					last, at[offset] = offset, string(msgs[i].Value)
					delivered++
				case classOf(t, err) != ErrRejected || !errors.Is(err, kafka.MessageSizeTooLarge) || Temporary(err):
					t.Fatalf("message %d, too large: %v", i, err)
				default:
					rejected++
				}
				mu.Lock()
				err, was := told[string(msgs[i].Value)]
				mu.Unlock()
				if !was || (err != nil) != large[i] {
					t.Fatalf("message %d, too large: %t; the Completion was told: %t, %v", i, large[i], was, err)
				}
			}
			calls++
		}
		records := b.Read(t, topic)
		if len(records) != len(at) {
			t.Errorf("%d records found, %d delivered", len(records), len(at))
		}
		for _, r := range records {
			if at[r.Offset] != string(r.Value) {
				t.Errorf("at %d is %.10s, told of %.10s", r.Offset, r.Value, at[r.Offset])
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		nothingLeft(t, b, p)
	})
	t.Logf("CHECKED refused in part calls=%d rejected=%d delivered=%d", calls, rejected, delivered)
}
