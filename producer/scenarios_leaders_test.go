package producer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A lostLeader is a cluster of three brokers on which some partitions of a topic, those of broker
// 2, have lost their leader in one of several ways.
type lostLeader struct {
	*testbroker.Broker
	topic string
	lost  []int32 // these partitions
	way   string
	gone  atomic.Bool // metadata say so
}

var waysToLoseALeader = []string{"WithoutALeader", "Killed", "NoAnswer", "NotEnoughReplicas"}

// newLostLeader makes the cluster; the leaders are not lost yet.
func newLostLeader(t *testing.T, way string, partitions, lost int) *lostLeader {
	b := &lostLeader{Broker: testbroker.VirtualCluster(t, 3), way: way}
	b.topic = b.CreateTopic(t, partitions)
	for i := range int32(partitions) {
		node := i % 2
		if int(i) < lost {
			node = 2
			b.lost = append(b.lost, i)
		}
		if err := b.Fake.MoveTopicPartition(b.topic, i, node); err != nil {
			t.Fatal(err)
		}
	}
	b.Fake.ControlKey(kmsg.Metadata.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		if !b.gone.Load() {
			return nil, nil, false
		}
		res := kreq.ResponseKind().(*kmsg.MetadataResponse)
		res.ClusterID = kmsg.StringPtr("kfake")
		for node, address := range b.Addrs {
			host, port, _ := net.SplitHostPort(address)
			n, _ := strconv.Atoi(port)
			res.Brokers = append(res.Brokers, kmsg.MetadataResponseBroker{NodeID: int32(node), Host: host, Port: int32(n)})
		}
		rt := kmsg.NewMetadataResponseTopic()
		rt.Topic = &b.topic
		for i := range int32(partitions) {
			rp := kmsg.NewMetadataResponseTopicPartition()
			rp.Partition, rp.Leader = i, b.Fake.LeaderFor(b.topic, i)
			if rp.Leader == 2 {
				rp.Leader, rp.ErrorCode = -1, kerr.LeaderNotAvailable.Code
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		res.Topics = append(res.Topics, rt)
		return res, nil, true
	})
	return b
}

// lose loses the leaders, until end.
func (b *lostLeader) lose() (end func()) {
	switch b.way {
	case "WithoutALeader":
		b.gone.Store(true)
		b.Net.Kill(2)
		return func() { b.gone.Store(false); b.Net.Revive(2) }
	case "Killed": // and the cluster has not noticed
		b.Net.Kill(2)
		return func() { b.Net.Revive(2) }
	}
	var on atomic.Bool
	on.Store(true)
	b.Fake.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		switch {
		case !on.Load() || b.Fake.CurrentNode() != 2:
			return nil, nil, false
		case b.way == "NoAnswer":
			return nil, nil, true
		}
		return produceAnswer(req, kerr.NotEnoughReplicas, 0), nil, true
	})
	return func() { on.Store(false) }
}

func eachLostLeader(t *testing.T, test func(t *testing.T, way string)) {
	for _, way := range waysToLoseALeader {
		t.Run(way, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { test(t, way) }) })
	}
}

// sarama 213, 514, librdkafka 3545: keyless messages keep going to a partition without a leader.
// Here they go to partitions with a leader. A few meet the loss, and no other one waits for it.
func TestR43KeylessAvoidALostLeader(t *testing.T) {
	eachLostLeader(t, func(t *testing.T, way string) {
		b := newLostLeader(t, way, 6, 2)
		l := newLedger()
		p := newProducer(t, b.Broker, Config{Topic: b.topic, WriteTimeout: 2 * time.Second, Logger: slog.New(slog.DiscardHandler)})
		start(t, p)
		if err := l.write(bg, t, p, messages("before", 10)...); err != nil {
			t.Fatal(err)
		}
		end := b.lose()
		var wg sync.WaitGroup
		var slow, quick atomic.Int64
		for i := range 60 { // no more: a long bubble may end Go 1.26's race detector (golang/go issue 78156)
			for w := range 4 {
				wg.Go(func() {
					began := time.Now()
					if err := l.write(bg, t, p, message(fmt.Sprintf("%d-%d", w, i))); err != nil {
						t.Error(err)
					}
					if time.Since(began) > 20*time.Millisecond {
						slow.Add(1)
					} else {
						quick.Add(1)
					}
				})
			}
			time.Sleep(250 * time.Millisecond)
		}
		end()
		wg.Wait()
		t.Logf("%d of %d writes met the loss", slow.Load(), slow.Load()+quick.Load())
		if n := slow.Load(); n > 40 {
			t.Errorf("%d of %d writes met the loss", n, n+quick.Load())
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		l.verify(t, b.Broker, b.topic)
	})
}

// A leader that is lost while running stops nothing else; what belongs there waits, and is delivered when
// it is back. Ping and Counters say so while it has no leader.
func TestR43LeaderLost(t *testing.T) {
	eachLostLeader(t, func(t *testing.T, way string) {
		const partitions, lost = 6, 2
		b := newLostLeader(t, way, partitions, lost)
		l := newLedger()
		p := newProducer(t, b.Broker, Config{Topic: b.topic, WriteTimeout: 2 * time.Second, Balancer: byKey, Logger: slog.New(slog.DiscardHandler)})
		start(t, p)
		end := b.lose()
		time.Sleep(time.Second)
		over := make(chan struct{})
		var wg sync.WaitGroup
		var waiting atomic.Int64
		for k := range partitions {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-over:
						return
					default:
					}
					m := kafka.Message{Key: []byte(strconv.Itoa(k)), Value: fmt.Appendf(nil, "%d-%d", k, i)}
					began := time.Now()
					if k < lost {
						waiting.Add(1)
					}
					if err := l.write(bg, t, p, m); err != nil {
						t.Error(err)
					}
					if k < lost {
						waiting.Add(-1)
					} else if took := time.Since(began); took > 20*time.Millisecond {
						t.Errorf("a write to another partition took %v", took)
					}
					time.Sleep(time.Second)
				}
			})
		}
		time.Sleep(15 * time.Second)
		if n := waiting.Load(); n != lost {
			t.Errorf("%d writes wait for the leader, want %d", n, lost)
		}
		if n, want := p.Counters().Leaderless, int64(lost); way == "WithoutALeader" && n != want || way != "WithoutALeader" && n != 0 {
			t.Errorf("Counters.Leaderless is %d", n)
		}
		if way == "WithoutALeader" {
			mustBe(t, p.Ping(bg), ErrPartial)
		}
		end()
		time.Sleep(3 * time.Second)
		if n := p.Counters().Leaderless; n != 0 {
			t.Errorf("Counters.Leaderless is %d when the leader is back", n)
		}
		if err := p.Ping(bg); err != nil {
			t.Error(err)
		}
		close(over)
		wg.Wait()
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		if n := p.Counters().Leaderless; n != 0 {
			t.Errorf("Counters.Leaderless is %d when it is stopped", n)
		}
		if c := l.verify(t, b.Broker, b.topic); c.failed() > 0 {
			t.Errorf("%v", c)
		}
	})
}

