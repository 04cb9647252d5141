package producer

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// platformatic/kafka 232, KIP-899: the addresses that the client was given are gone, the brokers
// that it has learnt are fine, and it is dead.
func TestR39BootstrapAddressGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.VirtualCluster(t, 3)
		topic := b.CreateTopic(t, 6)
		p := newProducer(t, b, Config{Topic: topic, Brokers: b.Addrs[:1], Logger: slog.New(slog.DiscardHandler)})
		start(t, p)
		l := newLedger()
		under := l.load(t, p, 6, 50*time.Millisecond)
		time.Sleep(time.Second)
		b.Remove(0)   // the only one that was named, for good
		for range 5 { // no sooner than questions are not paced any more
			time.Sleep(2 * time.Second)
			b.Fake.ShufflePartitionLeaders()
		}
		for _, node := range []int32{1, 2} { // and then nothing is left of what the start has found
			time.Sleep(2 * time.Second)
			b.Replace(node)
			time.Sleep(2 * time.Second)
			b.Fake.ShufflePartitionLeaders()
		}
		time.Sleep(2 * time.Second)
		b.Net.Cut()
		time.Sleep(time.Second)
		under.end()
		time.Sleep(time.Hour) // idle
		b.Net.Cut()
		time.Sleep(time.Second)
		if err := p.Ping(bg); err != nil {
			t.Error(err)
		}
		if err := l.write(bg, t, p, messages("in the end", 6)...); err != nil {
			t.Error(err)
		}
		if l.longest > 200*time.Millisecond {
			t.Errorf("a write took %v", l.longest)
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		if c := l.verify(t, b, topic); c.failed() > 0 || c.acked < 500 {
			t.Errorf("%v; one failed as: %v", c, l.failure())
		}
		nothingLeft(t, b, p)
	})
}

// kafka-go 1194, kafka-python 140: one of the addresses that the client was given is bad, and the
// next is not tried. Whatever is bad about it, it is tried once, and costs less than the DialTimeout.
func TestR45OneBadAddress(t *testing.T) {
	const bad = "bad:9092"
	pipe := func(serve func(net.Conn)) func(context.Context) (net.Conn, error) {
		return func(context.Context) (net.Conn, error) {
			client, server := net.Pipe()
			go serve(server)
			return client, nil
		}
	}
	for name, dial := range map[string]func(context.Context) (net.Conn, error){
		"Refuses":  func(context.Context) (net.Conn, error) { return nil, errRefused },
		"Swallows": func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() },
		"HangsUp":  pipe(func(c net.Conn) { c.Close() }),
		"HangsUpWhenAsked": pipe(func(c net.Conn) {
			c.Read(make([]byte, 100))
			c.Close()
		}),
		"Hangs": pipe(func(c net.Conn) {
			io.Copy(io.Discard, c)
			c.Close()
		}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t, kfake.SeedTopics(2, "t"))
				var tried atomic.Int32
				for i := range 10 { // the addresses are tried in any order
					tried.Store(0)
					p := newProducer(t, b, Config{Topic: "t", Brokers: []string{bad, b.Addrs[0]}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
						if address == bad {
							tried.Add(1)
							return dial(ctx)
						}
						return b.Dial(ctx, network, address)
					}})
					began := time.Now()
					start(t, p)
					if took := time.Since(began); took > time.Second || tried.Load() > 1 {
						t.Errorf("start %d took %v, and tried the bad address %d times", i, took, tried.Load())
					}
					if err := p.WriteMessages(bg, message(fmt.Sprint(i))); err != nil {
						t.Error(err)
					}
					if err := p.Close(); err != nil {
						t.Error(err)
					}
				}
				if found := values(t, b, "t"); len(found) != 10 {
					t.Errorf("%d messages found, want 10", len(found))
				}
			})
		})
	}
}

