package producer

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

var (
	dayCycles = flag.Int("day.cycles", 0, "how many cycles TestDayOfFaults makes; 0: four times 100, or 100 with -short")
	daySeed   = flag.Uint64("day.seed", 0, "what TestDayOfFaults draws them from; 0: at random")
)

// A day in the life of one producer. In each cycle something breaks on a cluster of three nodes,
// stays broken for a while, and is repaired. In between the producer is started, stopped, forced,
// and stopped while it starts. Callers write all the time, wait or leave.
//
// Each message has one verdict that is true (D1, D2). None is there twice (D3). All are in the
// order of their calls, across forced stops too (D4). A withdrawn message does not come later (D5).
// Completion gets the same verdicts as the callers. No call outlives its context or timeout (D6).
// Whenever the producer is idle, nothing is open and nothing runs. All of it is in virtual time:
// -day.cycles=10000 are some 25 hours.
func TestDayOfFaults(t *testing.T) {
	cycles, times := *dayCycles, 1
	if cycles == 0 {
		cycles = 100
		if !testing.Short() && *daySeed == 0 {
			times = 4 // not in one bubble: a long one may end Go 1.26's race detector (golang/go issue 78156)
		}
	}
	happened := make(map[string]int) // in all bubbles
	for range times {
		seed := *daySeed
		if seed == 0 {
			seed = rand.Uint64()
		}
		t.Logf("to draw the same again: -run=TestDayOfFaults -day.cycles=%d -day.seed=%d", cycles, seed)
		synctest.Test(t, func(t *testing.T) {
			s := &day{t: t, r: rand.New(rand.NewPCG(seed, 0)), l: newLedger(), over: make(chan struct{}), happened: happened}
			s.run(seed, cycles)
		})
	}
	if cycles*times < 400 {
		return // by chance any of these may be missing
	}
	for what, n := range happened {
		if n == 0 {
			t.Errorf("%s: it never happened, and the test shows less than it says", what)
		}
	}
}

type day struct {
	t     *testing.T
	b     *testbroker.Broker
	topic string
	p     *Producer
	r     *rand.Rand // the driver's
	l     *ledger
	over  chan struct{} // the callers go home
	net   *badDials
	lossy *testbroker.Lossy // below it

	faults   []dayFault
	happened map[string]int // how often: what is drawn, by name, and what comes of it

	starts, startsFailed, stops, forced, cut, idle int
	pings, sent                                    atomic.Int64
}

func (s *day) run(seed uint64, cycles int) {
	t, began := s.t, time.Now()
	s.b = testbroker.VirtualCluster(t, dayNodes)
	s.topic = s.b.CreateTopic(t, dayPartitions)
	s.lossy = testbroker.NewLossy(s.b, nil)
	s.net = &badDials{dial: s.lossy.Dial}
	s.p = newProducer(t, s.b, Config{
		Topic: s.topic, Dial: s.net.dialContext, MaxInFlightBytes: 20_000, BatchSize: 8,
		DialTimeout: 2 * time.Second, CheckWritePermission: true, Logger: slog.New(slog.DiscardHandler),
		Completion: s.l.completion(),
	})
	s.faults = dayFaults(s)
	for _, f := range s.faults {
		s.happened[f.name] += 0
	}

	var callers sync.WaitGroup
	for c := range 6 {
		r := rand.New(rand.NewPCG(seed, uint64(c+1)))
		callers.Go(func() { s.call(c, r) })
	}
	for cycle := range cycles {
		s.cycle()
		if cycle%100 == 99 {
			s.stop(bg)
			noGoroutines(t, "producer.(*day)", "producer.TestDayOfFaults")
		}
		if t.Failed() {
			t.Logf("in cycle %d", cycle)
			break
		}
	}
	close(s.over)
	callers.Wait()
	s.stop(bg)
	time.Sleep(time.Minute) // what was on its way has arrived
	nothingLeft(t, s.b, s.p)
	s.lossy.LetThrough(100)

	c := s.l.verify(t, s.b, s.topic)
	t.Logf("CHECKED producer-day cycles=%d virtual-minutes=%d starts=%d starts-failed=%d stops=%d forced=%d cutoff=%d idle-and-clean=%d pings=%d sends=%d held-back=%d %v",
		cycles, int(time.Since(began).Minutes()), s.starts, s.startsFailed, s.stops, s.forced, s.cut, s.idle, s.pings.Load(), s.sent.Load(), s.lossy.Held.Load(), c)
	for what, n := range map[string]int{
		"a start": s.starts, "a start that failed": s.startsFailed, "a forced stop": s.forced, "an answer to a ping": int(s.pings.Load()),
		"a message delivered": c.acked, "a message not sent": c.notSent, "a message maybe delivered": c.maybe,
	} {
		s.happened[what] += n
	}
}

// upTo returns a time from 0 to d.
func upTo(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d) + 1)) }

