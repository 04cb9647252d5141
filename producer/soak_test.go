//go:build unix

package producer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// soakEnv says how many messages the soak has to get acknowledged.
const soakEnv = "SURESTART_SOAK"

// Sixteen writers write. At random the producer is stopped and started, nodes are frozen, killed
// and shut down, leaders move, a quota throttles, and the network is slow, cut or discards
// everything. Meanwhile answers are lost, requests cut, and others held back for any time: the last
// of them reach the log when all is over.
//
// Then the log is judged. No acknowledged message is lost. A failed message is not there unless its
// verdict allows it. None is there twice, and the order of a key is kept, across forced stops too.
// The forced stops have counted exactly what they cut off (D1 to D5, D7).
func TestNoLossSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the soak takes a minute")
	}
	target := 100_000
	if n, err := strconv.Atoi(os.Getenv(soakEnv)); err == nil {
		target = n
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d messages", seed, target)

	c := testbroker.Own(t, 3)
	proxy := testbroker.NewProxy(t)
	s := newSoak(t, c.Broker, 6, Config{ClientID: "soak"}, proxy.Dial)
	s.c, s.proxy = c, proxy

	began := time.Now()
	var harm sync.WaitGroup
	over := s.write(seed)
	harm.Go(func() { s.startAndStop(rand.New(rand.NewPCG(seed, 100))) })
	harm.Go(func() { s.doHarm(rand.New(rand.NewPCG(seed, 101))) })
	for !t.Failed() && (s.acknowledged.Load() < int64(target) || s.faults.Load() < int64(len(harms)) || s.stops.Load() < 10) {
		before := s.acknowledged.Load()
		time.Sleep(100 * time.Millisecond)
		s.progress(before)
	}
	close(s.calm)
	harm.Wait()
	s.net.Calm()
	if t.Failed() {
		s.p.Close() // it may not be started, and no caller waits for that
	}
	over()
	took := time.Since(began)
	if err := get(t, async(s.p.Close)); err != nil {
		t.Errorf("Close: %v", err)
	}
	nothingLeft(t, c.Broker, s.p)
	s.letThrough(100)
	j := s.verify(t)
	if !j.good() {
		t.Error(j)
	}
	if s.cutOff != s.isCutOff {
		t.Errorf("the forced stops have counted %v messages as cut off (not sent, maybe delivered, rejected), which were %v", s.cutOff, s.isCutOff)
	}
	if s.net.Held.Load() == 0 || s.through == 0 || s.p.Counters().Throttled == 0 || s.cutOff == [4]int{} {
		t.Error("the soak shows less than it says")
	}
	counters := s.p.Counters()
	t.Logf("soak: %v, %d batches sent again, %d faults:%s; throttled for %v, %d epochs", took.Round(time.Second), s.p.Totals().Retries,
		s.faults.Load(), s.did, counters.Throttled.Round(time.Millisecond), counters.Epochs)
	t.Logf("soak: %d connections, %d requests cut, %d answers lost, %d requests held back, of which %d were answered later and %d met no broker",
		s.net.Connections.Load(), s.net.Cut.Load(), s.net.Lost.Load(), s.net.Held.Load(), s.through, s.gone)
	t.Logf("CHECKED kafka soak %v faults=%d stops=%d forced=%d cut-off=%d requests-cut=%d answers-lost=%d held-back=%d", j,
		s.faults.Load(), s.stops.Load(), s.forced.Load(), s.cutOff[1]+s.cutOff[2]+s.cutOff[3], s.net.Cut.Load(), s.net.Lost.Load(), s.net.Held.Load())
}

// The judge of the soak sees the duplicates of a producer without idempotence, whose answers are
// lost and requests held back; and it has nothing to say of one with it.
func TestSoakSeesDuplicates(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		for _, idempotence := range []Idempotence{IdempotenceOff, IdempotenceAuto} {
			s := newSoak(t, b, 3, Config{Idempotence: idempotence}, nil)
			over := s.write(uint64(time.Now().UnixNano()))
			until(t, "answers to be lost, and requests held back", func() bool { return s.net.Lost.Load() > 5 && s.net.Held.Load() > 2 })
			s.net.Calm()
			over()
			if err := s.p.Close(); err != nil {
				t.Error(err)
			}
			s.letThrough(100)
			j := s.verify(t)
			if idempotence == IdempotenceAuto && !j.good() || idempotence == IdempotenceOff && (j.twice == 0 || j.lost+j.untrue+j.foreign > 0) {
				t.Errorf("%v: %v", idempotence, j)
			}
			t.Logf("CHECKED soak-control idempotence=%v %v", idempotence, j)
		}
	})
}

