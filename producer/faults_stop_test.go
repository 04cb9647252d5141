package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
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

// Wherever a write is, a stop whose context ends cuts it off. The stop returns within 50 ms and
// counts the failed messages by verdict, and each write has the same verdicts. Lingering messages
// are sent at once, and messages that are not admitted yet are refused at once (D7). A caller that
// has left has its verdict already, and does not count. The next start works at once, and a message
// that was not sent never appears.
func TestForcedStopWherever(t *testing.T) {
	frozen := func(b *testbroker.Broker, _ *cutOff) { b.Net.Freeze() }
	for _, at := range []struct {
		name   string
		cfg    Config
		fault  func(b *testbroker.Broker, w *cutOff)
		repair func(b *testbroker.Broker)
		class  error // of the write of 3 messages; nil: it is delivered
		left   error // the same, if its caller has left
		first  int   // messages of a write before it, which may have been delivered
		free   bool  // the write is not cut off: it is delivered, or was not admitted
	}{
		{name: "Lingering", cfg: Config{Linger: 20 * time.Second}, left: ErrNotSent, free: true},
		{name: "AtAFrozenBroker", fault: frozen, repair: thaw, class: ErrMaybeDelivered, left: ErrMaybeDelivered},
		{name: "LingeringAtAFrozenBroker", cfg: Config{Linger: 20 * time.Second}, fault: frozen, repair: thaw,
			class: ErrMaybeDelivered, left: ErrNotSent},
		{name: "AtABrokerThatNeverAnswers", fault: func(b *testbroker.Broker, w *cutOff) { w.hang = b.Hang(kmsg.Produce) },
			class: ErrMaybeDelivered, left: ErrMaybeDelivered},
		{name: "Queued", fault: frozen, repair: thaw, first: 1, class: ErrNotSent, left: ErrNotSent},
		{name: "WithoutConnection", fault: func(b *testbroker.Broker, _ *cutOff) { b.Net.Kill(0) },
			repair: func(b *testbroker.Broker) { b.Net.Revive(0) }, class: ErrNotSent, left: ErrNotSent},
		{name: "BetweenAttempts", fault: func(b *testbroker.Broker, w *cutOff) {
			w.fault = b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotLeaderForPartition, Count: -1})
		}, class: ErrMaybeDelivered, left: ErrMaybeDelivered},
		{name: "BetweenRefusedAttempts", fault: func(b *testbroker.Broker, w *cutOff) {
			w.fault = b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
		}, class: ErrRejected, left: ErrRejected},
		{name: "Dialling", fault: func(b *testbroker.Broker, w *cutOff) { w.dead.Store(true); b.Net.Cut() },
			class: ErrNotSent, left: ErrNotSent},
		{name: "Authenticating", fault: func(b *testbroker.Broker, w *cutOff) { w.hang = b.Hang(kmsg.SASLAuthenticate); b.Net.Cut() },
			class: ErrNotSent, left: ErrNotSent},
		{name: "ProvingATopic", cfg: Config{AnyTopic: true}, fault: func(b *testbroker.Broker, w *cutOff) {
			w.topic = b.CreateTopic(w.t, 1)
			w.topics, w.hang = append(w.topics, w.topic), b.Hang(kmsg.Metadata)
		}, class: ErrNotStarted, left: ErrNotSent, free: true},
		{name: "WaitingForRoom", cfg: Config{MaxInFlightBytes: 500}, fault: frozen, repair: thaw, first: 10,
			class: ErrNotStarted, left: ErrNotSent, free: true},
	} {
		for _, leaves := range []bool{false, true} {
			name := at.name
			if leaves {
				name += "/CallerLeft"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := testbroker.Virtual(t, kfake.EnableSASL(), kfake.SeedTopics(1, "t"), kfake.Superuser("PLAIN", "user", "right"))
					b.Options = franzPassword
					w := &cutOff{t: t, l: newLedger(), topics: []string{"t"}}
					cfg := at.cfg
					cfg.Topic, cfg.SASL, cfg.Logger, cfg.Completion = "t", rightPassword, slog.New(slog.DiscardHandler), w.l.completion()
					cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
						if w.dead.Load() {
							<-ctx.Done()
							return nil, ctx.Err()
						}
						return b.Dial(ctx, network, address)
					}
					w.p = newProducer(t, b, cfg)
					start(t, w.p)
					time.Sleep(2 * time.Second)
					if at.fault != nil {
						at.fault(b, w)
					}
					var first <-chan error
					if at.first > 0 {
						first = async(func() error { return w.l.write(bg, t, w.p, messages("first", at.first)...) })
						time.Sleep(time.Second)
					}
					ctx, leave := context.WithCancel(bg)
					defer leave()
					msgs := messages("cut", 3)
					for i := range msgs {
						msgs[i].Topic = w.topic
					}
					write := async(func() error { return w.l.write(ctx, t, w.p, msgs...) })
					time.Sleep(3 * time.Second)
					want, lost := at.class, StopError{}
					lost.Maybe = at.first
					if leaves {
						leave()
						synctest.Wait()
						want = at.left
					} else if !at.free {
						*map[error]*int{ErrNotSent: &lost.NotSent, ErrMaybeDelivered: &lost.Maybe, ErrRejected: &lost.Rejected}[at.class] += 3
					}
					lost.Messages = lost.NotSent + lost.Maybe + lost.Rejected
					impatient, cancel := context.WithTimeout(bg, time.Second)
					defer cancel()
					began := time.Now()
					stopping := async(func() error { return w.p.Stop(impatient) })
					if at.free || leaves {
						synctest.Wait()
						if n := len(write); n != 1 {
							t.Error("the write has not returned at once")
						}
					}
					err := get(t, stopping)
					if took := time.Since(began); took > time.Second+50*time.Millisecond {
						t.Errorf("Stop took %v, want 50 ms after its context, 1 s, at most", took)
					}
					var stopErr *StopError
					if errors.As(err, &stopErr); (stopErr == nil) != (lost.Messages == 0) {
						t.Errorf("Stop: %v, want %d messages cut off", err, lost.Messages)
					} else if stopErr != nil {
						if lost.Err = stopErr.Err; *stopErr != lost {
							t.Errorf("Stop: %v, want %v", err, &lost)
						}
					}
					for _, e := range errorsOf(t, get(t, write), 3) {
						if want != nil || e != nil {
							mustBe(t, e, want)
						}
					}
					if first != nil {
						mustBe(t, get(t, first), ErrMaybeDelivered)
					}
					nothingLeft(t, b, w.p)
					w.dead.Store(false)
					if w.hang != nil {
						w.hang.Set(false)
					}
					if w.fault != nil {
						w.fault.Remove()
					}
					if at.repair != nil {
						at.repair(b)
					}
					if err := w.p.Start(bg); err != nil {
						t.Fatal(err)
					}
					if err := w.l.write(bg, t, w.p, message("after")); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Minute) // what was on its way has arrived
					w.l.verify(t, b, w.topics...)
				})
			})
		}
	}
}

