package producer

import (
	"context"
	"errors"
	"log/slog"
	"net"
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

// Wherever a write is, a stop whose context ends cuts it off: it returns within
// 50 ms of that, says how many messages it cost, and each write is told what became
// of it. The next start works at once, and what was not sent never appears.
func TestForcedStopWherever(t *testing.T) {
	for _, at := range []struct {
		name  string
		cfg   Config
		fault func(b *testbroker.Broker, w *cutOff)
		class error // of the write of 3 messages
		out   bool  // it is not in a batch yet: a caller that leaves takes it back
		lost  int   // of the messages, and of those before them
		cold  bool  // no connection is there to be found broken
		mend  func(b *testbroker.Broker)
	}{
		{name: "Lingering", cfg: Config{Linger: 20 * time.Second}, class: ErrNotSent, lost: 3},
		{name: "AtAFrozenBroker", fault: func(b *testbroker.Broker, _ *cutOff) { b.Net.Freeze() },
			class: ErrMaybeDelivered, lost: 3, mend: func(b *testbroker.Broker) { b.Net.Thaw() }},
		{name: "AtABrokerThatNeverAnswers", fault: func(b *testbroker.Broker, w *cutOff) { w.hang = b.Hang(kmsg.Produce) },
			class: ErrMaybeDelivered, lost: 3},
		{name: "Queued", fault: func(b *testbroker.Broker, w *cutOff) { b.Net.Freeze(); w.writeFirst(1) },
			class: ErrNotSent, lost: 4, mend: func(b *testbroker.Broker) { b.Net.Thaw() }},
		{name: "BetweenAttempts", cold: true, fault: func(b *testbroker.Broker, _ *cutOff) { b.Net.Kill(0) },
			class: ErrNotSent, lost: 3, mend: func(b *testbroker.Broker) { b.Net.Revive(0) }},
		{name: "BetweenRefusedAttempts", fault: func(b *testbroker.Broker, w *cutOff) {
			w.fault = b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
		}, class: ErrRejected, lost: 3},
		{name: "Dialling", cold: true, fault: func(b *testbroker.Broker, w *cutOff) { w.dead.Store(true) }, class: ErrNotSent, lost: 3},
		{name: "Authenticating", cold: true, fault: func(b *testbroker.Broker, w *cutOff) { w.hang = b.Hang(kmsg.SASLAuthenticate) },
			class: ErrNotSent, lost: 3},
		{name: "ProvingATopic", cfg: Config{AnyTopic: true}, fault: func(b *testbroker.Broker, w *cutOff) {
			w.topic = b.CreateTopic(w.t, 1)
			w.topics, w.hang = append(w.topics, w.topic), b.Hang(kmsg.Metadata)
		}, class: ErrNotSent, out: true, lost: 3},
		{name: "WaitingForRoom", cfg: Config{MaxInFlightBytes: 2000}, fault: func(b *testbroker.Broker, w *cutOff) {
			b.Net.Freeze()
			w.writeFirst(10)
		}, class: ErrNotSent, out: true, lost: 10, mend: func(b *testbroker.Broker) { b.Net.Thaw() }},
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
					cfg.Topic, cfg.SASL, cfg.Logger = "t", rightPassword, slog.New(slog.DiscardHandler)
					if at.cold {
						cfg.IdleTimeout = time.Second
					}
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
					ctx, leave := context.WithCancel(bg)
					defer leave()
					msgs := messages("cut", 3)
					for i := range msgs {
						msgs[i].Topic = w.topic
					}
					write := async(func() error { return w.l.write(ctx, t, w.p, msgs...) })
					time.Sleep(3 * time.Second)
					want, lost := at.class, at.lost
					if leaves {
						leave()
						synctest.Wait()
						switch {
						case !at.out:
							want = ErrMaybeDelivered // it did not wait for the answer
						case w.first == nil:
							lost = 0
						}
					}
					impatient, cancel := context.WithTimeout(bg, time.Second)
					defer cancel()
					began := time.Now()
					err := w.p.Stop(impatient)
					if took := time.Since(began); took > time.Second+50*time.Millisecond {
						t.Errorf("Stop took %v, want 50 ms after its context, 1 s, at most", took)
					}
					var stopErr *StopError
					if errors.As(err, &stopErr); lost > 0 && (stopErr == nil || stopErr.Messages != lost) {
						t.Errorf("Stop: %v, want a StopError of %d messages", err, lost)
					}
					for _, e := range errorsOf(t, get(t, write), 3) {
						mustBe(t, e, want)
					}
					if w.first != nil {
						mustBe(t, get(t, w.first), ErrMaybeDelivered)
					}
					nothingLeft(t, b, w.p)
					w.dead.Store(false)
					if w.hang != nil {
						w.hang.Set(false)
					}
					if w.fault != nil {
						w.fault.Remove()
					}
					if at.mend != nil {
						at.mend(b)
					}
					if err := w.p.Start(bg); err != nil {
						t.Fatal(err)
					}
					w.topic = ""
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

// cutOff is what a case of TestForcedStopWherever needs.
type cutOff struct {
	t     *testing.T
	l     *ledger
	p     *Producer
	topic string // of the write, if it names one
	hang  *testbroker.Hang
	fault *kfake.FaultHandle
	dead  atomic.Bool // the network swallows dials
	first <-chan error

	topics []string // that were written to
}

func (w *cutOff) writeFirst(n int) {
	w.first = async(func() error { return w.l.write(bg, w.t, w.p, messages("first", n)...) })
	time.Sleep(time.Second)
}

// The forced stop counts exactly: under load on a cluster that freezes, the messages
// that it says it cut off are those whose writes failed.
func TestForcedStopCountsExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.VirtualCluster(t, 3)
		topic := b.CreateTopic(t, 12)
		p := newProducer(t, b, Config{Topic: topic, BatchSize: 4, Logger: slog.New(slog.DiscardHandler)})
		l, cut := newLedger(), 0
		for round := range 20 {
			start(t, p)
			under := l.load(t, p, 32, time.Millisecond)
			time.Sleep(50 * time.Millisecond)
			b.Net.Freeze()
			time.Sleep(time.Duration(round) * 100 * time.Millisecond)
			ctx, cancel := context.WithTimeout(bg, 100*time.Millisecond)
			began := time.Now()
			err := p.Stop(ctx)
			cancel()
			if took := time.Since(began); took > 150*time.Millisecond {
				t.Errorf("Stop took %v, want 150 ms at most", took)
			}
			under.end()
			nothingLeft(t, b, p)
			failed := 0
			l.mu.Lock()
			for _, err := range l.told {
				if err != nil && !errors.Is(err, ErrNotStarted) {
					failed++
				}
			}
			l.mu.Unlock()
			var stopErr *StopError
			switch {
			case round == 0 && failed == cut && err == nil: // stopped as it froze, with nothing on its way
			case !errors.As(err, &stopErr) || stopErr.Messages != failed-cut || failed == cut:
				t.Errorf("round %d: Stop: %v, want a StopError of %d messages", round, err, failed-cut)
			}
			cut = failed
			b.Net.Thaw()
		}
		start(t, p)
		t.Logf("CHECKED producer-forced-stops stops=20 cutoff=%d %v", cut, l.verify(t, b, topic))
	})
}

// A stop that is patient drains through a fault: everything that was accepted is
// delivered when the cause is gone, and the stop returns nil.
func TestStopDrainsThroughAFault(t *testing.T) {
	for name, fault := range map[string]func(b *testbroker.Broker) (mend func()){
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
				mend := fault(b)
				l := newLedger()
				waits := async(func() error { return l.write(bg, t, p, messages("waits", 10)...) })
				ctx, leave := context.WithCancel(bg)
				left := async(func() error { return l.write(ctx, t, p, messages("leaves", 10)...) })
				time.Sleep(time.Second)
				leave()
				mustBe(t, get(t, left), context.Canceled)
				stopping := async(func() error { return p.Stop(bg) })
				time.Sleep(12 * time.Second)
				mustBe(t, l.write(bg, t, p, message("late")), ErrNotStarted)
				mend()
				if err := get(t, stopping); err != nil {
					t.Error(err)
				}
				if err := get(t, waits); err != nil {
					t.Error(err)
				}
				nothingLeft(t, b, p)
				if c := l.verify(t, b, topic); c.found != 20 {
					t.Errorf("%v; want all 20 there, those whose caller had left too", c)
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
