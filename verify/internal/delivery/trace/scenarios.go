package trace

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/producer"
)

// partitions is the number of partitions of a run.
const partitions = 2

// topic is a name that resembles nothing else in an answer: AppendThenAnswer searches for it.
const topic = "traced-topic"

// few are limits that a trace reaches.
var few = core.Limits{MaxSequence: 20, EpochLimit: 3, MaxEpoch: 900}

// answers are errors that the embedded cluster is made to give before it examines a batch. Errors
// that only an epoch or a sequence number causes are not among them: the cluster gives those by
// itself.
var answers = []*kerr.Error{
	kerr.NotLeaderForPartition, kerr.UnknownTopicOrPartition, kerr.RequestTimedOut, kerr.KafkaStorageError, // it may be in the log
	kerr.NotEnoughReplicas, kerr.CorruptMessage, // refused for now
	kerr.TopicAuthorizationFailed, kerr.PolicyViolation, // for good
	kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp, // in part
	kerr.InvalidTxnState, // not in the table
}

// afterwards are answers that a leader may also give after an append.
var afterwards = []*kerr.Error{kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.UnknownServerError, kerr.InvalidTxnState}

// modeOf returns the mode of a life. More than half of the lives are idempotent.
func modeOf(seed uint64) Mode {
	return [...]Mode{Idempotent, Idempotent, Idempotent, Idempotent, All, One, None}[seed%7]
}

// life runs a random life of so many messages on three embedded brokers, in a bubble. Answers are lost and requests
// cut. Brokers answer with errors before and after they append, hang, and go; leaders move. Callers
// leave, deadlines pass, batches are too large, and the producer is stopped by force and started
// again.
func life(t testing.TB, seed uint64, most int) *Trace {
	t.Helper()
	b := testbroker.VirtualCluster(t, 3)
	mode, limits, settings := modeOf(seed), core.Limits{}, []string(nil)
	if seed%4 == 1 && mode.Idempotent {
		limits = few
	}
	if seed%4 == 2 {
		settings = []string{"max.message.bytes=300"}
	}
	b.CreateTopicNamed(t, topic, partitions, settings...)
	r := begin(t, b, topic, seed, mode, limits, func(c *producer.Config) {
		if seed%3 == 0 {
			c.Linger = 20 * time.Millisecond
		}
		if seed%5 == 0 {
			c.MaxAttempts = 4
		}
		c.Compression = []kafka.Compression{0, 0, kafka.Gzip}[seed%3]
	})
	r.most = most
	callers := r.callers(200 * time.Millisecond)
	var pending []*kfake.FaultHandle
	for r.room() {
		time.Sleep(time.Duration(r.upTo(100)) * time.Millisecond)
		switch r.upTo(12) {
		case 0:
			p, node := int32(r.upTo(partitions)), int32(r.upTo(3))
			if b.Fake.LeaderFor(topic, p) != node {
				r.trace.Moves++
			}
			if err := b.Fake.MoveTopicPartition(topic, p, node); err != nil {
				t.Error(err)
			}
		case 1:
			b.Net.Cut()
		case 2, 3:
			r.net.Cuts.Store(uint64(r.upTo(200)))
			r.net.Losses.Store(uint64(r.upTo(500)))
		case 4:
			r.net.Calm()
		case 5, 6:
			pending = append(pending, b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: answers[r.upTo(len(answers))], Count: 1 + r.upTo(3)}))
		case 7:
			pending = append(pending, b.AppendThenAnswer(topic, afterwards[r.upTo(len(afterwards))], 1))
		case 8:
			node := r.upTo(3)
			b.Net.Kill(node)
			time.Sleep(time.Duration(r.upTo(1000)) * time.Millisecond)
			b.Net.Revive(node)
		case 9:
			b.Net.Freeze()
			time.Sleep(time.Duration(r.upTo(4000)) * time.Millisecond)
			b.Net.Thaw()
		case 10:
			node := r.upTo(3)
			if r.trace.Mode == None { // else nothing is ever left to be cut
				b.Net.Kill(node)
			}
			r.force(time.Duration(r.upTo(60)) * time.Millisecond)
			b.Net.Revive(node)
			r.net.Calm()
			r.start()
		case 11:
			if r.trace.Mode != None { // it would answer
				refuseRecords(b)
			}
		}
	}
	callers.Wait()
	b.Net.Altered(nil)
	for _, fault := range pending {
		fault.Remove()
	}
	return r.finish(fmt.Sprintf("a life on kfake, %s, seed %d", r.trace.Mode.Name, seed), partitions)
}