// cutOff is the setting of a case of TestForcedStopWherever.
type cutOff struct {
	t     *testing.T
	l     *ledger
	p     *Producer
	topic string // of the write, if it names one
	hang  *testbroker.Hang
	fault *kfake.FaultHandle
	dead  atomic.Bool // the network swallows dials

	topics []string // that were written to
}

func thaw(b *testbroker.Broker) { b.Net.Thaw() }

// A forced stop counts exactly. Under load, on a cluster that freezes, the messages that it counts
// are those whose writes failed, with the same verdicts.
func TestForcedStopCountsExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.VirtualCluster(t, 3)
		topic := b.CreateTopic(t, 12)
		p := newProducer(t, b, Config{Topic: topic, BatchSize: 4, Logger: slog.New(slog.DiscardHandler)})
		l, cut := newLedger(), [3]int{}
		for round := range 20 {
			start(t, p)
			under := l.load(t, p, 32, time.Millisecond)
			var sends sync.WaitGroup
			sent := messages(fmt.Sprint("sent-", round), 20)
			time.Sleep(50 * time.Millisecond)
			b.Net.Freeze()
			for i := range sent {
				l.send(bg, t, p, &sends, sent[i])
			}
			time.Sleep(time.Duration(round) * 100 * time.Millisecond)
			ctx, cancel := context.WithTimeout(bg, 100*time.Millisecond)
			began := time.Now()
			err := p.Stop(ctx)
			cancel()
			if took := time.Since(began); took > 150*time.Millisecond {
				t.Errorf("Stop took %v, want 150 ms at most", took)
			}
			under.end()
			sends.Wait()
			nothingLeft(t, b, p)
			failed := [3]int{}
			l.mu.Lock()
			for _, err := range l.told {
				for i, class := range []error{ErrNotSent, ErrMaybeDelivered, ErrRejected} {
					if errors.Is(err, class) && !errors.Is(err, ErrNotStarted) {
						failed[i]++
					}
				}
			}
			l.mu.Unlock()
			var s *StopError
			if !errors.As(err, &s) {
				t.Fatalf("round %d: Stop: %v", round, err)
			}
			got, want := [3]int{s.NotSent, s.Maybe, s.Rejected}, [3]int{failed[0] - cut[0], failed[1] - cut[1], failed[2] - cut[2]}
			if got != want || s.Messages != got[0]+got[1]+got[2] || s.Messages == 0 {
				t.Errorf("round %d: Stop: %v, want %v", round, err, want)
			}
			cut = failed
			b.Net.Thaw()
		}
		if cut[0] == 0 || cut[1] == 0 {
			t.Errorf("%v: the test shows less than it says", cut)
		}
		start(t, p)
		t.Logf("CHECKED producer-forced-stops stops=20 cutoff=%d %v", cut[0]+cut[1]+cut[2], l.verify(t, b, topic))
	})
}

