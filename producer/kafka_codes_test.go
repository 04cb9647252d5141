//go:build unix

package producer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Apache Kafka refuses some messages of a batch, or the batch as a whole: only those messages
// are rejected, for good; the others are in the log once, in order (D2, D3, D4).
func TestApacheKafkaRefusesInPart(t *testing.T) {
	b := testbroker.Real(t)
	large := func(n int) func(*kafka.Message) {
		return func(m *kafka.Message) {
			m.Value = make([]byte, n)
			for i := range m.Value {
				m.Value[i] = byte(rand.Uint32())
			}
		}
	}
	for _, c := range []struct {
		code     kafka.Error
		settings []string
		bytes    int64
		spoil    func(*kafka.Message)
	}{
		{kafka.MessageSizeTooLarge, []string{"max.message.bytes=2000"}, 0, large(3000)},
		{kafka.RecordListTooLarge, []string{"segment.bytes=1048576", "max.message.bytes=10000000"}, 8 << 20, large(1_500_000)},
		{kafka.InvalidTimestamp, []string{"message.timestamp.before.max.ms=3600000"}, 0, func(m *kafka.Message) { m.Time = time.Now().Add(-2 * time.Hour) }},
		{kafka.InvalidRecord, []string{"cleanup.policy=compact"}, 0, func(m *kafka.Message) { m.Key = nil }},
	} {
		t.Run(fmt.Sprint(int(c.code)), func(t *testing.T) {
			topic := b.CreateTopic(t, 1, c.settings...)
			p := newProducer(t, b, Config{Topic: topic, BatchBytes: c.bytes})
			start(t, p)
			var want []string
			for round := range 3 {
				var msgs []kafka.Message
				spoilt := make(map[int]bool)
				for i := range 6 {
					m := message(fmt.Sprintf("%d-%d", round, i))
					m.Key = []byte("key")
					if i == 1 || i == 4 {
						spoilt[i] = true
						c.spoil(&m)
					} else {
						want = append(want, string(m.Value))
					}
					msgs = append(msgs, m)
				}
				for i, err := range errorsOf(t, p.WriteMessages(bg, msgs...), len(msgs)) {
					switch {
					case !spoilt[i] && err != nil:
						t.Errorf("D2 Truth: message %d, with which nothing is wrong: %v", i, err)
					case spoilt[i] && (classOf(t, err) != ErrRejected || !errors.Is(err, c.code) || Temporary(err)):
						t.Errorf("D2 Truth: message %d: %v; want ErrRejected for good, as %v", i, err, c.code)
					}
				}
			}
			var found []string
			for _, r := range b.Read(t, topic) {
				found = append(found, string(r.Value))
			}
			if fmt.Sprint(found) != fmt.Sprint(want) {
				t.Errorf("D3 Once, D4 Order: the log has %.200q; want %q", found, want)
			}
		})
	}
}

