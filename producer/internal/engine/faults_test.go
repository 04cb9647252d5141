package engine

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

var many = flag.Int("messages", 8_000, "how many messages TestD3CutsAndLostAnswers writes to each broker")

// Answers are lost, requests cut, and others held back until the end: nothing is lost, nothing is there twice, all is in
// order, and no write fails (D2, D3, D4).
func TestD3CutsAndLostAnswers(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 4)
		bad := testbroker.NewLossy(b, nil)
		cfg := config(b, topic)
		cfg.Connection.Dial = bad.Dial
		e := start(t, cfg)
		bad.Cuts.Store(20)
		bad.Losses.Store(50)
		bad.Holds.Store(20)
		l := newLedger()
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				// It continues until something has gone wrong: many messages may share few
				// requests.
				for left := *many / 16; left > 0 || bad.Cut.Load() == 0 || bad.Lost.Load() == 0 || bad.Held.Load() == 0; {
					n := 1 + rand.IntN(20)
					left -= n
					if err := l.write(context.Background(), t, e, w, n); err != nil {
						t.Errorf("a write failed: %v", err)
					}
				}
			})
		}
		wg.Wait()
		bad.Calm()
		if answered, gone := bad.LetThrough(100); gone > 0 {
			t.Errorf("of the requests that were held back %d were answered, and %d not", answered, gone)
		}
		l.judge(t, b, topic)
		t.Logf("%d requests cut, %d held back, %d answers lost, %d connections", bad.Cut.Load(), bad.Held.Load(), bad.Lost.Load(), bad.Connections.Load())
	})
}

// A batch is appended, one of its callers leaves, and the answer takes longer than the WriteTimeout: the next request has
// the same batch, so nothing is there twice (D3).
func TestD3TimedOut(t *testing.T) {
	unanswered(t, []string{"leaves", "stays"}, drips, func(*testbroker.Broker) { time.Sleep(4 * time.Second) }, "D3 Once is broken: the log has %v")
}

// The same, when the answer is that the replicas took too long.
func TestD3ReplicasTimedOut(t *testing.T) {
	late := func(b *testbroker.Broker) {
		b.Net.Drip(25 * time.Millisecond)
		b.AppendThenAnswer("unanswered", kerr.RequestTimedOut, 1)
	}
	unanswered(t, []string{"leaves", "stays"}, late, func(*testbroker.Broker) {}, "D3 Once is broken: the log has %v")
}

// The same, when the broker ends the connection, and the caller of the last message has left: its message stays the last (D4).
func TestD4HungUp(t *testing.T) {
	unanswered(t, []string{"stays", "leaves"}, drips, func(b *testbroker.Broker) { b.Net.Cut() }, "D4 Order is broken: the log has %v")
}

// drips lets no answer arrive.
func drips(b *testbroker.Broker) { b.Net.Drip(time.Second) }

// unanswered writes two messages in one batch, which is appended, to a broker that slow has made slow. The caller of one leaves,
// and then lose lets the answer be lost.
func unanswered(t *testing.T, order []string, slow, lose func(b *testbroker.Broker), complaint string) {
	const topic = "unanswered"
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, topic)
		cfg.WriteTimeout, cfg.Linger = 4*time.Second, 100*time.Millisecond
		e := start(t, cfg)
		slow(b)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got := make(map[string]error)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, who := range order {
			of := t.Context()
			if who == "leaves" {
				of = ctx
			}
			wg.Go(func() {
				err := e.Write(of, time.Now(), message(who))
				mu.Lock()
				defer mu.Unlock()
				got[who] = err
			})
			synctest.Wait()
		}
		time.Sleep(1500 * time.Millisecond)
		lose(b)
		b.Net.Drip(0)
		wg.Wait()
		if v := verdicts(t, got["leaves"]); v[0] != core.Maybe || got["stays"] != nil {
			t.Errorf("D2 Truth is broken: %v", got)
		}
		if log := values(t, b, topic)[0]; !slices.Equal(log, order) {
			t.Errorf(complaint, log)
		}
	}, kfake.SeedTopics(1, topic))
}