type soak struct {
	t     *testing.T
	p     *Producer
	b     *testbroker.Broker
	c     *testbroker.OwnBroker
	proxy *testbroker.Proxy
	net   *testbroker.Lossy
	topic string

	calm    chan struct{} // closed: no more harm
	tallies [16]fates

	acknowledged, faults, stops, forced atomic.Int64
	stuck                               time.Duration
	did                                 string
	through, gone                       int        // of what was held back
	cutOff                              [4]int     // as the stops say, by class
	isCutOff                            [4]int     // as the writes say
	mu                                  sync.Mutex // guards isCutOff
}

// newSoak starts a producer on a network that has its faults from then on.
func newSoak(t *testing.T, b *testbroker.Broker, partitions int, cfg Config, dial func(ctx context.Context, network, address string) (net.Conn, error)) *soak {
	s := &soak{t: t, b: b, net: testbroker.NewLossy(b, dial), topic: b.CreateTopic(t, partitions), calm: make(chan struct{})}
	cfg.Topic, cfg.Dial = s.topic, s.net.Dial
	s.p = newProducer(t, b, cfg)
	start(t, s.p)
	s.net.Cuts.Store(20)
	s.net.Losses.Store(50)
	s.net.Holds.Store(20)
	return s
}

// progress fails the test if nothing has been acknowledged for minutes.
func (s *soak) progress(before int64) {
	if s.stuck += 100 * time.Millisecond; s.acknowledged.Load() > before {
		s.stuck = 0
	}
	if s.stuck > 3*time.Minute {
		s.t.Errorf("nothing acknowledged for %v; state %v", s.stuck, s.p.State())
	}
}

// write makes each writer send calls of up to 100 messages with a key of its own, one after the
// other, by WriteMessages or by Send, until over is called.
func (s *soak) write(seed uint64) (over func()) {
	var writers sync.WaitGroup
	var ends atomic.Bool
	for w := range s.tallies {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(w)))
			for !ends.Load() {
				s.call(w, 1+random.IntN(100))
				time.Sleep(time.Duration(random.IntN(10)) * time.Millisecond)
			}
		})
	}
	return func() {
		ends.Store(true)
		writers.Wait()
	}
}

func (s *soak) call(w, n int) {
	msgs := make([]kafka.Message, n)
	for i := range msgs {
		msgs[i] = kafka.Message{Key: []byte{byte(w)}, Value: soakValue(w, len(s.tallies[w])+i, i)}
	}
	var err error
	if w%2 == 0 {
		err = s.p.WriteMessages(bg, msgs...)
	} else if d, refused := s.p.Send(bg, msgs...); refused != nil {
		err = refused
	} else {
		err = d.Wait(bg)
	}
	good, cutOff := int64(0), [4]int{}
	for _, e := range errorsOf(s.t, err, n) {
		f := fate{}
		if e == nil {
			good++
		} else {
			f.class = byte(slices.Index(classes, classOf(s.t, e)))
			if errors.Is(e, errCutOff) {
				cutOff[f.class]++
			}
		}
		s.tallies[w] = append(s.tallies[w], f)
	}
	s.acknowledged.Add(good)
	s.mu.Lock()
	for i, n := range cutOff {
		s.isCutOff[i] += n
	}
	s.mu.Unlock()
	if errors.Is(err, ErrNotStarted) {
		s.p.Wait(bg, fsm.Started)
	}
}

// startAndStop stops the producer now and then, with and without patience, and
// starts it again, which may take several tries.
func (s *soak) startAndStop(random *rand.Rand) {
	for i := 0; s.pause(500*time.Millisecond + time.Duration(random.IntN(3000))*time.Millisecond); i++ {
		patience := time.Duration(i%2) * 10 * time.Second
		ctx, cancel := context.WithTimeout(bg, patience)
		err := s.p.Stop(ctx)
		cancel()
		if err != nil {
			var stopErr *StopError
			if !errors.As(err, &stopErr) {
				s.t.Errorf("Stop: %v", err)
				return
			}
			s.forced.Add(1)
			for i, n := range []int{0, stopErr.NotSent, stopErr.Maybe, stopErr.Rejected} {
				s.cutOff[i] += n
			}
		}
		s.stops.Add(1)
		for tries := 0; s.p.Start(bg) != nil; tries++ {
			if tries > 1000 {
				s.t.Errorf("a thousand starts failed, the last with: %v", s.p.Status().Cause)
				return
			}
			time.Sleep(10 * time.Millisecond) // while a harm lasts a start fails at once
		}
	}
}

