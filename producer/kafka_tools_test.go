//go:build unix

package producer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Keys, headers, times and values as Kafka's own console consumer prints them.
func seenByKafka(t *testing.T, b *testbroker.OwnBroker) {
	topic := b.CreateTopic(t, 1)
	p := newProducer(t, b.Broker, Config{Topic: topic})
	start(t, p)
	var want []string
	var msgs []kafka.Message
	for i := range 5 {
		m := kafka.Message{
			Key: fmt.Appendf(nil, "key-%d", i), Value: fmt.Appendf(nil, "value-%d ü", i), Time: time.UnixMilli(1_700_000_000_123 + int64(i)),
			Headers: []kafka.Header{{Key: "a", Value: fmt.Append(nil, i)}, {Key: "b", Value: []byte("x y")}, {Key: "a", Value: []byte("again")}},
		}
		msgs = append(msgs, m)
		want = append(want, fmt.Sprintf("CreateTime:%d\tPartition:0\ta:%d,b:x y,a:again\t%s\t%s", m.Time.UnixMilli(), i, m.Key, m.Value))
	}
	msgs = append(msgs, kafka.Message{Time: time.UnixMilli(1_700_000_000_000)}) // nothing at all
	want = append(want, "CreateTime:1700000000000\tPartition:0\tNO_HEADERS\tnull\tnull")
	if err := p.WriteMessages(bg, msgs...); err != nil {
		t.Fatal(err)
	}
	got := b.Run(t, "", "consume", topic, fmt.Sprint(len(msgs)), "-all")
	if got != strings.Join(want, "\n") {
		t.Errorf("Kafka's console consumer prints\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	t.Logf("CHECKED kafka seen-by-console-consumer messages=%d", len(msgs))
}

// A thousand keys land in the partitions where Kafka's own console producer, the
// Java client, puts them.
func keysAsJava(t *testing.T, b *testbroker.OwnBroker) {
	java, ours := b.CreateTopic(t, 7), b.CreateTopic(t, 7)
	p := newProducer(t, b.Broker, Config{Topic: ours})
	start(t, p)
	var lines strings.Builder
	var msgs []kafka.Message
	for i := range 1000 {
		key := fmt.Sprintf("%c%d-ключ", 'a'+i%26, i*i)
		fmt.Fprintf(&lines, "%s\t%d\n", key, i)
		msgs = append(msgs, kafka.Message{Key: []byte(key), Value: fmt.Append(nil, i)})
	}
	b.Run(t, lines.String(), "produce", java)
	if err := p.WriteMessages(bg, msgs...); err != nil {
		t.Fatal(err)
	}
	places := func(topic string) map[string]int32 {
		places := make(map[string]int32)
		for _, r := range b.Read(t, topic) {
			places[string(r.Key)] = r.Partition
		}
		return places
	}
	theirs, mine := places(java), places(ours)
	if len(theirs) != 1000 || len(mine) != 1000 {
		t.Fatalf("%d keys by Java, %d by us, want 1000", len(theirs), len(mine))
	}
	for key, partition := range theirs {
		if mine[key] != partition {
			t.Errorf("key %q is in partition %d, Java puts it in %d", key, mine[key], partition)
		}
	}
	t.Logf("CHECKED kafka keys-as-java keys=%d", len(theirs))
}