// Calls are larger than batches, batches are split, leaders move and answers are lost: the messages
// of a call stand together, and behind those of the calls before it (D4).
func TestD4CallsStandTogether(t *testing.T) {
	for range 5 {
		bubble(t, 3, func(t *testing.T, b *testbroker.Broker) {
			bad := testbroker.NewLossy(b, nil)
			cfg := config(b, "t")
			cfg.Connection.Dial = bad.Dial
			cfg.BatchSize = 8
			e := start(t, cfg)
			bad.Losses.Store(100)
			b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Err: kerr.MessageTooLarge, Count: 5})
			l := newLedger()
			var wg sync.WaitGroup
			for w := range 6 {
				wg.Go(func() {
					for range 30 {
						l.write(t.Context(), t, e, w, 1+rand.IntN(30))
					}
				})
			}
			for range 10 {
				time.Sleep(20 * time.Millisecond)
				if err := b.Fake.MoveTopicPartition("t", rand.Int32N(4), rand.Int32N(3)); err != nil {
					t.Error(err)
				}
			}
			wg.Wait()
			bad.Losses.Store(0)
			l.judge(t, b, "t")
		}, kfake.SeedTopics(4, "t"))
	}
}

// A broker answers with every error that it has, before or after it appended: the verdicts
// are true, and after the faults the order is as before.
func TestD2ErrorAnswers(t *testing.T) {
	for _, err := range []*kerr.Error{
		kerr.UnknownServerError, kerr.CorruptMessage, kerr.UnknownTopicOrPartition, kerr.NotLeaderForPartition, kerr.RequestTimedOut,
		kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.TopicAuthorizationFailed,
		kerr.InvalidTimestamp, kerr.InvalidRecord, kerr.OutOfOrderSequenceNumber, kerr.InvalidProducerEpoch, kerr.UnknownProducerID,
		kerr.KafkaStorageError, kerr.InvalidTxnState,
	} {
		t.Run(err.Message, func(t *testing.T) {
			for _, after := range []bool{false, true} {
				if after && core.AnswerOf(codeOf(err)) != core.Unsure && core.AnswerOf(codeOf(err)) != core.Final {
					continue // it is never given after the append
				}
				synctest.Test(t, func(t *testing.T) {
					b := testbroker.Virtual(t, kfake.SeedTopics(1, "t"))
					cfg := config(b, "t")
					cfg.DeliveryTimeout = 3 * time.Second
					e := start(t, cfg)
					l := newLedger()
					l.write(t.Context(), t, e, 0, 3)
					if after {
						b.AppendThenAnswer("t", err, 2)
					} else {
						b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Err: err, Count: 2})
					}
					var wg sync.WaitGroup
					for w := range 3 {
						wg.Go(func() {
							for range 3 {
								l.write(t.Context(), t, e, w, 4)
							}
						})
					}
					wg.Wait()
					for w := range 3 {
						if err := l.write(t.Context(), t, e, w, 2); err != nil {
							t.Errorf("after the faults: %v", err)
						}
					}
					l.judge(t, b, "t")
				})
			}
		})
	}
}

// A random life on three brokers: leaders move, connections are cut, answers lost, requests held
// back for long, brokers killed, callers leave, and the producer is stopped by force and started again. The verdicts
// are true, nothing is there twice, and all is in order.
func TestRandomLife(t *testing.T) {
	seeds := 12
	if testing.Short() {
		seeds = 2
	}
	for range seeds {
		synctest.Test(t, func(t *testing.T) { randomLife(t, core.Idempotent, -1) })
	}
}

// Without idempotence the verdicts are true as well.
func TestRandomLifeNotIdempotent(t *testing.T) {
	for _, acks := range []int16{-1, 1} {
		synctest.Test(t, func(t *testing.T) { randomLife(t, core.Acknowledged, acks) })
	}
	synctest.Test(t, func(t *testing.T) { randomLife(t, core.Unanswered, 0) })
}