// byKey sends a message to the partition that its key is the number of.
var byKey = kafka.BalancerFunc(func(m kafka.Message, partitions ...int) int {
	n, err := strconv.Atoi(string(m.Key))
	if err != nil || !slices.Contains(partitions, n) {
		panic("no partition " + string(m.Key))
	}
	return n
})

// A partition that nothing can be sent to fills a part of MaxInFlightBytes only, and several do as well: however many
// callers write there, those of other partitions do not wait for room. Calls that want room in
// both wait, and hold nothing meanwhile.
func TestR43DeadPartitionsLeaveRoom(t *testing.T) {
	for _, lost := range []int{1, 4} {
		t.Run(strconv.Itoa(lost), func(t *testing.T) {
			eachLostLeader(t, func(t *testing.T, way string) {
				const partitions, room = 8, 30_000
				b := newLostLeader(t, way, partitions, lost)
				l := newLedger()
				p := newProducer(t, b.Broker, Config{
					Topic: b.topic, WriteTimeout: 2 * time.Second, Balancer: byKey, MaxInFlightBytes: room, DeliveryTimeout: 20 * time.Second,
					Logger: slog.New(slog.DiscardHandler),
				})
				start(t, p)
				end := b.lose()
				value := func(v string) []byte { return fmt.Appendf(nil, "%-1000s", v) }
				began := time.Now()
				var wg sync.WaitGroup
				for i := range 100 {
					dead := kafka.Message{Key: []byte(strconv.Itoa(i % lost)), Value: value(fmt.Sprint("dead-", i))}
					msgs := []kafka.Message{dead}
					switch i % 3 {
					case 0: // and another one, for a partition that lives
						msgs = append(msgs, kafka.Message{Key: []byte("7"), Value: value(fmt.Sprint("both-", i))})
						fallthrough
					case 1:
						wg.Go(func() { l.write(bg, t, p, msgs...) })
					default:
						wg.Go(func() { l.send(bg, t, p, &wg, msgs...) })
					}
				}
				time.Sleep(time.Second)
				if n := p.InFlightBytes(); n > room*19/20 { // what a Send takes beside its message is in no share
					t.Errorf("dead partitions take %d bytes, of %d", n, room)
				}
				if p.Counters().Waiting < 40 {
					t.Errorf("%d calls wait: the test shows nothing", p.Counters().Waiting)
				}
				for i := 0; time.Since(began) < 19*time.Second; i++ {
					for k := lost; k < partitions; k++ {
						wg.Go(func() {
							began := time.Now()
							m := kafka.Message{Key: []byte(strconv.Itoa(k)), Value: value(fmt.Sprintf("live-%d-%d", i, k))}
							if err := l.write(bg, t, p, m); err != nil {
								t.Error(err)
							}
							if took := time.Since(began); took > 20*time.Millisecond {
								t.Errorf("a write to another partition took %v", took)
							}
						})
					}
					time.Sleep(2 * time.Second)
				}
				time.Sleep(20*time.Second - time.Since(began) + 50*time.Millisecond)
				wg.Wait() // by the DeliveryTimeout
				if c := p.Counters(); undecided(c) != 0 || c.Waiting != 0 {
					t.Errorf("%+v", c)
				}
				end()
				if err := p.Stop(bg); err != nil {
					t.Error(err)
				}
				l.verify(t, b.Broker, b.topic)
			})
		})
	}
}

// What the error of a call says that has waited for such a partition: that, and why.
func TestR43WaitingForADeadPartitionSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLostLeader(t, "WithoutALeader", 4, 1)
		p := newProducer(t, b.Broker, Config{Topic: b.topic, Balancer: byKey, MaxInFlightBytes: 10_000})
		start(t, p)
		defer b.lose()()
		b.Net.Cut()
		time.Sleep(time.Second)
		m := kafka.Message{Key: []byte("0"), Value: make([]byte, 4000)}
		d := send(t, p, m)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		mustBe(t, p.WriteMessages(ctx, m), ErrNotSent, context.DeadlineExceeded, kafka.LeaderNotAvailable)
		mustBe(t, outcome(t, d), ErrNotSent, context.DeadlineExceeded, kafka.LeaderNotAvailable)
	})
}
