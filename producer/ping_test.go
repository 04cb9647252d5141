package producer

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
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

// What a leader answers is found through the wrappers.
func TestPingError(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 2)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.NotLeaderForPartition})
		err := p.Ping(bg)
		var topicErr *TopicError
		if !errors.As(err, &topicErr) || topicErr.Topic != topic {
			t.Errorf("%v does not name the topic", err)
		}
		mustBe(t, err, kafka.NotLeaderForPartition)
	})
}

// A leader has moved: a Ping that finds it gone makes the producer ask who leads, and
// the next one is good, not the one after the seconds that kafka-go's cache lasts.
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
			if err := p.Ping(bg); err != nil { // else the producer has just looked by itself
				mustBe(t, err, kafka.NotLeaderForPartition)
			}
			time.Sleep((100 * time.Millisecond))
			if err := p.Ping(bg); err != nil {
				t.Errorf("%v after the leader had moved: %v", (100 * time.Millisecond), err)
			}
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
			time.Sleep(20 * time.Second) // what the Transport knows is renewed
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
		// With a leader that does not answer it is more than that.
		b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.NotLeaderForPartition})
		if err := p.Ping(bg); err == nil || errors.Is(err, ErrPartial) {
			t.Errorf("a leader that does not lead: %v", err)
		}
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

// A Ping is one request to each broker that leads, and dials nothing.
func TestPingIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const brokers, pings = 3, 10
		b := testbroker.VirtualCluster(t, brokers)
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 30)})
		start(t, p)
		synctest.Wait()
		before, requests := b.Accepted(), 0
		b.Fake.Control(func(kreq kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			if kreq.Key() != int16(kmsg.Metadata) { // the Transport's own, now and then
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
		if requests != pings*brokers || b.Accepted() != before {
			t.Errorf("%d requests and %d dials for %d Pings; want %d and none", requests, b.Accepted()-before, pings, pings*brokers)
		}
		t.Logf("CHECKED producer-ping pings=%d requests=%d dials=%d partitions=30", pings, requests, b.Accepted()-before)
	})
}

// Concurrent Pings share a round; one that leaves takes nobody with it.
func TestPingIsShared(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1)})
		start(t, p)
		answer, asked := make(chan struct{}), make(chan struct{}, 100)
		b.Fake.ControlKey(kmsg.ListOffsets.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			asked <- struct{}{}
			b.Fake.SleepControl(func() { <-answer })
			return nil, nil, false
		})
		ctx, cancel := context.WithCancel(bg)
		leaver := async(func() error { return p.Ping(ctx) })
		get(t, asked)
		others := make([]<-chan error, 20)
		for i := range others {
			others[i] = async(func() error { return p.Ping(bg) })
		}
		cancel()
		mustBe(t, get(t, leaver), context.Canceled)
		close(answer)
		for _, o := range others {
			if err := get(t, o); err != nil {
				t.Error(err)
			}
		}
		if n := len(asked); n != 0 {
			t.Errorf("%d more requests, want one for all", n)
		}
	})
}

// A Stop does not wait for a Ping, and leaves none behind.
func TestStopEndsPing(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1)})
		start(t, p)
		hung := b.Hang(kmsg.ListOffsets)
		ping := async(func() error { return p.Ping(bg) })
		until(t, "the ping to hang", func() bool { return hung.Hits() > 0 })
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		mustBe(t, get(t, ping), ErrNotStarted)
		if p.State() != fsm.Idle {
			t.Errorf("state %v", p.State())
		}
		nothingLeft(t, b, p)
	})
}