func randomLife(t *testing.T, mode core.Mode, acks int16) {
	b := testbroker.VirtualCluster(t, 3, kfake.SeedTopics(4, "t"))
	bad := testbroker.NewLossy(b, nil)
	cfg := config(b, "t")
	cfg.Mode, cfg.Acks = mode, acks
	cfg.Connection.Dial = bad.Dial
	cfg.DeliveryTimeout, cfg.WriteTimeout, cfg.ReadTimeout = 5*time.Second, 2*time.Second, 2*time.Second
	cfg.Connection.Timeout = time.Second
	if rand.IntN(2) == 0 {
		cfg.Linger = 20 * time.Millisecond
	}
	cfg.Compression = []kafka.Compression{0, kafka.Gzip, kafka.Snappy}[rand.IntN(3)]
	l := newLedger()
	completes := rand.IntN(2) == 0
	if completes {
		cfg.Completion = l.complete
	}
	e := start(t, cfg)
	over := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 10 {
		wg.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				ctx, cancel := context.Background(), context.CancelFunc(func() {})
				if rand.IntN(4) == 0 {
					ctx, cancel = context.WithTimeout(ctx, rand.N(300*time.Millisecond))
				}
				began := time.Now()
				l.write(ctx, t, e, w, 1+rand.IntN(10))
				if took := time.Since(began); took > cfg.DeliveryTimeout+50*time.Millisecond {
					t.Errorf("a write took %v", took)
				}
				cancel()
				time.Sleep(rand.N(30 * time.Millisecond))
			}
		})
	}
	faults := []*kerr.Error{kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.RequestTimedOut, kerr.UnknownTopicOrPartition, kerr.MessageTooLarge, kerr.OutOfOrderSequenceNumber}
	var pending []*kfake.FaultHandle
	for range 60 {
		time.Sleep(rand.N(200 * time.Millisecond))
		switch rand.IntN(9) {
		case 0, 1:
			if err := b.Fake.MoveTopicPartition("t", rand.Int32N(4), rand.Int32N(3)); err != nil {
				t.Error(err)
			}
		case 2:
			b.Net.Cut()
		case 3:
			bad.Cuts.Store(rand.Uint64N(200))
			bad.Losses.Store(rand.Uint64N(200))
			if mode != core.Unanswered { // to which brokers answer
				bad.Holds.Store(rand.Uint64N(200))
			}
		case 4:
			bad.Calm()
			bad.LetThrough(50)
		case 5:
			fault := b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Err: faults[rand.IntN(len(faults))], Count: 1 + rand.IntN(3)})
			pending = append(pending, fault)
		case 6:
			node := rand.IntN(3)
			b.Net.Kill(node)
			time.Sleep(rand.N(2 * time.Second))
			b.Net.Revive(node)
		case 7:
			b.Net.Freeze()
			time.Sleep(rand.N(3 * time.Second))
			b.Net.Thaw()
		case 8:
			ctx, cancel := context.WithTimeout(t.Context(), rand.N(100*time.Millisecond))
			began := time.Now()
			e.Stop(ctx)
			if took := time.Since(began); took > 150*time.Millisecond {
				t.Errorf("Stop took %v", took)
			}
			cancel()
			bad.Calm()
			if err := e.Start(t.Context(), ignore); err != nil {
				t.Fatalf("Start: %v", err)
			}
		}
	}
	bad.Calm()
	for _, fault := range pending {
		fault.Remove()
	}
	close(over)
	wg.Wait()
	for w := range 10 {
		// kfake has one epoch for a producer id: another partition's may end a batch in doubt.
		for try := 1; ; try++ {
			err := l.write(t.Context(), t, e, w, 1)
			if err == nil {
				break
			}
			if try == 3 || !errors.Is(err, kafka.InvalidProducerEpoch) {
				t.Errorf("after the faults: %v", err)
				break
			}
		}
	}
	time.Sleep(time.Second) // messages without an acknowledgement are there by then
	bad.LetThrough(100)
	l.judgeAs(t, b, "t", mode)
	if completes {
		l.judgeCompletions(t)
	}
	if l.counts[core.Delivered] == 0 {
		t.Error("nothing was delivered")
	}
}
