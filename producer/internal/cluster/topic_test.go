package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

func TestTopic(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		name := b.CreateTopic(t, 3)
		c := openOn(t, b, Config{})
		topic, err := c.Topic(t.Context(), name)
		if err != nil || topic.Err != nil || len(topic.Partitions) != 3 || topic.Name != name {
			t.Fatalf("Topic: %+v, %v", topic, err)
		}
		for _, p := range topic.Partitions {
			if _, ok := c.Address(p.Leader); !ok {
				t.Errorf("the leader of %+v has no address", p)
			}
		}
		if c.ID() == "" {
			t.Error("the cluster has no id")
		}
		missing, err := c.Topic(t.Context(), testbroker.TopicName())
		if b.Fake != nil && (err != nil || missing.Err != kafka.UnknownTopicOrPartition) {
			t.Errorf("a topic that does not exist: %+v, %v", missing, err)
		}
	})
}

// A topic that does not exist is remembered, for longer each time, and does not flood the
// cluster (R49).
func TestMissingTopicIsRemembered(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		c := openOn(t, b, Config{})
		questions := counted(b)
		began, calls := time.Now(), 0
		for time.Since(began) < time.Minute {
			topic, err := c.Topic(t.Context(), "missing")
			if err != nil || topic.Err != kafka.UnknownTopicOrPartition {
				t.Fatalf("Topic: %+v, %v", topic, err)
			}
			calls++
			time.Sleep(10 * time.Millisecond)
		}
		if n := questions.Load(); n < 10 || n > 20 || calls < 5000 {
			t.Errorf("%d questions in a minute, %d calls", n, calls)
		}
		b.CreateTopicNamed(t, "missing", 2)
		time.Sleep(longMissing)
		if topic, err := c.Topic(t.Context(), "missing"); err != nil || topic.Err != nil || len(topic.Partitions) != 2 {
			t.Errorf("the topic that was created since: %+v, %v", topic, err)
		}
	})
}

// A topic that is created for its first use is waited for (R41).
func TestAutoCreate(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		c := openOn(t, b, Config{AutoCreate: true})
		b.Fake.ControlKey(kmsg.Metadata.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			res := req.ResponseKind().(*kmsg.MetadataResponse)
			for _, rt := range req.(*kmsg.MetadataRequest).Topics {
				res.Topics = append(res.Topics, kmsg.MetadataResponseTopic{Topic: rt.Topic, ErrorCode: kerr.UnknownTopicOrPartition.Code})
			}
			res.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 0, Host: "localhost", Port: 9092}}
			return res, nil, true
		})
		topic, err := c.Topic(t.Context(), "new")
		if err != nil || topic.Err != nil || len(topic.Partitions) == 0 {
			t.Errorf("Topic: %+v, %v", topic, err)
		}
	}, kfake.AllowAutoTopicCreation())
}

// Topics that are created for their first use take as long as one: those that are used at once are asked for
// together, and no topic waits longer because others have come before it.
func TestAutoCreateMany(t *testing.T) {
	const n = 1000
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		asked := make(map[string]bool)
		requests := 0
		b.Fake.ControlKey(kmsg.Metadata.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			time.Sleep(time.Millisecond) // all that are about to ask do
			requests++
			created := false
			res := req.ResponseKind().(*kmsg.MetadataResponse)
			for _, rt := range req.(*kmsg.MetadataRequest).Topics {
				created = created || !asked[*rt.Topic]
				asked[*rt.Topic] = true
				res.Topics = append(res.Topics, kmsg.MetadataResponseTopic{Topic: rt.Topic, ErrorCode: kerr.UnknownTopicOrPartition.Code})
			}
			res.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 0, Host: "localhost", Port: 9092}}
			return res, nil, created
		})
		c := openOn(t, b, Config{AutoCreate: true})
		use := func(name string) {
			began := time.Now()
			topic, err := c.Topic(t.Context(), name)
			if took := time.Since(began); err != nil || topic.Err != nil || took > firstMissing+firstPause {
				t.Errorf("%s: %+v, %v after %v", name, topic, err, took)
			}
		}
		for i := range 50 {
			use(fmt.Sprint("in-turn-", i))
		}
		requests = 0
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { use(fmt.Sprint("at-once-", i)) })
		}
		wg.Wait()
		if requests > 4 {
			t.Errorf("%d topics at once: %d requests", n, requests)
		}
	}, kfake.AllowAutoTopicCreation())
}