// callers writes messages, and cancels some of the calls, until there is no more room.
func (r *run) callers(pause time.Duration) *sync.WaitGroup {
	wg := new(sync.WaitGroup)
	for w := range 6 {
		wg.Go(func() {
			for r.room() {
				ctx, cancel := context.Background(), context.CancelFunc(func() {})
				if r.upTo(2) == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(1+r.upTo(300))*time.Millisecond)
				}
				r.write(ctx, w, 1+r.upTo(4), 1+r.upTo(60))
				cancel()
				time.Sleep(time.Duration(r.upTo(int(pause))))
			}
		})
	}
	return wg
}

// lifeOnKafka runs a random life of so many messages on Apache Kafka. Answers are lost and requests cut, callers leave,
// deadlines pass, batches are too large, records are refused, and the producer is stopped by force
// and started again. If move is not nil, it moves the leader of a partition, and reports whether
// that succeeded.
func lifeOnKafka(t testing.TB, b *testbroker.Broker, seed uint64, most int, move func(topic string, partition int32) bool) *Trace {
	t.Helper()
	mode, limits, settings := modeOf(seed), core.Limits{}, []string(nil)
	switch seed % 4 {
	case 1:
		if mode.Idempotent {
			limits = few
		}
	case 2:
		settings = []string{"max.message.bytes=300"}
	case 3:
		settings = []string{"message.timestamp.before.max.ms=60000"}
	}
	topic := b.CreateTopic(t, partitions, settings...)
	r := begin(t, b, topic, seed, mode, limits, func(c *producer.Config) {
		c.WriteTimeout, c.DeliveryTimeout = 300*time.Millisecond, time.Second
		c.DialTimeout = 30 * time.Second // a start is to succeed, however busy the machine is
	})
	r.most = most
	if seed%4 == 3 {
		r.old = 5
	}
	pause := 20 * time.Millisecond
	if move != nil { // which takes a while
		pause, r.trace.Leader = 300*time.Millisecond, Replicas
	}
	callers := r.callers(pause)
	for r.room() {
		time.Sleep(time.Duration(r.upTo(10)) * time.Millisecond)
		switch r.upTo(4) {
		case 0, 1:
			r.net.Cuts.Store(uint64(r.upTo(200)))
			r.net.Losses.Store(uint64(r.upTo(500)))
		case 2:
			r.net.Calm()
			if move != nil && move(topic, int32(r.upTo(partitions))) {
				r.trace.Moves++
			}
		case 3:
			if r.upTo(3) == 0 {
				r.force(time.Duration(r.upTo(10)) * time.Millisecond)
				r.net.Calm()
				r.start()
			}
		}
	}
	callers.Wait()
	return r.finish(fmt.Sprintf("a life on Apache Kafka, %s, seed %d", r.trace.Mode.Name, seed), partitions)
}

// refuseRecords makes the embedded cluster refuse the first record of the batches of one request.
func refuseRecords(b *testbroker.Broker) {
	b.Fake.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		res := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, rt := range req.(*kmsg.ProduceRequest).Topics {
			t := kmsg.NewProduceResponseTopic()
			t.Topic = rt.Topic
			for _, rp := range rt.Partitions {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.ErrorCode, p.BaseOffset = rp.Partition, kerr.InvalidRecord.Code, -1
				p.ErrorRecords = []kmsg.ProduceResponseTopicPartitionErrorRecord{{RelativeOffset: 0}}
				t.Partitions = append(t.Partitions, p)
			}
			res.Topics = append(res.Topics, t)
		}
		return res, nil, true
	})
}
