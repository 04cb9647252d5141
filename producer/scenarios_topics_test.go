package producer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Questions are the requests for metadata that the embedded cluster gets.
type questions struct {
	mu     sync.Mutex
	at     []time.Time
	topics [][]string
}

func watchQuestions(b *testbroker.Broker) *questions {
	q := new(questions)
	b.Fake.ControlKey(kmsg.Metadata.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		var names []string
		for _, rt := range kreq.(*kmsg.MetadataRequest).Topics {
			names = append(names, *rt.Topic)
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		q.at, q.topics = append(q.at, time.Now()), append(q.topics, names)
		return nil, nil, false
	})
	return q
}

// about returns the times of the requests that name a topic.
func (q *questions) about(topic string) (at []time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, names := range q.topics {
		if slices.Contains(names, topic) {
			at = append(at, q.at[i])
		}
	}
	return at
}

// kafka-go 683, 74, 1113: the first write to an auto-created topic fails. A cluster answers first
// that it does not know the topic, then that it has no leader. Here all callers wait for it, and so
// does a Start.
func TestR41FirstWriteToAnAutoCreatedTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.AllowAutoTopicCreation())
		q := watchQuestions(b)
		for i, name := range []string{"written", "declared"} {
			b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: name, Err: kerr.UnknownTopicOrPartition, Count: 3})
			b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: name, Err: kerr.LeaderNotAvailable, Count: 2})
			cfg := Config{AnyTopic: true, AllowAutoTopicCreation: true}
			if i == 1 {
				cfg.Topic = name
			}
			l := newLedger()
			p := newProducer(t, b, cfg)
			start(t, p)
			var wg sync.WaitGroup
			for w := range 50 {
				wg.Go(func() {
					m := kafka.Message{Topic: name, Value: fmt.Append(nil, w)}
					if err := l.write(bg, t, p, m); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if err := p.Stop(bg); err != nil {
				t.Error(err)
			}
			if n := len(q.about(name)); n < 4 || n > 12 {
				t.Errorf("%s was asked for %d times", name, n)
			}
			if c := l.verify(t, b, name); c.acked != 50 {
				t.Errorf("%v", c)
			}
		}
	})
}

// kafka-python 1325, 1467, KAFKA-3236: a send blocks longer than its bound. The first use of a topic takes
// no longer than the DeliveryTimeout, nor than the caller's context, whose cause the error keeps.
func TestR46FirstUseIsBounded(t *testing.T) {
	for name, fault := range map[string]struct {
		begin func(b *testbroker.Broker) (end func())
		cause error
	}{
		"NoAnswer": {begin: func(b *testbroker.Broker) func() {
			h := b.Hang(kmsg.Metadata)
			return func() { h.Set(false) }
		}},
		"NoBroker": {begin: func(b *testbroker.Broker) func() {
			b.Net.Kill(0)
			return func() { b.Net.Revive(0) }
		}},
		"NeverCreated": {begin: func(b *testbroker.Broker) func() {
			return b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "new", Err: kerr.LeaderNotAvailable, Count: -1}).Remove
		}, cause: kafka.LeaderNotAvailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t, kfake.SeedTopics(1, "old", "new"))
				p := newProducer(t, b, Config{Topic: "old", AnyTopic: true})
				start(t, p)
				end := fault.begin(b)
				reason := errors.New("no more time")
				for _, test := range []struct {
					patience time.Duration
					want     error
				}{{5 * time.Second, reason}, {time.Hour, context.DeadlineExceeded}} {
					ctx, cancel := context.WithTimeoutCause(bg, test.patience, reason)
					m := kafka.Message{Topic: "new", Value: []byte("x")}
					began := time.Now()
					write := async(func() error { return p.WriteMessages(ctx, m) })
					_, err := p.Send(ctx, m)
					for _, err := range []error{err, get(t, write)} {
						mustBe(t, err, ErrNotSent, test.want)
						if fault.cause != nil {
							mustBe(t, err, fault.cause)
						}
					}
					if took, want := time.Since(began), min(test.patience, 30*time.Second); took != want {
						t.Errorf("they took %v, want %v", took, want)
					}
					cancel()
				}
				end()
				if err := p.WriteMessages(bg, kafka.Message{Topic: "new", Value: []byte("y")}); err != nil {
					t.Error(err)
				}
				if found := values(t, b, "new"); len(found) != 1 || found["y"] != 1 {
					t.Errorf("found %v", found)
				}
			})
		})
	}
}
