package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
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

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Every declared topic is proved; one error names each bad one.
func TestStartNamesEveryBadTopic(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		good, bad1, bad2 := b.CreateTopic(t, 1), testbroker.TopicName(), testbroker.TopicName()
		p := newProducer(t, b, Config{Topic: bad1, Topics: []string{good, bad2}})
		err := p.Start(bg)
		mustBe(t, err, kafka.UnknownTopicOrPartition)
		for _, topic := range []string{bad1, bad2} {
			if !strings.Contains(err.Error(), topic) {
				t.Errorf("%v does not name %s", err, topic)
			}
		}
		if strings.Contains(err.Error(), good) {
			t.Errorf("%v names %s, which is there", err, good)
		}
	})
}

// Every broker that leads a partition is connected when Start returns; nothing is dialled after.
func TestStartConnectsEveryLeader(t *testing.T) {
	testbroker.EachCluster(t, 3, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 12)
		for i := range int32(12) {
			if err := b.Fake.MoveTopicPartition(topic, i, i%3); err != nil {
				t.Fatal(err)
			}
		}
		for _, each := range []int{0, 1, 5} {
			p := newProducer(t, b, Config{Topic: topic, ConnectionsPerBroker: each})
			before := b.Accepted()
			start(t, p)
			want := 3 * each
			if each == 0 {
				want = 3 * 2
			}
			if now, ever := connections(p); now != want || ever != want || b.Accepted()-before != want+1 {
				t.Errorf("%d connections to leaders, %d ever, %d in all; want %d, and one for the metadata", now, ever, b.Accepted()-before, want)
			}
			for i := range 12 {
				if err := p.WriteMessages(bg, messages(fmt.Sprintf("%d-%d", each, i), 10)...); err != nil {
					t.Fatal(err)
				}
			}
			if n := b.Accepted() - before; n != want+1 {
				t.Errorf("the writes dialled %d times", n-want-1)
			}
		}
		if found := values(t, b, topic); len(found) != 360 {
			t.Errorf("%d messages found, want 360", len(found))
		}
	})
}

// leaderless makes the cluster say that partition 0 of the topic has no leader.
func leaderless(b *testbroker.Broker, topic string, on *atomic.Bool) {
	b.Fake.ControlKey(kmsg.Metadata.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		if !on.Load() {
			return nil, nil, false
		}
		req := kreq.(*kmsg.MetadataRequest)
		res := req.ResponseKind().(*kmsg.MetadataResponse)
		host, port, _ := net.SplitHostPort(b.Addrs[0])
		broker := kmsg.NewMetadataResponseBroker()
		broker.Host = host
		for _, c := range port {
			broker.Port = broker.Port*10 + c - '0'
		}
		res.Brokers = append(res.Brokers, broker)
		rt := kmsg.NewMetadataResponseTopic()
		rt.Topic = kmsg.StringPtr(topic)
		for i := range int32(2) {
			rp := kmsg.NewMetadataResponseTopicPartition()
			rp.Partition, rp.Leader = i, 0
			if i == 0 {
				rp.Leader, rp.ErrorCode = -1, kerr.LeaderNotAvailable.Code
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		res.Topics = append(res.Topics, rt)
		return res, nil, true
	})
}

// A partition without a leader is waited for; it may come.
func TestStartWaitsForLeader(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 2)
		var on atomic.Bool
		on.Store(true)
		leaderless(b, topic, &on)
		p := newProducer(t, b, Config{Topic: topic})
		starting := async(func() error { return p.Start(bg) })
		until(t, "a second look", func() bool {
			s := p.current.Load()
			if s == nil {
				return false
			}
			_, ever := connections(p)
			return ever > 1
		})
		on.Store(false)
		if err := get(t, starting); err != nil {
			t.Fatal(err)
		}
		if err := p.WriteMessages(bg, messages("m", 4)...); err != nil {
			t.Error(err)
		}
	})
}

