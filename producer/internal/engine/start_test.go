package engine

import (
	"context"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A start asks for metadata once, and a producer id once in the engine's life.
func TestStartAsksOnce(t *testing.T) {
	bubble(t, 3, func(t *testing.T, b *testbroker.Broker) {
		asked := make(map[int16]int)
		for _, key := range []kmsg.Key{kmsg.Metadata, kmsg.InitProducerID, kmsg.FindCoordinator, kmsg.ListOffsets} {
			b.Fake.ControlKey(key.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
				b.Fake.KeepControl()
				asked[req.Key()]++
				return nil, nil, false
			})
		}
		e := New(config(b, "a", "b"))
		for i := range 3 {
			clear(asked)
			if err := e.Start(t.Context(), ignore); err != nil {
				t.Fatal(err)
			}
			ids := asked[kmsg.InitProducerID.Int16()]
			if asked[kmsg.Metadata.Int16()] != 1 || (i == 0) != (ids == 1) || ids > 1 || asked[kmsg.FindCoordinator.Int16()] > 0 {
				t.Errorf("start %d: asked %v", i, asked)
			}
			if err := e.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		}
		leavesNothing(t, e)
	}, kfake.SeedTopics(5, "a", "b"))
}

// leaderless makes brokers say that partitions of t have no leader.
func leaderless(b *testbroker.Broker, count int, without ...int32) {
	b.Fake.ControlKey(kmsg.Metadata.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		res := req.ResponseKind().(*kmsg.MetadataResponse)
		res.ClusterID = kmsg.StringPtr("c")
		res.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 0, Host: "localhost", Port: 9092}}
		rt := kmsg.NewMetadataResponseTopic()
		rt.Topic = kmsg.StringPtr("t")
		for i := range int32(count) {
			p := kmsg.NewMetadataResponseTopicPartition()
			p.Partition = i
			if slices.Contains(without, i) {
				p.Leader, p.ErrorCode = -1, kerr.LeaderNotAvailable.Code
			}
			rt.Partitions = append(rt.Partitions, p)
		}
		res.Topics = append(res.Topics, rt)
		return res, nil, true
	})
}

// Start waits for a partition without a leader, or, with AllowPartial, starts without it. Ping
// reports it.
func TestPartialStart(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		leaderless(b, 3, 1)
		e := New(config(b, "t"))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := e.Start(ctx, ignore)
		var topic *TopicError
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &topic) || !slices.Equal(topic.Partitions, []int{1}) {
			t.Errorf("Start: %v", err)
		}
		leavesNothing(t, e)

		cfg := config(b, "t")
		cfg.AllowPartial = true
		var warned []string
		cfg.Warn = func(message, _ string, _ int, err error) { warned = append(warned, message+": "+err.Error()) }
		e = start(t, cfg)
		if len(warned) != 1 || !strings.Contains(warned[0], "[1]") {
			t.Errorf("warned of %v", warned)
		}
		if err := e.Ping(t.Context()); !errors.Is(err, ErrPartial) || !errors.As(err, &topic) || topic.Partitions[0] != 1 {
			t.Errorf("Ping: %v", err)
		}
		if err := e.Write(t.Context(), time.Now(), message("x")); err != nil {
			t.Error(err)
		}
	}, kfake.SeedTopics(3, "t"))
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		leaderless(b, 2, 0, 1)
		cfg := config(b, "t")
		cfg.AllowPartial = true
		e := New(cfg)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := e.Start(ctx, ignore); !errors.Is(err, kafka.LeaderNotAvailable) {
			t.Errorf("Start without any leader: %v", err)
		}
		leavesNothing(t, e)
	}, kfake.SeedTopics(2, "t"))
}