// The same, where the bad addresses answer the first request, and nothing after it. If the good one is
// slow, its answer is waited for.
func TestR45AddressesThatAnswerOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.VirtualCluster(t, 2, kfake.SeedTopics(2, "t"))
		var slow atomic.Int64
		for i := range 10 { // the addresses are tried in any order
			p := newProducer(t, b, Config{Topic: "t", Brokers: []string{"bad1:1", "bad2:1", "slow:1"}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				d := time.Duration(slow.Load())
				switch address[:3] {
				case "bad":
					address, d = b.Addrs[0], time.Hour
				case "slo":
					address = b.Addrs[1]
				}
				c, err := b.Dial(ctx, network, address)
				return &answersOnce{Conn: c, then: d}, err
			}})
			for d, bound := range map[time.Duration]time.Duration{0: 1100 * time.Millisecond, 5 * time.Second: 6100 * time.Millisecond} {
				slow.Store(int64(d))
				began := time.Now()
				start(t, p)
				if took := time.Since(began); took > bound {
					t.Errorf("start %d took %v with an address that takes %v", i, took, d)
				}
				if err := p.Stop(bg); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// An answersOnce is a connection that delays its second request.
type answersOnce struct {
	net.Conn
	n    atomic.Int32
	then time.Duration
}

func (c *answersOnce) Write(b []byte) (int, error) {
	if c.n.Add(1) == 2 && c.then > 0 {
		time.AfterFunc(c.then, func() { c.Conn.Write(b) })
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// A stale broker answers requests for metadata with what was true when it was made, like a broker
// that has lost the controller.
type stale struct {
	asked  atomic.Int32 // the node that was asked last
	node   atomic.Int32 // that is stale; -1: none
	every  atomic.Bool  // all are
	answer atomic.Pointer[kmsg.MetadataResponse]
}

func newStale(b *testbroker.Broker) *stale {
	s := new(stale)
	s.node.Store(-1)
	b.Fake.ControlKey(kmsg.Metadata.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		node := b.Fake.CurrentNode()
		s.asked.Store(node)
		if node != s.node.Load() && !s.every.Load() {
			return nil, nil, false
		}
		res := req.ResponseKind().(*kmsg.MetadataResponse)
		then := s.answer.Load()
		res.Brokers, res.ClusterID, res.ControllerID, res.Topics = then.Brokers, then.ClusterID, then.ControllerID, then.Topics
		return res, nil, true
	})
	return s
}

// take records the present metadata of a topic.
func (s *stale) take(t *testing.T, b *testbroker.Broker, topic string) {
	t.Helper()
	cl := b.Client(t)
	defer cl.Close()
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, rt)
	res, err := req.RequestWith(bg, cl)
	if err != nil {
		t.Fatal(err)
	}
	s.answer.Store(res)
}

// The metadata name another broker's address for the leader, as after a restart behind a proxy that has
// given its port to another one. Both answer, so no connection is lost. The leader is written to soon
// after the metadata are right.
func TestR39AddressOfAnotherBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.VirtualCluster(t, 2)
		topic := b.CreateTopic(t, 2)
		for i := range int32(2) {
			if err := b.Fake.MoveTopicPartition(topic, i, i); err != nil {
				t.Fatal(err)
			}
		}
		wrong := newStale(b)
		wrong.take(t, b, topic)
		brokers := wrong.answer.Load().Brokers
		for i := range brokers {
			brokers[i].Port = 9092
		}
		wrong.every.Store(true)
		p := newProducer(t, b, Config{Topic: topic, Balancer: new(kafka.RoundRobin), Logger: slog.New(slog.DiscardHandler)})
		start(t, p)
		write := async(func() error { return p.WriteMessages(bg, message("a"), message("b")) })
		time.Sleep(5 * time.Second)
		wrong.every.Store(false)
		time.Sleep(3 * time.Second) // an attempt that finds out, and another
		select {
		case err := <-write:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("the leader is not written to after 3 s")
		}
		if found := len(b.Read(t, topic)); found != 2 {
			t.Errorf("%d messages found, want 2", found)
		}
	})
}