// A partition that gets no leader until the start timeout is named.
func TestStartNamesLeaderlessPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 2)
		var on atomic.Bool
		on.Store(true)
		leaderless(b, topic, &on)
		p := newProducer(t, b, Config{Topic: topic})
		began := time.Now()
		err := p.Start(bg)
		mustBe(t, err, kafka.LeaderNotAvailable)
		var topicErr *TopicError
		if !errors.As(err, &topicErr) || topicErr.Topic != topic || !slices.Equal(topicErr.Partitions, []int{0}) {
			t.Errorf("%v does not name partition 0", err)
		}
		if took := time.Since(began); took < 29*time.Second || took > 30*time.Second {
			t.Errorf("Start took %v, want just less than the StartTimeout", took)
		}
		nothingLeft(t, b, p)
		on.Store(false)
		startsAndWrites(t, b, p)
		on.Store(true)

		q := newProducer(t, b, Config{Topic: topic, AllowPartial: true, Logger: slog.New(slog.DiscardHandler)})
		start(t, q)
		mustBe(t, q.Ping(bg), ErrPartial, kafka.LeaderNotAvailable) // it has started with the rest
		on.Store(false)
	})
}

// One of three brokers is down: it is named; AllowPartial starts with the rest.
// That it is among Brokers does not matter.
func TestStartWithABrokerDown(t *testing.T) {
	testbroker.EachCluster(t, 3, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 3)
		for i := range int32(3) {
			if err := b.Fake.MoveTopicPartition(topic, i, i); err != nil {
				t.Fatal(err)
			}
		}
		dial := b.Dial
		if dial == nil {
			dial = new(net.Dialer).DialContext
		}
		down := b.Addrs[1]
		cfg := Config{Topic: topic, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == down {
				return nil, errRefused
			}
			return dial(ctx, network, address)
		}}
		for range 5 { // the brokers are tried in random order
			p := newProducer(t, b, cfg)
			err := p.Start(bg)
			mustBe(t, err, errRefused)
			var topicErr *TopicError
			if !errors.As(err, &topicErr) || !slices.Equal(topicErr.Partitions, []int{1}) || !strings.Contains(err.Error(), "broker 1") {
				t.Errorf("%v does not name the broker and a partition of it", err)
			}
			holdsNothing(t, p)
		}
		cfg.AllowPartial, cfg.Logger = true, slog.New(slog.DiscardHandler)
		cfg.Balancer = kafka.BalancerFunc(func(m kafka.Message, _ ...int) int { return int(m.Value[0] - '0') })
		p := newProducer(t, b, cfg)
		start(t, p)
		ctx, leave := context.WithCancel(bg)
		defer leave()
		written := async(func() error { return p.WriteMessages(ctx, message("0"), message("1"), message("2")) })
		until(t, "the others to be delivered", func() bool { return p.Counters().Delivered == 2 })
		leave()
		err := get(t, written)
		var werr kafka.WriteErrors
		if !errors.As(err, &werr) || werr[0] != nil || werr[1] == nil || werr[2] != nil {
			t.Fatalf("want the message for the broker that is down to fail, alone: %v", err)
		}
		if classOf(t, werr[1]) != ErrNotSent {
			t.Error(werr[1])
		}
	})
}

