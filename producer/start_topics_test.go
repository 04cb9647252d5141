package producer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
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

// A topic that was deleted between two starts is found out at once; one that was created again,
// with fewer partitions or more, starts and is written to. What was written to without being
// declared does not hold up a start, and is asked for again.
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

// With AllowPartial the permission is asked for where there is a connection.
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

// A cluster that creates no topics answers as one that is just creating it. That is found out within
// seconds, not by the timeouts, and once for all topics that are missing; by writes, too. Once it is
// there a topic is found.
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

// With AllowPartial, a topic without a leader does not make the check of the permission fail, nor wait;
// what is denied is named still. A topic that does not exist is an error of its own, at once.
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