// A broker gets another address while the old one swallows what is sent to it. The connect that is under way to
// the old address ends when the metadata name the new one, not with the DialTimeout.
func TestR39OldAddressSwallows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.VirtualCluster(t, 2)
		topic := b.CreateTopic(t, 1)
		if err := b.Fake.MoveTopicPartition(topic, 0, 1); err != nil {
			t.Fatal(err)
		}
		const anew = 19093
		moved := newStale(b)
		moved.take(t, b, topic)
		old := ""
		for i := range moved.answer.Load().Brokers {
			if n := &moved.answer.Load().Brokers[i]; n.NodeID == 1 {
				old, n.Port = net.JoinHostPort(n.Host, strconv.Itoa(int(n.Port))), anew
			}
		}
		var gone atomic.Bool
		p := newProducer(t, b, Config{Topic: topic, Logger: slog.New(slog.DiscardHandler), DialTimeout: 20 * time.Second,
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				switch _, port, _ := net.SplitHostPort(address); {
				case port == strconv.Itoa(anew):
					address = old
				case address == old && gone.Load():
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return b.Dial(ctx, network, address)
			}})
		start(t, p)
		gone.Store(true)
		b.Net.Kill(1)
		b.Net.Revive(1)
		write := async(func() error { return p.WriteMessages(bg, message("x")) })
		time.Sleep(5 * time.Second)
		if len(write) > 0 {
			t.Error("nothing has swallowed the write: the test shows nothing")
		}
		began := time.Now()
		moved.every.Store(true)
		if err := get(t, write); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the write took %v after the metadata had the new address", took)
		}
	})
}

// librdkafka 4976: a broker answers with stale metadata, and the producer is stuck. Here metadata
// with newer leader epochs stay. When an answer does not help, another broker is asked.
func TestR48StaleMetadata(t *testing.T) {
	for name, stays := range map[string]bool{"OldLeaderStays": true, "OldLeaderIsGone": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.VirtualCluster(t, 3)
				topic := b.CreateTopic(t, 1)
				s := newStale(b)
				p := newProducer(t, b, Config{Topic: topic, Logger: slog.New(slog.DiscardHandler)})
				start(t, p)
				l := newLedger()
				for round := range 5 {
					node := s.asked.Load() // by the producer, that has its connection for metadata there
					if round == 0 {
						leader := (node + 1) % 3
						if err := b.Fake.MoveTopicPartition(topic, 0, leader); err != nil {
							t.Fatal(err)
						}
					}
					if err := l.write(bg, t, p, message(fmt.Sprint("before-", round))); err != nil {
						t.Fatal(err)
					}
					node = s.asked.Load()
					old := b.Fake.LeaderFor(topic, 0)
					s.take(t, b, topic)
					s.node.Store(node)
					next := (old + 1) % 3
					if next == node {
						next = (next + 1) % 3
					}
					if err := b.Fake.MoveTopicPartition(topic, 0, next); err != nil {
						t.Fatal(err)
					}
					if !stays && old != node {
						b.Net.Kill(int(old))
					}
					for i := range 30 {
						if err := l.write(bg, t, p, message(fmt.Sprint(round, "-", i))); err != nil {
							t.Fatal(err)
						}
						time.Sleep(300 * time.Millisecond)
					}
					if !stays && old != node {
						b.Net.Revive(int(old))
					}
				}
				s.node.Store(-1)
				if l.longest > 6*time.Second { // some seconds until another broker is asked, and a pause
					t.Errorf("a write took %v", l.longest)
				}
				if err := p.Stop(bg); err != nil {
					t.Error(err)
				}
				if c := l.verify(t, b, topic); c.failed() > 0 {
					t.Errorf("%v; one failed as: %v", c, l.failure())
				}
			})
		})
	}
}
