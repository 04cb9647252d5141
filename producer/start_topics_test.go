package producer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A topic that was deleted between two starts is reported at once. One that was created again, with
// fewer partitions or more, starts and can be written to. An undeclared topic that was written to
// does not delay a start, and its metadata are requested again.
func TestStartAfterTopicsChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic, another := b.CreateTopic(t, 3), b.CreateTopic(t, 2)
		p := newProducer(t, b, Config{Topic: topic, AnyTopic: true, Balancer: new(kafka.RoundRobin)})
		writes := func() {
			t.Helper()
			start(t, p)
			msgs := messages("m", 12)
			msgs = append(msgs, kafka.Message{Topic: another, Value: []byte("m")})
			if err := p.WriteMessages(bg, msgs...); err != nil {
				t.Error(err)
			}
			if err := p.Ping(bg); err != nil {
				t.Error(err)
			}
			if err := p.Stop(bg); err != nil {
				t.Error(err)
			}
			if found := len(b.Read(t, topic)); found != 12 {
				t.Errorf("%d messages found, want 12", found)
			}
		}
		writes()
		for _, n := range []int{1, 5} {
			deleteTopic(t, b, topic)
			began := time.Now()
			err := p.Start(bg)
			var topicErr *TopicError
			if !errors.As(err, &topicErr) || topicErr.Topic != topic || !errors.Is(err, kafka.UnknownTopicOrPartition) {
				t.Errorf("Start without the topic: %v", err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %v", took)
			}
			nothingLeft(t, b, p)
			b.CreateTopicNamed(t, topic, n)
			writes()
		}
		deleteTopic(t, b, another)
		start(t, p)
		began := time.Now()
		mustBe(t, p.WriteMessages(bg, kafka.Message{Topic: another, Value: []byte("m")}), ErrNotSent, kafka.UnknownTopicOrPartition)
		if took := time.Since(began); took > time.Second {
			t.Errorf("the write took %v", took)
		}
	})
}

// A topic that is deleted while the producer runs, and created again with fewer partitions: soon
// messages with a key go to those that it has, and the producer is ready.
func TestTopicCreatedAgainWithFewerPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 4)
		p := newProducer(t, b, Config{Topic: topic, Logger: slog.New(slog.DiscardHandler)})
		start(t, p)
		keyed := func() (msgs []kafka.Message) {
			for i := range 20 {
				msgs = append(msgs, kafka.Message{Key: fmt.Append(nil, i), Value: []byte("m")})
			}
			return msgs
		}
		if err := p.WriteMessages(bg, keyed()...); err != nil {
			t.Fatal(err)
		}
		deleteTopic(t, b, topic)
		b.CreateTopicNamed(t, topic, 2)
		mustBe(t, p.WriteMessages(bg, keyed()...), context.DeadlineExceeded) // it meets the change
		began := time.Now()
		if err := p.WriteMessages(bg, keyed()...); err != nil {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if err := p.Ping(bg); err != nil {
			t.Errorf("Ping: %v", err)
		}
		if n := p.Counters().Leaderless; n != 0 {
			t.Errorf("%d partitions have no leader", n)
		}
		deleteTopic(t, b, topic)
		b.CreateTopicNamed(t, topic, 5)
		time.Sleep(2 * time.Second)
		_ = p.WriteMessages(bg, keyed()...) // finds out
		if err := p.WriteMessages(bg, keyed()...); err != nil {
			t.Errorf("with five: %v", err)
		}
		if found := len(b.Read(t, topic)); found < 20 {
			t.Errorf("%d messages found, want 20 at least", found)
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
	})
}

// A topic that gets more partitions while the producer runs: no write fails, and the new partitions get messages,
// with a key and without, once the metadata are asked for again, within five minutes.
func TestTopicGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		l := newLedger()
		written := 0
		write := func() {
			for range 60 {
				m := message(fmt.Sprint(written))
				if written%2 == 0 {
					m.Key = m.Value
				}
				if err := l.write(bg, t, p, m); err != nil {
					t.Error(err)
				}
				written++
				time.Sleep(time.Second)
			}
		}
		write()
		addPartitions(t, b, topic, 4)
		for range 5 {
			write()
		}
		before := make(map[string]bool)
		for _, r := range b.Read(t, topic) {
			before[string(r.Value)] = true
		}
		write()
		keyed, others := make(map[int32]bool), make(map[int32]bool)
		for _, r := range b.Read(t, topic) {
			switch {
			case before[string(r.Value)]:
			case r.Key != nil:
				keyed[r.Partition] = true
			default:
				others[r.Partition] = true
			}
		}
		if len(keyed) != 4 || len(others) != 4 {
			t.Errorf("partitions with keys %v, without %v; want four each", keyed, others)
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		if c := l.verify(t, b, topic); c.acked != written {
			t.Error(c)
		}
	})
}