// doHarm does one kind of harm after the other, all kinds in random order, and
// then again; after each all is made well.
func (s *soak) doHarm(random *rand.Rand) {
	did := make([]int, len(harms))
	for over := false; !over; {
		for _, i := range random.Perm(len(harms)) {
			if over = !s.pause(time.Duration(random.IntN(1000)) * time.Millisecond); over {
				break
			}
			harms[i].do(s, random, 1+random.IntN(3))
			did[i]++
			s.faults.Add(1)
		}
	}
	s.c.AwaitInSync(s.t, s.topic, 3)
	for i, n := range did {
		s.did += fmt.Sprintf(" %s:%d", harms[i].name, n)
	}
}

// harms are what the nodes, the network and the cluster suffer.
var harms = []struct {
	name string
	do   func(s *soak, random *rand.Rand, node int)
}{
	{"frozen", func(s *soak, random *rand.Rand, node int) {
		s.c.Freeze(s.t, node)
		time.Sleep(time.Duration(100+random.IntN(2000)) * time.Millisecond)
		s.c.Thaw(s.t, node)
	}},
	{"given-up", func(s *soak, random *rand.Rand, node int) { // by the controller, while it is frozen
		s.c.Freeze(s.t, node)
		time.Sleep(time.Duration(5000+random.IntN(3000)) * time.Millisecond)
		s.c.Thaw(s.t, node)
		s.c.AwaitInSync(s.t, s.topic, 3)
	}},
	{"killed", func(s *soak, random *rand.Rand, node int) {
		s.c.Kill(s.t, node)
		time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
		s.c.Restart(s.t, node)
		s.c.AwaitInSync(s.t, s.topic, 3)
	}},
	{"shut-down", func(s *soak, random *rand.Rand, node int) {
		s.c.ShutDown(s.t, node)
		s.c.Restart(s.t, node)
		s.c.AwaitInSync(s.t, s.topic, 3)
	}},
	{"leader-moved", func(s *soak, random *rand.Rand, node int) {
		for partition := range int32(6) {
			s.c.Lead(s.t, s.topic, partition, int32(node))
		}
	}},
	{"cut", func(s *soak, random *rand.Rand, node int) { s.proxy.Cut() }},
	{"cut-mid-request", func(s *soak, random *rand.Rand, node int) {
		for range 3 {
			before := s.proxy.Cuts()
			s.proxy.CutAfter(int64(random.IntN(20_000)))
			for i := 0; i < 1000 && s.proxy.Cuts() == before; i++ {
				time.Sleep(time.Millisecond)
			}
			s.proxy.CutAfter(-1)
		}
	}},
	{"half-open", func(s *soak, random *rand.Rand, node int) {
		s.proxy.HalfOpen(true)
		time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond)
		s.proxy.HalfOpen(false)
	}},
	{"latency", func(s *soak, random *rand.Rand, node int) {
		s.proxy.Latency(time.Duration(1+random.IntN(50)) * time.Millisecond)
		time.Sleep(500 * time.Millisecond)
		s.proxy.Latency(0)
	}},
	{"throttled", func(s *soak, random *rand.Rand, node int) {
		before, throttled := s.p.Totals().Bytes, s.p.Counters().Throttled
		time.Sleep(time.Second)
		rate := max((s.p.Totals().Bytes-before)/4, 50_000) // of each of three nodes
		for i := 0; i < 20 && s.p.Counters().Throttled == throttled; i++ {
			quota(s.t, s.b, "soak", float64(max(rate>>i, 1000)))
			time.Sleep(2 * time.Second)
		}
		quota(s.t, s.b, "soak", 0)
	}},
	{"let-through", func(s *soak, random *rand.Rand, node int) { s.letThrough(50) }},
}

func (s *soak) pause(d time.Duration) bool {
	select {
	case <-s.calm:
		return false
	case <-time.After(d):
		return true
	}
}

// letThrough releases requests that were held back, each with this chance in a hundred.
func (s *soak) letThrough(chance int) {
	through, gone := s.net.LetThrough(chance)
	s.through += through
	s.gone += gone
}

// verify reads the topic and compares it with the verdicts that the writers got.
func (s *soak) verify(t testing.TB) judgement {
	return judge(s.tallies[:], func(each func(partition int32, value []byte)) {
		s.b.ReadEach(t, s.topic, func(r *kgo.Record) { each(r.Partition, r.Value) })
	})
}
