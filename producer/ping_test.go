package producer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A broker that hangs is noticed, although all that Ping asks for is cached.
func TestPingIsHonest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 2)})
		start(t, p)
		for range 3 {
			if err := p.Ping(bg); err != nil {
				t.Fatal(err)
			}
		}
		hung := b.Hang()
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		mustBe(t, p.Ping(ctx), context.DeadlineExceeded)
		began := time.Now()
		if err := p.Ping(bg); err == nil {
			t.Error("Ping of a broker that hangs succeeded")
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("Ping took %v, want at most the ReadTimeout, 10 s", took)
		}
		hung.Set(false)
		if err := p.Ping(bg); err != nil {
			t.Errorf("Ping of a broker that is back: %v", err)
		}
	})
}

// Also of a producer for any topic, which knows no leader.
func TestPingAnyTopicIsHonest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		p := newProducer(t, b, Config{AnyTopic: true})
		start(t, p)
		if err := p.Ping(bg); err != nil {
			t.Fatal(err)
		}
		hung := b.Hang()
		if err := p.Ping(bg); err == nil {
			t.Error("Ping of a broker that hangs succeeded")
		}
		hung.Set(false)
		if err := p.Ping(bg); err != nil {
			t.Errorf("Ping of a broker that is back: %v", err)
		}
	})
}

// errors.Is finds the cluster's error for a topic as a whole through the wrappers, and Ping returns
// nil once it is over.
func TestPingError(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 2)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		fault := b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Err: kerr.TopicAuthorizationFailed, Count: -1})
		err := p.Ping(bg)
		var topicErr *TopicError
		if !errors.As(err, &topicErr) || topicErr.Topic != topic || errors.Is(err, ErrPartial) {
			t.Errorf("%v does not name the topic", err)
		}
		mustBe(t, err, kafka.TopicAuthorizationFailed)
		fault.Remove()
		until(t, "a Ping that goes well", func() bool { return p.Ping(bg) == nil })
	})
}

// A leader that has moved is found by the next Ping, and one that is gone is named.
func TestPingFindsALeaderThatMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.VirtualCluster(t, 3)
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		for range 20 {
			if err := b.Fake.MoveTopicPartition(topic, 0, (b.Fake.LeaderFor(topic, 0)+1)%3); err != nil {
				t.Fatal(err)
			}
			if err := p.Ping(bg); err != nil {
				t.Errorf("Ping after the leader had moved: %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		leader := b.Fake.LeaderFor(topic, 0)
		b.Net.Kill(int(leader))
		if err := p.Ping(bg); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("broker %d", leader)) {
			t.Errorf("Ping of leader %d, which is gone: %v", leader, err)
		}
		b.Net.Revive(int(leader))
		time.Sleep(5 * time.Second)
		if err := p.Ping(bg); err != nil {
			t.Errorf("Ping of a leader that is back: %v", err)
		}
	})
}

// A partition without a leader is reported as such, a topic without any is a failure.
func TestPingPartial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 2)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		var on atomic.Bool
		leaderless(b, topic, &on)
		ping := func() error {
			time.Sleep(10 * time.Second) // that a topic is gone is remembered for a moment
			return p.Ping(bg)
		}
		if err := ping(); err != nil {
			t.Error(err)
		}
		on.Store(true)
		err := ping()
		mustBe(t, err, ErrPartial, kafka.LeaderNotAvailable)
		var topicErr *TopicError
		if !errors.As(err, &topicErr) || topicErr.Topic != topic || !slices.Equal(topicErr.Partitions, []int{0}) {
			t.Errorf("%v does not name the partition", err)
		}
		// With a leader that does not answer, the error is more than that.
		hung := b.Hang(kmsg.ApiVersions)
		if err := p.Ping(bg); err == nil || errors.Is(err, ErrPartial) {
			t.Errorf("a leader that does not answer: %v", err)
		}
		hung.Set(false)
		on.Store(false)
		if err := ping(); err != nil {
			t.Error(err)
		}
		b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Err: kerr.LeaderNotAvailable, Count: -1})
		err = ping()
		mustBe(t, err, kafka.LeaderNotAvailable)
		if errors.Is(err, ErrPartial) {
			t.Errorf("a topic without any leader: %v", err)
		}
	})
}

// A Ping is one request for metadata and one to each broker that leads, and dials nothing.
func TestPingIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const brokers, pings = 3, 10
		b := testbroker.VirtualCluster(t, brokers)
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 30)})
		start(t, p)
		synctest.Wait()
		before, requests, metadata := b.Accepted(), 0, 0
		b.Fake.Control(func(kreq kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			if kreq.Key() == int16(kmsg.Metadata) {
				metadata++
			} else {
				requests++
			}
			return nil, nil, false
		})
		for range pings {
			if err := p.Ping(bg); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		if requests != pings*brokers || metadata != pings || b.Accepted() != before {
			t.Errorf("%d requests, %d of them for metadata, and %d dials for %d Pings; want %d, %d and none",
				requests+metadata, metadata, b.Accepted()-before, pings, pings*(brokers+1), pings)
		}
		t.Logf("CHECKED producer-ping pings=%d requests=%d dials=%d partitions=30", pings, requests, b.Accepted()-before)
	})
}

// Pings that come during a request share the next one. One that leaves does not end it for the
// others.
func TestPingIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1)})
		start(t, p)
		var asked atomic.Int64
		b.Fake.ControlKey(kmsg.ApiVersions.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			if asked.Add(1) == 1 {
				b.Fake.SleepControl(func() { time.Sleep(5 * time.Second) })
			}
			return nil, nil, false
		})
		ctx, cancel := context.WithTimeout(bg, 2*time.Second)
		defer cancel()
		leaver := async(func() error { return p.Ping(ctx) })
		time.Sleep(time.Second)
		others := make([]<-chan error, 20)
		for i := range others {
			others[i] = async(func() error { return p.Ping(bg) })
		}
		began := time.Now()
		mustBe(t, <-leaver, context.DeadlineExceeded)
		if took := time.Since(began); took != time.Second {
			t.Errorf("it left after %v", took)
		}
		for _, o := range others {
			if err := <-o; err != nil {
				t.Error(err)
			}
		}
		if n := asked.Load(); n != 2 {
			t.Errorf("%d requests; want one, and one for all that came meanwhile", n)
		}
	})
}

// A Stop does not wait for a Ping, wherever that waits, and leaves none behind.
func TestStopEndsPing(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.ApiVersions, kmsg.Metadata} {
		t.Run(key.Name(), func(t *testing.T) {
			testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
				p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1)})
				for _, end := range []struct {
					stop func(context.Context) error
					want error
				}{{p.Stop, ErrNotStarted}, {p.Shutdown, ErrClosed}} {
					start(t, p)
					hung := b.Hang(key)
					ping := async(func() error { return p.Ping(bg) })
					until(t, "the ping to hang", func() bool { return hung.Hits() > 0 })
					if err := end.stop(bg); err != nil {
						t.Error(err)
					}
					mustBe(t, get(t, ping), end.want)
					nothingLeft(t, b, p)
					hung.Set(false)
				}
			})
		})
	}
}