// cycle is one cycle: something breaks, perhaps something else too, and is repaired, and
// before or after that the producer is started or stopped.
func (s *day) cycle() {
	if s.p.State() == fsm.Idle && s.r.IntN(4) > 0 {
		s.start()
	}
	var repair []func()
	for range 1 + s.r.IntN(2) {
		f := s.faults[s.r.IntN(len(s.faults))]
		s.happened[f.name]++
		repair = append(repair, f.begin())
		time.Sleep(upTo(s.r, 4*time.Second))
	}
	s.lifecycle()
	time.Sleep(upTo(s.r, 6*time.Second))
	for _, m := range repair {
		m()
	}
	s.lossy.LetThrough(50)
	if s.r.IntN(4) == 0 {
		s.lifecycle()
	}
	time.Sleep(upTo(s.r, 6*time.Second))
}

// lifecycle does something to the producer, or leaves it alone.
func (s *day) lifecycle() {
	switch s.r.IntN(10) {
	case 0:
		s.stopIn(upTo(s.r, 3*time.Second))
	case 1: // with no patience at all, and again at once
		s.stopIn(0)
		s.start()
	case 2: // several at a time
		var wg sync.WaitGroup
		for range 3 {
			d := upTo(s.r, 2*time.Second)
			wg.Go(func() { s.timed("Stop", d, s.p.Stop) })
			wg.Go(func() { s.timed("Start", d, s.p.Start) })
		}
		wg.Wait()
		s.stopIn(time.Second)
	case 3: // a stop during a start
		d := upTo(s.r, 100*time.Millisecond)
		starting := async(func() error { return s.timed("Start", 30*time.Second, s.p.Start) })
		time.Sleep(d)
		s.stopIn(time.Second)
		<-starting
	case 4, 5:
	default:
		s.start()
	}
}

// timed makes a call that must return within its time, or within the time that a cut takes.
func (s *day) timed(what string, d time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(bg, d)
	defer cancel()
	began := time.Now()
	err := call(ctx)
	if took := time.Since(began); took > d+50*time.Millisecond {
		s.t.Errorf("%s took %v, with a context of %v: %v", what, took, d, err)
	}
	return err
}

func (s *day) start() {
	if err := s.timed("Start", upTo(s.r, 8*time.Second), s.p.Start); err != nil {
		s.startsFailed++
		return
	}
	s.starts++
}

// stopIn stops with a deadline of d, and checks what is left.
func (s *day) stopIn(d time.Duration) {
	var stopErr *StopError
	err := s.timed("Stop", d, s.p.Stop)
	if errors.As(err, &stopErr) {
		s.forced++
		s.cut += stopErr.Messages
	} else if err != nil {
		s.t.Errorf("Stop: %v", err)
	}
	s.wasStopped()
}

func (s *day) stop(ctx context.Context) {
	if err := s.p.Stop(ctx); err != nil {
		s.t.Errorf("a patient Stop: %v", err)
	}
	s.wasStopped()
}

func (s *day) wasStopped() {
	s.stops++
	// As a rule it is done when the Stop returns.
	if err := s.timed("the release", 0, func(context.Context) error { _, err := s.p.Wait(bg, fsm.Idle); return err }); err != nil {
		s.t.Error(err)
	}
	holdsNothing(s.t, s.p)
	if n := s.b.Sockets(s.t); n != 0 {
		s.t.Errorf("idle, and %d connections open", n)
	}
	s.idle++
}

// call is one caller: it writes, and waits, or leaves, or sends, or pings.
func (s *day) call(c int, r *rand.Rand) {
	for i := 0; ; i++ {
		patience := 40 * time.Second // more than the DeliveryTimeout
		if r.IntN(3) == 0 {
			patience = upTo(r, 5*time.Second)
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(bg, patience)
		msgs := messages(fmt.Sprintf("%d-%d", c, i), 1+r.IntN(4))
		switch r.IntN(8) {
		case 0:
			if s.timed("Ping", patience, s.p.Ping) == nil {
				s.pings.Add(1)
			}
		case 1:
			s.send(ctx, msgs)
			patience = 40 * time.Second // it has left, and waits for the result
		case 2:
			s.l.write(ctx, s.t, s.p, msgs...)
		default:
			msgs = msgs[:1]
			msgs[0].Key = fmt.Appendf(nil, "key-%d", c)
			s.l.write(ctx, s.t, s.p, msgs...)
		}
		if took := time.Since(began); took > min(patience, 30*time.Second) {
			s.t.Errorf("a caller with a patience of %v was held for %v", patience, took)
		}
		cancel()
		select {
		case <-s.over:
			return
		case <-time.After(upTo(r, 2*time.Second)):
		}
	}
}

func (s *day) send(ctx context.Context, msgs []kafka.Message) {
	var wg sync.WaitGroup
	if s.l.send(ctx, s.t, s.p, &wg, msgs...) == nil {
		s.sent.Add(1)
	}
	wg.Wait()
}
