package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Ping notices a broker that hangs or is gone, and a stopped producer.
func TestPing(t *testing.T) {
	testbroker.EachCluster(t, 2, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 4)
		e := start(t, config(b, topic))
		if err := e.Ping(t.Context()); err != nil {
			t.Errorf("Ping: %v", err)
		}
		opened := b.Accepted()
		for range 5 {
			if err := e.Ping(t.Context()); err != nil {
				t.Errorf("Ping: %v", err)
			}
		}
		if b.Accepted() != opened {
			t.Error("Ping opens connections")
		}
		hung := b.Hang(kmsg.ApiVersions)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := e.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) || hung.Hits() == 0 {
			t.Errorf("Ping of a broker that hangs: %v", err)
		}
		hung.Set(false)
		b.Net.Kill(1)
		ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := e.Ping(ctx); err == nil {
			t.Error("Ping of a broker that is gone succeeds")
		}
		b.Net.Revive(1)
		ctx, cancel = context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		for e.Ping(ctx) != nil && ctx.Err() == nil {
			time.Sleep(50 * time.Millisecond)
		}
		if ctx.Err() != nil {
			t.Error("Ping never succeeds again")
		}
	})
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		e := New(config(b, "t"))
		if err := e.Ping(t.Context()); !errors.Is(err, fsm.ErrNotStarted) {
			t.Errorf("Ping before Start: %v", err)
		}
	})
}

// A broker that answers produce requests gets no request from a Ping.
func TestPingWhileBusy(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.ConnectionsPerBroker = 1
		e := start(t, cfg)
		b.Hang(kmsg.ApiVersions)
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.SleepControl(func() { time.Sleep(3 * time.Second) })
			return nil, nil, false
		})
		done := make(chan error, 1)
		go func() { done <- e.Write(t.Context(), time.Now(), message("x")) }()
		time.Sleep(time.Second)
		began := time.Now()
		if err := e.Ping(t.Context()); err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("Ping: %v after %v", err, time.Since(began))
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}, kfake.SeedTopics(1, "t"))
}

// With AcksNone a produce request has no answer: it does not answer for a Ping.
func TestPingWithoutAcknowledgements(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.Mode, cfg.Acks, cfg.ConnectionsPerBroker = core.Unanswered, 0, 1
		e := start(t, cfg)
		hung := b.Hang(kmsg.ApiVersions)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		over := make(chan struct{})
		go func() {
			defer close(over)
			for ctx.Err() == nil {
				if _, err := send(t.Context(), e, message("x")); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Millisecond)
			}
		}()
		if err := e.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "broker 0") {
			t.Errorf("Ping of a broker that does not answer: %v", err)
		}
		<-over
		hung.Set(false)
		if err := e.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	}, kfake.SeedTopics(1, "t"))
}

// Pings that come during a request share the next one, for metadata and to the broker. One that
// leaves does not end it for the others.
func TestPingsShare(t *testing.T) {
	for _, slow := range []kmsg.Key{kmsg.ApiVersions, kmsg.Metadata} {
		bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
			e := start(t, config(b, "t"))
			var mu sync.Mutex
			asked := make(map[kmsg.Key]int)
			b.Fake.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
				b.Fake.KeepControl()
				key := kmsg.Key(req.Key())
				mu.Lock()
				asked[key]++
				first := asked[key] == 1
				mu.Unlock()
				if first && key == slow {
					b.Fake.SleepControl(func() { time.Sleep(5 * time.Second) })
				}
				return nil, nil, false
			})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			began := time.Now()
			leaver := make(chan error, 1)
			go func() { leaver <- e.Ping(ctx) }()
			time.Sleep(time.Second)
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if err := e.Ping(t.Context()); err != nil {
						t.Errorf("%v: Ping: %v", slow, err)
					}
				})
			}
			if err := <-leaver; !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 2*time.Second {
				t.Errorf("%v: a Ping that leaves: %v after %v", slow, err, time.Since(began))
			}
			wg.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(asked) != 2 || asked[slow] != 2 { // what is quick may be asked while some are still to come
				t.Errorf("%v is slow: asked %v for 51 Pings", slow, asked)
			}
		}, kfake.SeedTopics(3, "t"))
	}
}