// A start without answers ends, whichever request is not answered. The error names the broker and
// the request, also if the StartTimeout ends the start.
func TestStartTimeout(t *testing.T) {
	for name, at := range map[string]struct {
		part  string
		step  string // of the error's text, before what ended it
		after time.Duration
	}{
		"connecting":    {"metadata", "connect to %s: API versions: ", 5 * time.Second},
		"metadata":      {"metadata", "ask %s: ", 10 * time.Second},
		"producer id":   {"producer id", "ask %s: ", 15 * time.Second}, // it is asked for twice
		"leaders":       {"leaders", "topic \"t\", partitions [0 1]: broker 0: connect to %s: API versions: ", 5 * time.Second},
		"permission":    {"permission", "topic \"t\": broker 0: ask %s: ", 10 * time.Second},
		"authenticated": {"metadata", "connect to %s: SASL login: ", 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			for _, timeout := range []time.Duration{15 * time.Second, 2 * time.Second} {
				synctest.Test(t, func(t *testing.T) {
					b := testbroker.Virtual(t, kfake.SeedTopics(2, "t"), kfake.EnableSASL(), kfake.Superuser("PLAIN", "user", "right"))
					b.Options = franzPassword
					p := newProducer(t, b, Config{Topic: "t", StartTimeout: timeout, SASL: rightPassword, CheckWritePermission: true})
					var on func(bool)
					switch name {
					case "connecting":
						on = b.Hang().Set
					case "metadata":
						on = b.Hang(kmsg.Metadata).Set
					case "authenticated":
						on = b.Hang(kmsg.SASLAuthenticate).Set
					default:
						on = hangIn(b, at.part).on.Store
					}
					began := time.Now()
					want := at.after
					err := failsThenStarts(t, b, p, at.part, func() {
						want = min(want, timeout)
						if took := time.Since(began); took > want+100*time.Millisecond || took < want*9/10 {
							t.Errorf("Start took %v, want %v", took, want)
						}
						on(false)
					}, context.DeadlineExceeded)
					timedOut(t, err)
					text := fmt.Sprintf(at.step, b.Addrs[0])
					if at.after >= timeout {
						text += errStartTimeout.Error()
					}
					if !strings.Contains(err.Error(), at.part+": "+text) || !Temporary(err) {
						t.Errorf("%v: want %q, and Temporary", err, at.part+": "+text)
					}
				})
			}
		})
	}
}

// What a start has met of several addresses when the StartTimeout ends it is in the error.
func TestStartTimeoutTellsOfEachAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		p := newProducer(t, b, Config{Topic: "t", StartTimeout: 4 * time.Second, Brokers: []string{"refuses:1", "swallows:1", "swallows:2"},
			Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
				if address == "refuses:1" {
					return nil, errRefused
				}
				<-ctx.Done()
				return nil, ctx.Err()
			}})
		err := p.Start(bg)
		mustBe(t, err, errRefused, context.DeadlineExceeded)
		for _, text := range []string{"connect to refuses:1: ", "connect to swallows:1: " + errStartTimeout.Error(), "connect to swallows:2: " + errStartTimeout.Error()} {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%v: want %q", err, text)
			}
		}
		if !Temporary(err) {
			t.Errorf("%v is final", err)
		}
		nothingLeft(t, b, p)
	})
}

// StartOnWrite starts on the first write, and only a producer that was never stopped.
func TestStartOnWrite(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic, StartOnWrite: true})
		writes := make(chan error, 20)
		for range cap(writes) {
			go func() { writes <- p.WriteMessages(bg, message("x")) }()
		}
		for range cap(writes) {
			if err := get(t, writes); err != nil {
				t.Error(err)
			}
		}
		if n := p.Status().Attempt; n != 1 {
			t.Errorf("%d attempts, want 1", n)
		}
		if err := p.Stop(bg); err != nil {
			t.Fatal(err)
		}
		mustBe(t, p.WriteMessages(bg, message("late")), ErrNotStarted, ErrNotSent)
		if p.State() != fsm.Idle {
			t.Errorf("the write after a Stop started it: %v", p.State())
		}
		start(t, p)
		if err := p.WriteMessages(bg, message("again")); err != nil {
			t.Error(err)
		}
	})
}

// A write that is to start the producer, and cannot, says why.
func TestStartOnWriteFails(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: "missing", StartOnWrite: true})
		mustBe(t, p.WriteMessages(bg, message("x")), ErrNotSent, kafka.UnknownTopicOrPartition)
		nothingLeft(t, b, p)
	})
}

// A broker that accepts and never answers costs one DialTimeout, however many
// there are, also when the connect is to a leader.
func TestDialTimeoutIsForOneBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 1)
		b.Hang(kmsg.ApiVersions)
		p := newProducer(t, b, Config{
			Topic: topic, Brokers: []string{b.Addrs[0], b.Addrs[0], b.Addrs[0], b.Addrs[0]}, DialTimeout: 2 * time.Second,
		})
		began := time.Now()
		mustBe(t, p.Start(bg), context.DeadlineExceeded)
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("Start took %v, want about the DialTimeout, 2 s", took)
		}
		nothingLeft(t, b, p)
	})
}