func addPartitions(t *testing.T, b *testbroker.Broker, topic string, n int32) {
	t.Helper()
	req := kmsg.NewPtrCreatePartitionsRequest()
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = topic, n
	req.Topics, req.TimeoutMillis = append(req.Topics, rt), 10_000
	cl := b.Client(t)
	defer cl.Close()
	res, err := req.RequestWith(bg, cl)
	if err == nil {
		err = kerr.ErrorForCode(res.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func deleteTopic(t *testing.T, b *testbroker.Broker, topic string) {
	t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	rt := kmsg.NewDeleteTopicsRequestTopic()
	rt.Topic = &topic
	req.TopicNames, req.Topics = []string{topic}, append(req.Topics, rt)
	cl := b.Client(t)
	defer cl.Close()
	res, err := req.RequestWith(bg, cl)
	if err == nil {
		err = kerr.ErrorForCode(res.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// With AllowPartial the permission is checked at a leader with a connection.
func TestCheckWritePermissionWithABrokerDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.VirtualCluster(t, 3)
		topic := b.CreateTopic(t, 3)
		for i := range int32(3) {
			if err := b.Fake.MoveTopicPartition(topic, i, i); err != nil {
				t.Fatal(err)
			}
		}
		for down := range 3 {
			b.Net.Kill(down)
			p := newProducer(t, b, Config{Topic: topic, AllowPartial: true, CheckWritePermission: true, Logger: slog.New(slog.DiscardHandler)})
			start(t, p)
			b.Net.Revive(down)
		}
	})
}

// A cluster that creates no topics answers as one that is just creating it. Start detects that
// within seconds, not by the timeouts, and once for all missing topics; so do writes. Once the
// topic exists it is found.
func TestAutoTopicCreationForbidden(t *testing.T) {
	test := func(t *testing.T, b *testbroker.Broker) {
		topic := testbroker.TopicName()
		within := func(what string, began time.Time) {
			t.Helper()
			if took := time.Since(began); took < 5*time.Second || took > 15*time.Second {
				t.Errorf("%s took %v; want some 6 s", what, took)
			}
		}
		began := time.Now()
		p := newProducer(t, b, Config{Topics: []string{topic, topic + "-2", topic + "-3"}, AllowAutoTopicCreation: true})
		err := p.Start(bg)
		within("the Start", began)
		mustBe(t, err, kafka.UnknownTopicOrPartition)
		if errors.Is(err, context.DeadlineExceeded) || strings.Count(err.Error(), "topic \"") != 3 {
			t.Errorf("Start: %v; want it to name the three topics, and no timeout", err)
		}
		nothingLeft(t, b, p)

		p = newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), AnyTopic: true, AllowAutoTopicCreation: true})
		start(t, p)
		write := func() error { return p.WriteMessages(bg, kafka.Message{Topic: topic, Value: []byte("m")}) }
		began = time.Now()
		err = write()
		within("the write", began)
		if mustBe(t, err, ErrNotSent, kafka.UnknownTopicOrPartition); errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the write: %v", err)
		}
		began = time.Now()
		mustBe(t, write(), ErrNotSent, kafka.UnknownTopicOrPartition)
		if took := time.Since(began); took > time.Second {
			t.Errorf("the next write took %v", took)
		}
		b.CreateTopicNamed(t, topic, 1)
		until(t, "the topic to be found", func() bool { return write() == nil })
	}
	t.Run("virtual", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, testbroker.Virtual(t)) })
	})
	if !testing.Short() {
		t.Run("kafka", func(t *testing.T) { test(t, testbroker.Real(t)) })
	}
}

// With AllowPartial, a leader that does not answer the check of the permission gets one request.
// The next one goes to another leader of the topic. If a topic has no other, Start fails.
func TestCheckWritePermissionHangs(t *testing.T) {
	for _, c := range []struct {
		name    string
		topics  []string
		partial bool
		failed  []string
	}{
		{"another leader answers", []string{"both", "too"}, true, nil},
		{"no other leader", []string{"both", "alone", "also"}, true, []string{"alone", "also"}},
		{"all are wanted", []string{"both", "too"}, false, []string{"both"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.VirtualCluster(t, 2, kfake.SeedTopics(2, "both", "too"), kfake.SeedTopics(1, "alone", "also"))
				for topic, leaders := range map[string][]int32{"both": {0, 1}, "too": {0, 1}, "alone": {0}, "also": {0}} {
					for partition, node := range leaders {
						if err := b.Fake.MoveTopicPartition(topic, int32(partition), node); err != nil {
							t.Fatal(err)
						}
					}
				}
				var hung atomic.Int32
				b.Fake.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
					b.Fake.KeepControl()
					if b.Fake.CurrentNode() != 0 {
						return nil, nil, false
					}
					hung.Add(1)
					return nil, nil, true
				})
				p := newProducer(t, b, Config{Topics: c.topics, AllowPartial: c.partial, CheckWritePermission: true, WriteTimeout: time.Second, Logger: slog.New(slog.DiscardHandler)})
				began := time.Now()
				err := p.Start(bg)
				if took := time.Since(began); took > 1100*time.Millisecond || hung.Load() != 1 {
					t.Errorf("Start took %v, and asked the leader that hangs %d times", took, hung.Load())
				}
				if c.failed == nil {
					if err != nil {
						t.Errorf("Start: %v", err)
					}
					return
				}
				mustBe(t, err, context.DeadlineExceeded)
				for _, topic := range []string{"both", "too", "alone", "also"} {
					if named := strings.Contains(err.Error(), strconv.Quote(topic)); named != slices.Contains(c.failed, topic) {
						t.Errorf("Start: %v; named %s: %t", err, topic, named)
					}
				}
			})
		})
	}
}

