//go:build unix

package producer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
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

// Sixteen writers, while at random the producer is stopped and started, nodes are
// frozen, killed and shut down, leaders move, and the network is slow, cut or
// swallows what it is given: nothing acknowledged is lost, what failed is not
// there unless it says that it may be, nothing is there twice, and the order of a key is kept,
// across forced stops too (D1 to D5).
func TestNoLossSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the soak takes a minute")
	}
	target := 50_000
	if n, err := strconv.Atoi(os.Getenv(soakEnv)); err == nil {
		target = n
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d messages", seed, target)

	c := testbroker.Own(t, 3)
	proxy := testbroker.NewProxy(t)
	topic := c.CreateTopic(t, 6)
	p := newProducer(t, c.Broker, Config{Topic: topic, Dial: proxy.Dial})
	s := &soak{t: t, p: p, c: c, proxy: proxy, topic: topic, calm: make(chan struct{})}
	start(t, p)

	began := time.Now()
	var writers, harm sync.WaitGroup
	for w := range s.tallies {
		writers.Go(func() { s.write(w, rand.New(rand.NewPCG(seed, uint64(w)))) })
	}
	harm.Go(func() { s.startAndStop(rand.New(rand.NewPCG(seed, 100))) })
	harm.Go(func() { s.doHarm(rand.New(rand.NewPCG(seed, 101))) })
	for !t.Failed() && (s.acknowledged.Load() < int64(target) || s.faults.Load() < int64(len(harms)) || s.stops.Load() < 10) {
		before := s.acknowledged.Load()
		time.Sleep(100 * time.Millisecond)
		s.progress(before)
	}
	close(s.calm)
	harm.Wait()
	s.over.Store(true)
	if t.Failed() {
		p.Close() // it may not be started: nobody waits for that any more
	}
	writers.Wait()
	took := time.Since(began)
	if err := get(t, async(p.Close)); err != nil {
		t.Errorf("Close: %v", err)
	}
	nothingLeft(t, c.Broker, p)
	s.verify()
	t.Logf("soak: %v, %d batches sent again, %d faults:%s, %d stops, %d of them forced",
		took.Round(time.Second), p.Totals().Retries, s.faults.Load(), s.did, s.stops.Load(), s.forced.Load())
}

type soak struct {
	t     *testing.T
	p     *Producer
	c     *testbroker.OwnBroker
	proxy *testbroker.Proxy
	topic string

	calm    chan struct{} // closed: no more harm
	over    atomic.Bool   // no more writes
	tallies [16][]fate    // of each writer: message by message

	acknowledged, faults, stops, forced atomic.Int64
	stuck                               time.Duration
	did                                 string
}

type fate struct {
	class byte // an index of classes
	found uint8
}

var classes = []error{nil, ErrNotSent, ErrMaybeDelivered, ErrRejected}

// progress fails the test if nothing has been acknowledged for minutes.
func (s *soak) progress(before int64) {
	if s.stuck += 100 * time.Millisecond; s.acknowledged.Load() > before {
		s.stuck = 0
	}
	if s.stuck > 3*time.Minute {
		s.t.Errorf("nothing acknowledged for %v; state %v", s.stuck, s.p.State())
	}
}

// write sends calls of up to 100 messages under the writer's own key, one call
// after the other, by WriteMessages or by Send.
func (s *soak) write(w int, random *rand.Rand) {
	key := []byte{byte(w)}
	for !s.over.Load() {
		msgs := make([]kafka.Message, 1+random.IntN(100))
		for i := range msgs {
			value := binary.BigEndian.AppendUint32(append(make([]byte, 0, 8), key...), uint32(len(s.tallies[w])+i))
			msgs[i] = kafka.Message{Key: key, Value: value}
		}
		var err error
		if w%2 == 0 {
			err = s.p.WriteMessages(bg, msgs...)
		} else if d, refused := s.p.Send(bg, msgs...); refused != nil {
			err = refused
		} else {
			err = d.Wait(bg)
		}
		good := int64(0)
		for _, e := range errorsOf(s.t, err, len(msgs)) {
			o := fate{}
			if e == nil {
				good++
			} else {
				class := classOf(s.t, e)
				for i := range classes {
					if classes[i] == class {
						o.class = byte(i)
					}
				}
			}
			s.tallies[w] = append(s.tallies[w], o)
		}
		s.acknowledged.Add(good)
		if errors.Is(err, ErrNotStarted) {
			s.p.Wait(bg, fsm.Started)
		}
		time.Sleep(time.Duration(random.IntN(10)) * time.Millisecond)
	}
}

// startAndStop stops the producer now and then, with and without patience, and
// starts it again, which may take several tries.
func (s *soak) startAndStop(random *rand.Rand) {
	for s.pause(500*time.Millisecond + time.Duration(random.IntN(3000))*time.Millisecond) {
		patience := time.Duration(random.IntN(2)) * 10 * time.Second
		ctx, cancel := context.WithTimeout(bg, patience)
		if err := s.p.Stop(ctx); err != nil {
			var stopErr *StopError
			if !errors.As(err, &stopErr) {
				s.t.Errorf("Stop: %v", err)
			}
			s.forced.Add(1)
		}
		cancel()
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
}

func (s *soak) pause(d time.Duration) bool {
	select {
	case <-s.calm:
		return false
	case <-time.After(d):
		return true
	}
}

// verify reads the topic and holds it against what the writers were told.
func (s *soak) verify() {
	var next [16]uint32
	disorder, foreign := 0, 0
	s.c.ReadEach(s.t, s.topic, func(r *kgo.Record) {
		w, n := int(r.Value[0]), binary.BigEndian.Uint32(r.Value[1:])
		if w >= len(s.tallies) || int(n) >= len(s.tallies[w]) {
			foreign++
			return
		}
		o := &s.tallies[w][n]
		if o.found < 255 {
			o.found++
		}
		if o.found == 1 {
			if n < next[w] {
				disorder++
			}
			next[w] = n + 1
		}
	})
	var told [4]int
	lost, untrue, found, duplicates := 0, 0, 0, 0
	for _, tally := range s.tallies {
		for _, o := range tally {
			told[o.class]++
			found += min(int(o.found), 1)
			duplicates += max(int(o.found)-1, 0)
			switch {
			case o.class == 0 && o.found == 0:
				lost++
			case (classes[o.class] == ErrNotSent || classes[o.class] == ErrRejected) && o.found > 0:
				untrue++
			}
		}
	}
	if lost+untrue+duplicates+disorder+foreign > 0 {
		s.t.Errorf("%d acknowledged messages are lost, %d are there though not sent or rejected, %d are there again, %d are out of order, %d nobody sent",
			lost, untrue, duplicates, disorder, foreign)
	}
	s.t.Logf("CHECKED kafka soak acknowledged=%d found=%d lost=%d duplicates=%d not-sent=%d maybe-delivered=%d rejected=%d faults=%d stops=%d",
		told[0], found, lost, duplicates, told[1], told[2], told[3], s.faults.Load(), s.stops.Load())
}
