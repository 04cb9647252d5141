//go:build unix

package producer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// The oldest Kafka that the producer supports, 2.1.
func TestApacheKafkaOldest(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the broker of this test takes several seconds to start")
	}
	b := testbroker.OwnOldest(t)
	t.Run("Once", func(t *testing.T) { onceOnOldest(t, b) })
	t.Run("NoWritePermission", func(t *testing.T) { noWritePermissionOnOldest(t, b) })
	t.Run("NoIdempotence", func(t *testing.T) { noIdempotenceOnOldest(t, b) })
}

// The producer starts, writes each message once and in order although connections are cut under
// load, and leaves nothing.
func onceOnOldest(t *testing.T, b *testbroker.OwnBroker) {
	topic := b.CreateTopic(t, 4)
	proxy := testbroker.NewProxy(t)
	p := newProducer(t, b.Broker, Config{Topic: topic, CheckWritePermission: true, Compression: kafka.Lz4, Dial: proxy.Dial})
	start(t, p)
	if records := b.Read(t, topic); len(records) != 0 {
		t.Errorf("the start wrote %d records", len(records))
	}
	l := newLedger()
	under := l.load(t, p, 8, time.Millisecond)
	for range 10 {
		want := l.acknowledged() + 50
		until(t, "acknowledgements", func() bool { return l.acknowledged() >= want })
		proxy.Cut()
	}
	under.end()
	if err := p.Ping(bg); err != nil {
		t.Error(err)
	}
	shutDown(t, b, p)
	c := l.verify(t, b.Broker, topic)
	if c.failed() > 0 {
		t.Errorf("%d writes failed, one as: %v", c.failed(), l.failure())
	}
	t.Logf("CHECKED kafka oldest acknowledged=%d failed=%d duplicates=%d retries=%d", c.acked, c.failed(), c.duplicates, p.Totals().Retries)
}

// A start with CheckWritePermission learns that it may not write to the topic; without it the write
// does.
func noWritePermissionOnOldest(t *testing.T, b *testbroker.OwnBroker) {
	topic := b.CreateTopic(t, 2)
	allow(t, b.Broker, topic, "alice", kmsg.ACLOperationAll)
	allow(t, b.Broker, topic, "bob", kmsg.ACLOperationDescribe)
	p := newProducer(t, b.Broker, Config{Brokers: b.SASL, Topic: topic, SASL: bob})
	start(t, p)
	mustBe(t, p.WriteMessages(bg, message("forbidden")), ErrRejected, kafka.TopicAuthorizationFailed)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	startLearnsThatItMayNotWrite(t, b, topic)
}

// Before Kafka 3.0 the permission to write to a topic is not enough for a producer id: the user
// needs IdempotentWrite on the cluster. The error says so, and names the option that needs none.
func noIdempotenceOnOldest(t *testing.T, b *testbroker.OwnBroker) {
	topic := b.CreateTopic(t, 1)
	allow(t, b.Broker, topic, "bob", kmsg.ACLOperationAll)
	idempotent := func(user string) {
		allowOn(t, b.Broker, kmsg.ACLResourceTypeCluster, "kafka-cluster", user, kmsg.ACLOperationIdempotentWrite)
	}
	idempotent("alice") // and no other user
	startsAndWrites(t, b.Broker, newProducer(t, b.Broker, Config{Brokers: b.SASL, Topic: topic, SASL: bob, Idempotence: IdempotenceOff}))
	p := newProducer(t, b.Broker, Config{Brokers: b.SASL, Topic: topic, SASL: bob})
	err := failsThenStarts(t, b.Broker, p, "producer id", func() { idempotent("bob") },
		ErrNoIdempotence, kafka.ClusterAuthorizationFailed)
	for _, want := range []string{"Config.Idempotence", "IDEMPOTENT_WRITE"} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if Temporary(err) {
		t.Errorf("%v is not final", err)
	}
}