// A stop that is patient drains through a fault: everything that was admitted, by callers that
// wait and by Send, is delivered when the cause is gone, and the stop returns nil. A caller that
// has left has its verdict before.
func TestStopDrainsThroughAFault(t *testing.T) {
	for name, fault := range map[string]func(b *testbroker.Broker) (repair func()){
		"Frozen": func(b *testbroker.Broker) func() { b.Net.Freeze(); return b.Net.Thaw },
		"Killed": func(b *testbroker.Broker) func() { b.Net.Kill(0); return func() { b.Net.Revive(0) } },
		"NotEnoughReplicas": func(b *testbroker.Broker) func() {
			return b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1}).Remove
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t)
				topic := b.CreateTopic(t, 3)
				p := newProducer(t, b, Config{Topic: topic, Logger: slog.New(slog.DiscardHandler)})
				start(t, p)
				repair := fault(b)
				l := newLedger()
				waits := async(func() error { return l.write(bg, t, p, messages("waits", 10)...) })
				time.Sleep(time.Second)
				var sends sync.WaitGroup
				for _, m := range messages("sent", 10) {
					l.send(bg, t, p, &sends, m)
				}
				ctx, leave := context.WithCancel(bg)
				left := async(func() error { return l.write(ctx, t, p, messages("leaves", 10)...) })
				synctest.Wait()
				leave()
				mustBe(t, get(t, left), context.Canceled)
				stopping := async(func() error { return p.Stop(bg) })
				time.Sleep(12 * time.Second)
				mustBe(t, l.write(bg, t, p, message("late")), ErrNotStarted)
				repair()
				if err := get(t, stopping); err != nil {
					t.Error(err)
				}
				if err := get(t, waits); err != nil {
					t.Error(err)
				}
				sends.Wait()
				nothingLeft(t, b, p)
				if c := l.verify(t, b, topic); c.acked != 20 {
					t.Errorf("%v; want the 20 that were waited for or sent", c)
				}
			})
		})
	}
}

// A Completion that takes its time holds up the release, not the stopper whose
// context ends.
func TestForcedStopDoesNotWaitForCompletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), Logger: slog.New(slog.DiscardHandler), Completion: func([]kafka.Message, error) { time.Sleep(10 * time.Second) }})
		start(t, p)
		write := async(func() error { return p.WriteMessages(bg, message("x")) })
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		began := time.Now()
		var stopErr *StopError
		if err := p.Stop(ctx); !errors.As(err, &stopErr) || stopErr.Messages != 0 {
			t.Errorf("Stop: %v, want a StopError of no message: it was acknowledged", err)
		}
		if took := time.Since(began); took > time.Second+50*time.Millisecond {
			t.Errorf("Stop took %v", took)
		}
		if p.State() != fsm.Stopping {
			t.Errorf("state %v, want Stopping: it is not released yet", p.State())
		}
		if err := get(t, write); err != nil {
			t.Error(err)
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		nothingLeft(t, b, p)
	})
}