// A stop ends a Ping wherever it waits, and is not held up by it.
func TestStopEndsPing(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.ApiVersions, kmsg.Metadata} {
		bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
			e := New(config(b, "t"))
			if err := e.Start(t.Context(), ignore); err != nil {
				t.Fatal(err)
			}
			hung := b.Hang(key)
			ping := make(chan error, 1)
			go func() { ping <- e.Ping(t.Context()) }()
			time.Sleep(time.Second)
			if hung.Hits() == 0 {
				t.Fatal("the Ping does not hang")
			}
			began := time.Now()
			e.Drain()
			if err := <-ping; err != fsm.ErrNotStarted || time.Since(began) > 0 {
				t.Errorf("%v: Ping: %v after %v", key, err, time.Since(began))
			}
			if err := e.Ping(t.Context()); err != fsm.ErrNotStarted {
				t.Errorf("%v: Ping while it stops: %v", key, err)
			}
			if err := e.Stop(t.Context()); err != nil || time.Since(began) > 0 {
				t.Errorf("%v: Stop: %v after %v", key, err, time.Since(began))
			}
			leavesNothing(t, e)
		}, kfake.SeedTopics(1, "t"))
	}
}

// A topic that is gone, or has no leader at all, is a failure. A topic that lacks some leaders is
// partial. The error of Ping names the topic.
func TestPingOfTopics(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		e := start(t, config(b, "t", "u"))
		topicErr := func(err error) TopicError {
			t.Helper()
			var topic *TopicError
			if !errors.As(err, &topic) {
				t.Fatalf("no topic is named: %v", err)
			}
			return *topic
		}
		var answer atomic.Pointer[kmsg.MetadataResponseTopic]
		b.Fake.ControlKey(kmsg.Metadata.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			res := req.ResponseKind().(*kmsg.MetadataResponse)
			res.ClusterID = kmsg.StringPtr("kfake")
			res.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 0, Host: "localhost", Port: 9092}}
			res.Topics = append(res.Topics, metadataOf("t"), *answer.Load())
			return res, nil, true
		})
		set := func(rt kmsg.MetadataResponseTopic) { answer.Store(&rt) }
		for range 3 {
			set(metadataOf("u", 1))
			if err := e.Ping(t.Context()); !errors.Is(err, ErrPartial) || fmt.Sprint(topicErr(err)) != fmt.Sprint(TopicError{"u", []int{1}, kafka.LeaderNotAvailable}) {
				t.Errorf("with a partition without leader: %v", err)
			}
			set(metadataOf("u", 0, 1))
			if err := e.Ping(t.Context()); errors.Is(err, ErrPartial) || fmt.Sprint(topicErr(err)) != fmt.Sprint(TopicError{"u", []int{0, 1}, kafka.LeaderNotAvailable}) {
				t.Errorf("with a topic without leader: %v", err)
			}
			gone := kmsg.NewMetadataResponseTopic()
			gone.Topic, gone.ErrorCode = kmsg.StringPtr("u"), kerr.UnknownTopicOrPartition.Code
			set(gone)
			if err := e.Ping(t.Context()); errors.Is(err, ErrPartial) || topicErr(err).Topic != "u" || !errors.Is(err, kafka.UnknownTopicOrPartition) {
				t.Errorf("with a topic that is gone: %v", err)
			}
			set(metadataOf("u"))
			time.Sleep(10 * time.Second) // that it is gone is remembered for a moment
			if err := e.Ping(t.Context()); err != nil {
				t.Errorf("Ping: %v", err)
			}
		}
	}, kfake.SeedTopics(2, "t", "u"))
}

// metadataOf is what brokers say of a topic with two partitions, of which some have no leader.
func metadataOf(name string, leaderless ...int32) kmsg.MetadataResponseTopic {
	rt := kmsg.NewMetadataResponseTopic()
	rt.Topic = kmsg.StringPtr(name)
	for i := range int32(2) {
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition = i
		if slices.Contains(leaderless, i) {
			p.Leader, p.ErrorCode = -1, kerr.LeaderNotAvailable.Code
		}
		rt.Partitions = append(rt.Partitions, p)
	}
	return rt
}
