package producer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Random starts, stops, writes, sends and pings, with callers that give up, in virtual time. The
// cluster hangs, answers slowly, and cuts and refuses connections. Each message has one verdict
// that is true (D1, D2), and none is there twice or out of order (D3, D4). Completion gets the same
// verdicts as the callers, every call returns, and nothing is left.
func TestRandomFaults(t *testing.T) {
	seeds, total := 50, new(tally)
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomFaults(t, uint64(seed), total) })
		}) {
			break
		}
	}
	t.Logf("CHECKED producer-faults runs=%d acknowledged-all-found=%d failed-writes=%d starts=%d forced=%d", seeds,
		total.acked.Load(), total.failed.Load(), total.starts.Load(), total.forced.Load())
	if total.acked.Load() == 0 || total.failed.Load() == 0 || total.starts.Load() == 0 || total.forced.Load() == 0 {
		t.Error("one of these never happened: the test shows nothing")
	}
}

// slowConn is a connection on which some answers take their time. (The embedded
// cluster's own way to answer late has a data race when several do.)
type slowConn struct {
	net.Conn
	quiet *atomic.Bool
}

func (c *slowConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.quiet.Load() && rand.IntN(8) == 0 {
		time.Sleep(rand.N(300 * time.Millisecond))
	}
	return n, err
}

type tally struct{ acked, failed, starts, forced atomic.Int64 }

func randomFaults(t *testing.T, seed uint64, total *tally) {
	b := testbroker.Virtual(t)
	topic := b.CreateTopic(t, 3, "max.message.bytes=500") // as a batch of five: some are refused
	var quiet atomic.Bool                                 // the faults are over
	b.Fake.Control(func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		if quiet.Load() {
			return nil, nil, false
		}
		switch n := rand.IntN(100); {
		case n < 3:
			return nil, nil, true // never answered
		case n < 8:
			return nil, io.EOF, true // cut
		}
		return nil, nil, false
	})
	l := newLedger()
	p := newProducer(t, b, Config{
		Topic: topic, MaxInFlightBytes: 10_000, Completion: l.completion(), BatchSize: 8, Logger: slog.New(slog.DiscardHandler),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if !quiet.Load() && rand.IntN(10) == 0 {
				return nil, errRefused
			}
			c, err := b.Dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &slowConn{c, &quiet}, nil
		},
	})
	var wg sync.WaitGroup
	for w := range 4 {
		r := rand.New(rand.NewPCG(seed, uint64(w)))
		wg.Go(func() {
			for i := range 40 {
				ctx, cancel := context.WithTimeout(bg, time.Duration(r.IntN(5000))*time.Millisecond)
				msgs := messages(fmt.Sprintf("%d-%d", w, i), 1+r.IntN(6))
				if r.IntN(10) == 0 { // refused even alone
					m := &msgs[r.IntN(len(msgs))]
					m.Value = append(m.Value, make([]byte, 500)...)
				}
				l.write(ctx, t, p, msgs...)
				cancel()
				time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
			}
		})
	}
	for w := range 2 { // who does not wait
		r := rand.New(rand.NewPCG(seed, uint64(20+w)))
		wg.Go(func() {
			for i := range 60 {
				ctx, cancel := context.WithTimeout(bg, time.Duration(r.IntN(2000))*time.Millisecond)
				l.send(ctx, t, p, &wg, messages(fmt.Sprintf("sent-%d-%d", w, i), 1+r.IntN(3))...)
				cancel()
				time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
			}
		})
	}
	for c := range 2 {
		r := rand.New(rand.NewPCG(seed, uint64(10+c)))
		wg.Go(func() {
			for range 15 {
				ctx, cancel := context.WithTimeout(bg, time.Duration(r.IntN(3000))*time.Millisecond)
				if err := p.Start(ctx); err == nil {
					total.starts.Add(1)
				}
				p.Ping(ctx)
				time.Sleep(time.Duration(r.IntN(1000)) * time.Millisecond)
				cancel()
				ctx, cancel = context.WithTimeout(bg, time.Duration(r.IntN(2000))*time.Millisecond)
				var stopErr *StopError
				if err := p.Stop(ctx); errors.As(err, &stopErr) && stopErr.Messages > 0 {
					total.forced.Add(1)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	quiet.Store(true)
	if err := p.Stop(bg); err != nil {
		t.Error(err)
	}
	nothingLeft(t, b, p)

	c := l.verify(t, b, topic)
	total.acked.Add(int64(c.acked))
	total.failed.Add(int64(c.failed()))
	if t.Failed() {
		t.Logf("seed %d", seed)
	}
}