// If a topic never appears, the error says so when ctx ends. If the cluster creates no topics, that
// is found after some seconds, with few requests. Later callers get the error at once.
func TestTopicThatNeverComes(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		c := openOn(t, b, Config{AutoCreate: true}) // the cluster does not
		questions := counted(b)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		_, err := c.Topic(ctx, "never")
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, kafka.UnknownTopicOrPartition) || time.Since(began) != 3*time.Second {
			t.Errorf("Topic: %v after %v", err, time.Since(began))
		}
		for range 3 {
			topic, err := c.Topic(t.Context(), "never")
			if took := time.Since(began); err != nil || topic.Err != kafka.UnknownTopicOrPartition || took < createdWithin || took > createdWithin+2*time.Second {
				t.Errorf("Topic: %+v, %v after %v", topic, err, took)
			}
		}
		if n := questions.Load(); n > 8 {
			t.Errorf("%d questions", n)
		}
		time.Sleep(time.Hour) // the cluster's settings may be others now: it is waited for again
		began = time.Now()
		go func() { time.Sleep(2 * time.Second); b.CreateTopicNamed(t, "never", 1) }()
		if topic, err := c.Topic(t.Context(), "never"); err != nil || topic.Err != nil || time.Since(began) < 2*time.Second {
			t.Errorf("Topic: %+v, %v after %v", topic, err, time.Since(began))
		}
	})
}

// While a partition has no leader, metadata are requested every second.
func TestLeaderIsAwaited(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		var leader atomic.Int32
		c := openOn(t, b, Config{Changed: func(topics []*Topic) { leader.Store(topics[0].Partitions[0].Leader) }})
		var led atomic.Bool
		var questions atomic.Int64
		b.Fake.ControlKey(kmsg.Metadata.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			questions.Add(1)
			if led.Load() {
				return nil, nil, false
			}
			res := req.ResponseKind().(*kmsg.MetadataResponse)
			res.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 0, Host: "localhost", Port: 9092}}
			res.Topics = []kmsg.MetadataResponseTopic{{Topic: kmsg.StringPtr("t"), Partitions: []kmsg.MetadataResponseTopicPartition{{Leader: -1, ErrorCode: kerr.LeaderNotAvailable.Code}}}}
			return res, nil, true
		})
		if topic, err := c.Topic(t.Context(), "t"); err != nil || topic.Partitions[0].Leader != NoLeader {
			t.Fatalf("Topic: %+v, %v", topic, err)
		}
		time.Sleep(time.Minute)
		if n := questions.Load(); n < 55 || n > 70 || leader.Load() != NoLeader {
			t.Errorf("%d questions in a minute", n)
		}
		led.Store(true)
		time.Sleep(longLeader)
		if leader.Load() != 0 {
			t.Error("the leader is not noticed")
		}
		n := questions.Load()
		time.Sleep(time.Minute)
		if questions.Load() != n {
			t.Error("it goes on asking")
		}
	}, kfake.SeedTopics(1, "t"))
}

// Topics that do not exist do not take memory without end.
func TestMissingTopicsAreForgotten(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		c := openOn(t, b, Config{})
		for i := range 3 * manyTopics {
			if _, err := c.Topic(t.Context(), fmt.Sprint("missing-", i)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if n := len(c.topics); n > manyTopics+200 {
			t.Errorf("%d topics are remembered", n)
		}
	})
}

// Metadata are requested every few minutes, which keeps the connection alive. The request names
// only topics in use.
func TestOnlyTopicsInUse(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		c := openOn(t, b, Config{})
		var mu sync.Mutex
		var asked []string
		b.Fake.ControlKey(kmsg.Metadata.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			mu.Lock()
			defer mu.Unlock()
			if req.(*kmsg.MetadataRequest).Topics == nil {
				asked = append(asked, "all")
			}
			for _, rt := range req.(*kmsg.MetadataRequest).Topics {
				asked = append(asked, *rt.Topic)
			}
			return nil, nil, false
		})
		want := func(what string, names ...string) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(asked, names) {
				t.Errorf("%s: asked for %v, want %v", what, asked, names)
			}
			asked = nil
		}
		if err := c.Update(t.Context()); err != nil {
			t.Fatal(err)
		}
		want("no topic in use")
		c.Use("a", "b")
		c.Topic(t.Context(), "a")
		want("two in use", "a", "b")
		c.Forget("a")
		opened := b.Accepted()
		time.Sleep(maxAge + time.Second)
		want("after a while", "b")
		if b.Accepted() != opened {
			t.Error("another connection was opened")
		}
	}, kfake.SeedTopics(1, "a", "b"))
}

