package producer

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Without idempotence messages are delivered at least once; with AcksNone they are handed to the
// network. Each has its one verdict (D1), which is true (D2). Withdrawn messages do not come (D5),
// deadlines and stops hold (D6, D7), and Completion gets the same verdicts as the callers. No
// producer id is requested.
func TestNotIdempotent(t *testing.T) {
	for name, cfg := range map[string]Config{
		"IdempotenceOff": {Idempotence: IdempotenceOff},
		"AcksOne":        {Acks: AcksOne},
		"AcksNone":       {Acks: AcksNone},
		"All":            {}, // for comparison: it has no duplicates
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.VirtualCluster(t, 3)
				topic := b.CreateTopic(t, 6)
				l := newLedger()
				idempotent := name == "All"
				l.unordered = !idempotent
				cfg := cfg
				cfg.Topic, cfg.Logger, cfg.Completion, cfg.BatchSize = topic, slog.New(slog.DiscardHandler), l.completion(), 8
				p := newProducer(t, b, cfg)
				var ids, cuts atomic.Int32
				b.Fake.ControlKey(kmsg.InitProducerID.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
					b.Fake.KeepControl()
					ids.Add(1)
					return nil, nil, false
				})
				var harm atomic.Bool
				b.Fake.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
					b.Fake.KeepControl()
					if !harm.Load() || rand.IntN(20) > 0 {
						return nil, nil, false
					}
					cuts.Add(1)
					return nil, io.EOF, true
				})
				for round := range 4 {
					start(t, p)
					harm.Store(true)
					lost := b.AppendThenAnswer(topic, kerr.NotLeaderForPartition, 20)
					var wg sync.WaitGroup
					for w := range 8 {
						wg.Go(func() {
							for i := range 25 {
								ctx, cancel := context.WithTimeout(bg, time.Duration(rand.IntN(3000))*time.Millisecond)
								began := time.Now()
								l.write(ctx, t, p, messages(fmt.Sprintf("%d-%d-%d", round, w, i), 1+rand.IntN(4))...)
								if took := time.Since(began); took > 3*time.Second {
									t.Errorf("a caller was held for %v", took)
								}
								cancel()
								l.send(bg, t, p, &wg, message(fmt.Sprintf("sent-%d-%d-%d", round, w, i)))
							}
						})
					}
					wg.Wait()
					lost.Remove()
					harm.Store(false)
					if round == 1 { // by force, with messages under way and queued
						b.Net.Freeze()
						for i := range 20 {
							l.send(bg, t, p, &wg, message(fmt.Sprintf("cut-%d", i)))
						}
						synctest.Wait()
						if err := p.Stop(endedContext()); err == nil && name != "AcksNone" {
							t.Error("a stop that had to cut something off returned nil")
						}
						b.Net.Thaw()
						wg.Wait()
						_, err := p.Wait(bg, fsm.Idle)
						if err != nil {
							t.Error(err)
						}
					} else if err := p.Stop(bg); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(time.Minute)
				c := l.verify(t, b, topic)
				asked := map[bool]int32{true: 1, false: 0}[idempotent]
				if n := ids.Load(); n != asked {
					t.Errorf("a producer id was asked for %d times, want %d", n, asked)
				}
				if c.acked < 500 || cuts.Load() == 0 || (c.duplicates == 0) != (idempotent || name == "AcksNone") {
					t.Errorf("%v, %d cuts: the test shows less than it says", c, cuts.Load())
				}
				t.Logf("CHECKED producer-modes %s cuts=%d %v", name, cuts.Load(), c)
			})
		})
	}
}

// A cluster that gives out no producer ids is usable with IdempotenceOff, and with other Acks.
func TestNoProducerID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 1)
		b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.ClusterAuthorizationFailed, Count: -1})
		mustBe(t, newProducer(t, b, Config{Topic: topic}).Start(bg), ErrNoIdempotence)
		for _, cfg := range []Config{{Idempotence: IdempotenceOff}, {Acks: AcksOne}, {Acks: AcksNone}} {
			cfg.Topic = topic
			p := newProducer(t, b, cfg)
			start(t, p)
			if err := p.WriteMessages(bg, message("x")); err != nil {
				t.Error(err)
			}
		}
	})
}
