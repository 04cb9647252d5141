package producer

import (
	"fmt"
	"testing"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Stats counts since the last call of it, Totals since New, over all starts.
func TestStats(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1)})
		for i := range 3 {
			start(t, p)
			if err := p.WriteMessages(bg, messages(fmt.Sprint(i), 10)...); err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				if s := p.Stats(); s.Messages != 20 || s.Topic != p.cfg.Topic || s.Async || s.MaxBatchSize != int64(p.cfg.BatchSize) {
					t.Errorf("Stats after two rounds: %+v", s)
				}
			}
			if err := p.Stop(bg); err != nil {
				t.Fatal(err)
			}
		}
		if s := p.Stats(); s.Messages != 10 || s.Writes != 1 || s.BatchSize.Count != 1 || s.BatchSize.Max != 10 {
			t.Errorf("Stats of the third round: %+v", s)
		}
		if s := p.Stats(); s.Messages != 0 {
			t.Errorf("Stats asked again: %+v", s)
		}
		for range 2 {
			if s := p.Totals(); s.Messages != 30 || s.Writes != 3 || s.BatchSize.Min != 10 || s.BatchSize.Sum != 30 || s.Bytes == 0 {
				t.Errorf("Totals: %+v", s)
			}
		}
	})
}

// All of a key in one partition, in order.
func TestKeyStaysInOrder(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 5)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		for i := range 20 {
			var msgs []kafka.Message
			for k := range 10 {
				msgs = append(msgs, kafka.Message{Key: fmt.Appendf(nil, "k%d", k), Value: fmt.Append(nil, i)})
			}
			if err := p.WriteMessages(bg, msgs...); err != nil {
				t.Fatal(err)
			}
		}
		next, where := map[string]int{}, map[string]int32{}
		for _, r := range b.Read(t, topic) {
			k := string(r.Key)
			if at, ok := where[k]; ok && at != r.Partition {
				t.Errorf("%s is in partitions %d and %d", k, at, r.Partition)
			}
			where[k] = r.Partition
			if string(r.Value) != fmt.Sprint(next[k]) {
				t.Errorf("%s: %s, want %d", k, r.Value, next[k])
			}
			next[k]++
		}
		if len(next) != 10 {
			t.Errorf("%d keys found", len(next))
		}
	})
}
