//go:build unix

package producer

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A leader that loses its place while it waits for its replicas has appended, and answers
// NotLeaderForPartition. The message is in the log, and its caller gets ErrMaybeDelivered. A caller
// that waits for longer gets nil.
//
// The base offset of such an answer is the append's. If the broker did not lead when it received
// the request, the base offset is -1.
func TestApacheKafkaNotLeaderAfterAppend(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the three brokers of this test take 10 s to start")
	}
	const leader, successor, frozen = 2, 1, 3
	// The frozen follower stays in sync, so that the leader waits for it.
	c := testbroker.Own(t, 3, "broker.session.timeout.ms=120000", "replica.lag.time.max.ms=120000")
	topic := c.CreateTopic(t, 1)
	c.AwaitInSync(t, topic, 3)
	if !c.Lead(t, topic, 0, leader) {
		t.Fatal("no leader could be chosen")
	}
	hasty := newProducer(t, c.Broker, Config{Topic: topic, MaxAttempts: 1, WriteTimeout: hang, DeliveryTimeout: 2 * hang})
	patient := newProducer(t, c.Broker, Config{Topic: topic, WriteTimeout: hang, DeliveryTimeout: 2 * hang})
	start(t, hasty)
	start(t, patient)
	// Who has been chosen to lead may answer for a moment as if it did not.
	until(t, "a first write", func() bool { return hasty.WriteMessages(bg, message("before")) == nil })
	batch := batchOf(t, c.Broker, topic)
	c.AwaitInSync(t, topic, 3)

	c.Freeze(t, frozen)
	thaw := func() { c.Thaw(t, frozen) }
	defer func() { thaw() }()
	alive := *c.Broker
	alive.Addrs = c.Addrs[:2]
	before := alive.Size(t, topic, 0, successor)
	started := alive.Size(t, topic, 0, leader)
	if before != started {
		t.Fatalf("the leader has %d bytes, its successor %d: the test cannot tell what was appended", started, before)
	}
	hastily := async(func() error { return hasty.WriteMessages(bg, message("hasty")) })
	patiently := async(func() error { return patient.WriteMessages(bg, message("patient")) })
	raw := async(func() *kmsg.ProduceResponseTopicPartition { return produceTo(t, &alive, leader, topic, batch) })
	one := int64(len(batch)) // of the same size as "before", give or take
	until(t, "the appends", func() bool {
		return alive.Size(t, topic, 0, leader) > before+2*one && alive.Size(t, topic, 0, successor) == alive.Size(t, topic, 0, leader)
	})
	if !alive.Lead(t, topic, 0, successor) {
		t.Fatal("the leader could not be moved")
	}

	after := get(t, raw)
	if after.ErrorCode != int16(kafka.NotLeaderForPartition) || after.BaseOffset < 1 {
		t.Errorf("after the append: error %d, base offset %d; want 6 and the offset of the append", after.ErrorCode, after.BaseOffset)
	}
	refused := produceTo(t, &alive, leader, topic, batch)
	if refused.ErrorCode != int16(kafka.NotLeaderForPartition) || refused.BaseOffset != -1 {
		t.Errorf("before the append: error %d, base offset %d; want 6 and -1", refused.ErrorCode, refused.BaseOffset)
	}
	err := get(t, hastily)
	mustBe(t, err, kafka.NotLeaderForPartition)
	if class := classOf(t, err); class != ErrMaybeDelivered {
		t.Errorf("a message that was appended failed as %v; want ErrMaybeDelivered", err)
	}
	c.Thaw(t, frozen)
	thaw = func() {}
	if err := get(t, patiently); err != nil {
		t.Errorf("the write that waited failed: %v", err)
	}
	c.AwaitInSync(t, topic, 3)
	found := values(t, c.Broker, topic)
	if found["hasty"] != 1 || found["patient"] != 1 {
		t.Errorf("the log has %v; want each once", found)
	}
	t.Logf("CHECKED kafka not-leader base-offset-after-append=%d", after.BaseOffset)
}

// namesTopics keeps a client to versions that name topics rather than number them.
var namesTopics = kgo.MaxVersions(kversion.V2_7_0())

// batchOf returns the bytes of the first batch of the topic, as a producer sends it that is not
// idempotent: to the broker they are no duplicate.
func batchOf(t *testing.T, b *testbroker.Broker, topic string) []byte {
	t.Helper()
	cl := b.Client(t, namesTopics)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(bg, hang)
	defer cancel()
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MaxBytes = 1000, 1<<20
	rt, rp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	rp.PartitionMaxBytes = 1 << 20
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	leader := b.Leaders(t, topic)[0]
	res, err := cl.Broker(int(leader)).Request(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	batch := res.(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches
	const crc, attributes, producerID, end = 17, 21, 43, 57
	for i := producerID; i < end; i++ {
		batch[i] = 0xff // no id, epoch and sequence: -1
	}
	binary.BigEndian.PutUint32(batch[crc:], crc32.Checksum(batch[attributes:], crc32.MakeTable(crc32.Castagnoli)))
	return batch
}

// produceTo sends a batch to a broker, whether or not it leads the partition.
func produceTo(t *testing.T, b *testbroker.Broker, node int, topic string, batch []byte) *kmsg.ProduceResponseTopicPartition {
	cl := b.Client(t, namesTopics)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(bg, hang)
	defer cancel()
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, int32(hang/time.Millisecond)
	rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	rp.Records = batch
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	res, err := cl.Broker(node).Request(ctx, req)
	if err != nil {
		t.Errorf("a produce request to node %d: %v", node, err)
		return &kmsg.ProduceResponseTopicPartition{ErrorCode: -1}
	}
	return &res.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
}