// Each partition has an epoch of its own: one that cannot know what became of a batch begins
// another, and the rest go on as before. Apache Kafka takes it so (kfake has one for a producer id).
func TestApacheKafkaEpochOfEachPartition(t *testing.T) {
	b := testbroker.Real(t)
	topic := b.CreateTopic(t, 3)
	proxy := testbroker.NewProxy(t)
	p := newProducer(t, b, Config{
		Topic: topic, Dial: proxy.Dial, ConnectionsPerBroker: 3, WriteTimeout: time.Second,
		Balancer: kafka.BalancerFunc(func(m kafka.Message, _ ...int) int { return int(m.Key[0] - '0') }),
	})
	start(t, p)
	l := newLedger()
	write := func(ctx context.Context, partition int, value string) error {
		return l.write(ctx, t, p, kafka.Message{Key: fmt.Append(nil, partition), Value: []byte(value)})
	}
	for partition := range 3 {
		if err := write(bg, partition, fmt.Sprint("first-", partition)); err != nil {
			t.Fatal(err)
		}
	}
	doubt := func(partition, n int) {
		t.Helper()
		_, ever := connections(p)
		proxy.HalfOpen(true)
		before := proxy.Swallowed()
		ctx, leave := context.WithCancel(bg)
		value := fmt.Sprintf("doubt-%d-%d-%01000d", partition, n, 0) // longer than any other request
		written := async(func() error { return write(ctx, partition, value) })
		until(t, "the request to be sent", func() bool { return proxy.Swallowed() > before+len(value) })
		leave()
		if err := get(t, written); classOf(t, err) != ErrMaybeDelivered {
			t.Errorf("a message whose answer is lost: %v", err)
		}
		proxy.HalfOpen(false) // which cuts all three
		until(t, "new connections", func() bool { now, made := connections(p); return now == 3 && made >= ever+3 })
	}
	doubt(0, 1)
	for partition := range 3 {
		if err := write(bg, partition, fmt.Sprint("second-", partition)); err != nil {
			t.Error(err)
		}
	}
	doubt(0, 2)
	doubt(1, 1)
	for partition := range 3 {
		if err := write(bg, partition, fmt.Sprint("third-", partition)); err != nil {
			t.Error(err)
		}
	}
	first, epochs, ids := make(map[int32]int16), make(map[int32]int16), make(map[int64]bool)
	for _, r := range b.Read(t, topic) {
		if r.ProducerEpoch < epochs[r.Partition] {
			t.Errorf("D4 Order: partition %d: epoch %d after %d", r.Partition, r.ProducerEpoch, epochs[r.Partition])
		}
		if _, seen := first[r.Partition]; !seen {
			first[r.Partition] = r.ProducerEpoch
		}
		epochs[r.Partition], ids[r.ProducerID] = r.ProducerEpoch, true
	}
	if epochs[0] <= first[0] || epochs[1] <= first[1] || epochs[2] != first[2] || len(ids) != 1 {
		t.Errorf("epochs %v, at first %v, of %d producer ids; want partition 2 to be where it was, and the others beyond", epochs, first, len(ids))
	}
	c := l.verify(t, b, topic)
	if c.acked != 9 || c.duplicates != 0 {
		t.Error(c)
	}
	t.Logf("CHECKED kafka epochs of-partitions=%v %v", epochs, c)
}

// A quota: the producer waits it out, and neither sends more meanwhile nor dials to evade it.
func TestApacheKafkaThrottle(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a quota mutes a client for seconds")
	}
	b := testbroker.Real(t)
	topic := b.CreateTopic(t, 2)
	client := "throttled-" + topic
	quota(t, b, client, 100_000)
	p := newProducer(t, b, Config{Topic: topic, ClientID: client, DeliveryTimeout: hang})
	start(t, p)
	before := p.Counters()
	l := newLedger()
	n := 0
	for p.Counters().Throttled < time.Second && n < 1000 {
		value := fmt.Appendf(make([]byte, 0, 20_010), "%d-", n)
		for len(value) < 20_000 {
			value = append(value, byte(rand.Uint32()))
		}
		if err := l.write(bg, t, p, kafka.Message{Value: value}); err != nil {
			t.Fatal(err)
		}
		n++
	}
	after := p.Counters()
	if after.Throttled < time.Second || p.Totals().WaitTime.Count == 0 {
		t.Fatalf("throttled for %v after %d messages: the test shows nothing", after.Throttled, n)
	}
	began := time.Now()
	if err := l.write(bg, t, p, message("after")); err != nil {
		t.Error(err)
	}
	if after.Connects != before.Connects || after.Connections != before.Connections {
		t.Errorf("%d connections were made to evade a quota, of which there are %d; %d before", after.Connects-before.Connects, after.Connections, before.Connections)
	}
	c := l.verify(t, b, topic)
	if c.acked != n+1 || c.duplicates != 0 {
		t.Error(c)
	}
	t.Logf("CHECKED kafka throttle messages=%d throttled=%v next-write=%v %v", n, after.Throttled, time.Since(began).Round(time.Millisecond), c)
}

// quota limits what a client may produce, in bytes a second; 0 removes the limit.
func quota(t *testing.T, b *testbroker.Broker, client string, rate float64) {
	t.Helper()
	cl := b.Client(t)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(bg, hang)
	defer cancel()
	req := kmsg.NewPtrAlterClientQuotasRequest()
	entry := kmsg.NewAlterClientQuotasRequestEntry()
	entity := kmsg.NewAlterClientQuotasRequestEntryEntity()
	entity.Type, entity.Name = "client-id", &client
	op := kmsg.NewAlterClientQuotasRequestEntryOp()
	op.Key, op.Value, op.Remove = "producer_byte_rate", rate, rate == 0
	entry.Entity, entry.Ops = append(entry.Entity, entity), append(entry.Ops, op)
	req.Entries = append(req.Entries, entry)
	res, err := req.RequestWith(ctx, cl)
	if err != nil || len(res.Entries) != 1 || res.Entries[0].ErrorCode != 0 {
		t.Fatalf("the quota: %v, %+v", err, res)
	}
}