func TestApply(t *testing.T) {
	now := time.Unix(0, 0)
	brokers := map[int32]string{1: "a", 2: "b"}
	answer := func(code kafka.Error, partitions ...Partition) *metadata.ResponseTopic {
		m := &metadata.ResponseTopic{Name: "t", ErrorCode: int16(code)}
		for i, p := range partitions {
			m.Partitions = append(m.Partitions, metadata.ResponsePartition{PartitionIndex: int32(i), LeaderID: p.Leader, LeaderEpoch: p.Epoch})
		}
		return m
	}
	var topic topic
	for _, step := range []struct {
		what   string
		after  time.Duration
		answer *metadata.ResponseTopic
		err    error
		want   []Partition
	}{
		{"the first", 0, answer(0, Partition{1, 5}, Partition{2, 7}), nil, []Partition{{1, 5}, {2, 7}}},
		{"a newer one", 0, answer(0, Partition{2, 6}, Partition{2, 7}), nil, []Partition{{2, 6}, {2, 7}}},
		{"an older one", 0, answer(0, Partition{1, 5}, Partition{1, 8}), nil, []Partition{{2, 6}, {1, 8}}},
		{"older still", 4 * time.Second, answer(0, Partition{1, 5}, Partition{1, 8}), nil, []Partition{{2, 6}, {1, 8}}},
		{"older for too long", 2 * time.Second, answer(0, Partition{1, 5}, Partition{1, 8}), nil, []Partition{{1, 5}, {1, 8}}},
		{"no leader", 0, answer(0, Partition{-1, 6}, Partition{1, 8}), nil, []Partition{{-1, 6}, {1, 8}}},
		{"an unknown leader", 0, answer(0, Partition{9, 7}, Partition{1, 8}), nil, []Partition{{-1, 7}, {1, 8}}},
		{"without epochs", 0, answer(0, Partition{1, -1}, Partition{2, -1}), nil, []Partition{{1, -1}, {2, -1}}},
		{"unknown", 0, answer(kafka.UnknownTopicOrPartition), kafka.UnknownTopicOrPartition, []Partition{{1, -1}, {2, -1}}},
		{"being created", 0, answer(0), kafka.LeaderNotAvailable, []Partition{{1, -1}, {2, -1}}},
		{"fewer", 0, answer(0, Partition{2, 3}), nil, []Partition{{2, 3}, {2, -1}}},
		{"fewer still", 6 * time.Second, answer(0, Partition{2, 3}), nil, []Partition{{2, 3}}},
		{"more", 0, answer(0, Partition{2, 3}, Partition{1, 1}, Partition{1, 1}), nil, []Partition{{2, 3}, {1, 1}, {1, 1}}},
	} {
		now = now.Add(step.after)
		topic.apply(step.answer, brokers, now)
		if topic.Err != step.err || !slices.Equal(topic.Partitions, step.want) {
			t.Fatalf("%s: %v, %v, want %v, %v", step.what, topic.Err, topic.Partitions, step.err, step.want)
		}
	}
	m := answer(0, Partition{1, 1}, Partition{1, 1})
	m.Partitions[0].PartitionIndex, m.Partitions[1].PartitionIndex = 1<<30, -1
	topic.apply(m, brokers, now.Add(time.Hour))
	if len(topic.Partitions) > 3 {
		t.Errorf("%d partitions of an answer with two", len(topic.Partitions))
	}
}

// If the answers lack the topic, the error says so.
func TestAnswersWithoutTheTopic(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		c := openOn(t, b, Config{})
		b.Fake.ControlKey(kmsg.Metadata.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			res := req.ResponseKind().(*kmsg.MetadataResponse)
			res.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 0, Host: "localhost", Port: 9092}}
			return res, nil, true
		})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := c.Topic(ctx, "t"); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errLacking) {
			t.Errorf("Topic: %v", err)
		}
	})
}

// The first use of a topic asks for that topic alone, or for all new ones together. It delays no other question.
func TestFirstUses(t *testing.T) {
	const n = 1000
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		var requests, names atomic.Int64
		b.Fake.ControlKey(kmsg.Metadata.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			time.Sleep(time.Millisecond) // all who are about to ask do
			requests.Add(1)
			names.Add(int64(len(r.(*kmsg.MetadataRequest).Topics)))
			return nil, nil, false
		})
		c := openOn(t, b, Config{})
		use := func(i int) {
			if found, err := c.Topic(t.Context(), fmt.Sprint("t", i)); err != nil || found.Err != nil {
				t.Error(found, err)
			}
		}
		for i := range n {
			use(i)
		}
		if requests.Load() != n || names.Load() != n {
			t.Errorf("%d topics, one after the other: %d requests, with %d names", n, requests.Load(), names.Load())
		}
		requests.Store(0)
		c.Refresh()
		time.Sleep(firstPause)
		if requests.Load() != 1 {
			t.Error("a question for all topics waits because topics were new")
		}
		requests.Store(0)
		names.Store(0)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { use(n + i) })
		}
		wg.Wait()
		if requests.Load() > 2 || names.Load() != n {
			t.Errorf("%d topics at the same time: %d requests, with %d names", n, requests.Load(), names.Load())
		}
	}, kfake.SeedTopics(1, func() (all []string) {
		for i := range 2 * n {
			all = append(all, fmt.Sprint("t", i))
		}
		return all
	}()...))
}