// With AllowPartial, a topic without a leader makes the check of the permission neither fail nor
// wait. A denied topic is still named. A topic that does not exist is an error of its own, at once.
func TestCheckWritePermissionPartial(t *testing.T) {
	for _, c := range []struct {
		name   string
		topics []string
		part   string // that fails; empty: none
		named  []string
		is     error
	}{
		{"leaderless", []string{"leaderless", "mine"}, "", nil, nil},
		{"denied", []string{"leaderless", "theirs", "mine", "hers"}, "permission", []string{"theirs", "hers"}, kafka.TopicAuthorizationFailed},
		{"missing", []string{"missing", "leaderless", "theirs", "mine"}, "metadata", []string{"missing"}, kafka.UnknownTopicOrPartition},
		{"hidden", []string{"hidden", "leaderless", "mine"}, "metadata", []string{"hidden"}, kafka.TopicAuthorizationFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.VirtualCluster(t, 2, kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(2, "leaderless", "mine", "theirs", "hers", "hidden"),
					kfake.Superuser("PLAIN", "user", "right"),
					kfake.User("PLAIN", "writer", "writes",
						topicACL("leaderless", kmsg.ACLOperationWrite), topicACL("mine", kmsg.ACLOperationWrite), topicACL("missing", kmsg.ACLOperationWrite),
						topicACL("theirs", kmsg.ACLOperationDescribe), topicACL("hers", kmsg.ACLOperationDescribe)))
				b.Options = franzPassword
				noLeader(b, "leaderless")
				p := newProducer(t, b, Config{
					Topics: c.topics, AllowPartial: true, CheckWritePermission: true, Idempotence: IdempotenceOff,
					SASL: plain.Mechanism{Username: "writer", Password: "writes"}, Logger: slog.New(slog.DiscardHandler),
				})
				began := time.Now()
				err := p.Start(bg)
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("the Start took %v", took)
				}
				if c.part == "" {
					if err != nil {
						t.Fatalf("Start: %v", err)
					}
					if err := p.WriteMessages(bg, kafka.Message{Topic: "mine", Value: []byte("m")}); err != nil {
						t.Error(err)
					}
					mustBe(t, p.Ping(bg), kafka.LeaderNotAvailable)
					return
				}
				var failed *fsm.StartError
				if !errors.As(err, &failed) || failed.Part != c.part || !errors.Is(err, c.is) {
					t.Errorf("Start: %v; want %v, of the part %s", err, c.is, c.part)
				}
				for _, topic := range []string{"leaderless", "mine", "theirs", "hers", "hidden", "missing"} {
					if named := strings.Contains(err.Error(), strconv.Quote(topic)); named != slices.Contains(c.named, topic) {
						t.Errorf("%v: names %s: %t", err, topic, named)
					}
				}
				nothingLeft(t, b, p)
			})
		})
	}
}

// noLeader takes the leaders of a topic out of what brokers answer.
func noLeader(b *testbroker.Broker, topic string) {
	b.Net.Altered(func(answer []byte) {
		// Behind the name: not internal, two partitions; of each code, index, leader.
		at := bytes.Index(answer, append([]byte{0, 0, 0, byte(len(topic))}, topic...))
		if at < 0 {
			return
		}
		at += 4 + len(topic) + 1 + 4
		for range 2 {
			binary.BigEndian.PutUint16(answer[at:], uint16(kafka.LeaderNotAvailable))
			binary.BigEndian.PutUint32(answer[at+6:], math.MaxUint32)
			at += 2 + 4 + 4 + 4
			for range 3 { // replicas, those in sync, those offline
				at += 4 + 4*int(binary.BigEndian.Uint32(answer[at:]))
			}
		}
	})
}