// A missing permission to write is found at the start, without a write.
func TestCheckPermission(t *testing.T) {
	acl := func(topic string, op kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: topic, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
	}
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "mine", "theirs")
		cfg.Mode = core.Acknowledged
		cfg.CheckPermission = true
		cfg.Connection.SASL = plain.Mechanism{Username: "reader", Password: "reader-pw"}
		var parts []string
		e := New(cfg)
		err := e.Start(t.Context(), func(name string) { parts = append(parts, name) })
		var topic *TopicError
		if !errors.Is(err, kafka.TopicAuthorizationFailed) || !errors.As(err, &topic) || topic.Topic != "theirs" || parts[len(parts)-1] != "permission" {
			t.Errorf("Start: %v, parts %v", err, parts)
		}
		leavesNothing(t, e)
		cfg.Connection.SASL = plain.Mechanism{Username: "admin", Password: "admin-pw"}
		start(t, cfg)
		if found := b.Fake.PartitionInfo("theirs", 0); found.HighWatermark != 0 {
			t.Errorf("checking wrote %d records", found.HighWatermark)
		}
	}, kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "mine", "theirs"),
		kfake.Superuser("PLAIN", "admin", "admin-pw"),
		kfake.User("PLAIN", "reader", "reader-pw", acl("mine", kmsg.ACLOperationWrite), acl("mine", kmsg.ACLOperationDescribe), acl("theirs", kmsg.ACLOperationDescribe)))
	b := testbroker.Real(t)
	cfg := config(b, b.CreateTopic(t, 2))
	cfg.CheckPermission = true
	start(t, cfg)
	if n := len(b.Read(t, cfg.Topics[0])); n != 0 {
		t.Errorf("checking wrote %d records", n)
	}
}

// Brokers before Kafka 2.4 get a batch with the check of the permission. They cannot append it: its
// checksum and the acknowledgements are invalid. It has no producer id, which would need another
// permission.
func TestCheckPermissionBeforeKafka24(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		checks := 0
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			checks++
			r := req.(*kmsg.ProduceRequest)
			records := r.Topics[0].Partitions[0].Records
			var batch kmsg.RecordBatch
			if err := batch.ReadFrom(records); err != nil || batch.Magic != 2 || batch.NumRecords != 1 {
				t.Errorf("the batch is %+v: %v", batch, err)
				return nil, nil, false
			}
			if crc32.Checksum(records[21:], crc32.MakeTable(crc32.Castagnoli)) == uint32(batch.CRC) {
				t.Error("the checksum is valid")
			}
			if r.Version != 7 || r.Acks == 0 || r.Acks == 1 || r.Acks == -1 {
				t.Errorf("version %d, acknowledgements %d", r.Version, r.Acks)
			}
			if batch.ProducerID != -1 || batch.ProducerEpoch != -1 || batch.FirstSequence != -1 {
				t.Errorf("the producer id is %d, the epoch %d, the sequence %d", batch.ProducerID, batch.ProducerEpoch, batch.FirstSequence)
			}
			if r.Topics[0].Topic == "mine" {
				return nil, nil, false
			}
			res := req.ResponseKind().(*kmsg.ProduceResponse) // kfake looks at the acknowledgements first
			p := kmsg.NewProduceResponseTopicPartition()
			p.ErrorCode = kerr.TopicAuthorizationFailed.Code
			res.Topics = []kmsg.ProduceResponseTopic{{Topic: r.Topics[0].Topic, Partitions: []kmsg.ProduceResponseTopicPartition{p}}}
			return res, nil, true
		})
		cfg := config(b, "mine", "theirs")
		cfg.CheckPermission = true
		e := New(cfg)
		var topic *TopicError
		if err := e.Start(t.Context(), ignore); !errors.Is(err, kafka.TopicAuthorizationFailed) || !errors.As(err, &topic) || topic.Topic != "theirs" || checks != 2 {
			t.Errorf("Start after %d checks: %v", checks, err)
		}
		leavesNothing(t, e)
		cfg.Topics = []string{"mine"}
		start(t, cfg)
		if found := b.Fake.PartitionInfo("mine", 0); found.HighWatermark != 0 {
			t.Errorf("checking wrote %d records", found.HighWatermark)
		}
	}, kfake.SeedTopics(1, "mine", "theirs"), kfake.MaxVersions(kversion.V2_3_0()))
}

// A Start whose context ends when all is done, but before it returns, has failed.
func TestStartEndsAtTheLastMoment(t *testing.T) {
	bubble(t, 2, func(t *testing.T, b *testbroker.Broker) {
		for i := range int32(2) {
			if err := b.Fake.MoveTopicPartition("t", i, i); err != nil {
				t.Fatal(err)
			}
		}
		b.Net.Kill(1)
		reason := errors.New("no more time")
		ctx, cancel := context.WithCancelCause(t.Context())
		cfg := config(b, "t")
		cfg.AllowPartial = true
		cfg.Warn = func(string, string, int, error) { cancel(reason) } // the last that it does
		e := New(cfg)
		if err := e.Start(ctx, func(string) {}); !errors.Is(err, reason) {
			t.Errorf("Start: %v, want %v", err, reason)
		}
		if e.started.Load() != nil {
			t.Error("it is started")
		}
		leavesNothing(t, e)
	}, kfake.SeedTopics(2, "t"))
}
