package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Flush sends at once what lingers, in all partitions, and returns when its Deliveries are done:
// their Completion has returned. After it messages linger again.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topics := []string{b.CreateTopic(t, 3), b.CreateTopic(t, 2)}
		l := newLedger()
		note := l.completion()
		const slow = 100 * time.Millisecond
		p := newProducer(t, b, Config{
			Topics: topics, Linger: 20 * time.Second, Balancer: new(kafka.RoundRobin),
			Completion: func(m []kafka.Message, err error) { time.Sleep(slow); note(m, err) },
		})
		if err := p.Flush(bg); err != nil { // there is nothing
			t.Errorf("Flush of a producer that was never started: %v", err)
		}
		start(t, p)
		for round := range 3 {
			var all []*Delivery
			for i := range 20 {
				all = append(all, send(t, p, kafka.Message{Topic: topics[i%2], Value: fmt.Appendf(nil, "%d-%d", round, i)}))
			}
			time.Sleep(time.Second)
			if n := undecided(p.Counters()); n != 20 {
				t.Errorf("%d messages linger, want 20", n)
			}
			began := time.Now()
			if err := p.Flush(bg); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took < slow || took > 5*slow {
				t.Errorf("Flush took %v, want about the %v of a Completion", took, slow)
			}
			for i, d := range all {
				select {
				case <-d.Done():
				default:
					t.Errorf("Flush has returned, and Delivery %d is not done", i)
				}
				if err := d.Err(); err != nil {
					t.Error(err)
				}
			}
		}
		if n := len(l.seen); n != 60 {
			t.Errorf("Completion was told of %d, want 60", n)
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		if err := p.Flush(bg); err != nil {
			t.Errorf("Flush of a producer that is stopped: %v", err)
		}
	})
}

// Flush waits for the verdicts of messages that were admitted before the call, and not for later
// ones.
func TestFlushWaitsForEarlierOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), Completion: func([]kafka.Message, error) {}})
		start(t, p)
		gate := make(chan struct{})
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			b.Fake.SleepControl(func() { <-gate })
			return nil, nil, false
		})
		under := send(t, p, message("under way"))
		synctest.Wait()
		queued := send(t, p, message("queued"))
		flushed := async(func() error { return p.Flush(bg) })
		synctest.Wait()
		gate <- struct{}{} // the first is answered
		synctest.Wait()
		later := send(t, p, message("later"))
		if len(flushed) > 0 || under.Err() != nil {
			t.Error("Flush has returned before the second had its verdict")
		}
		gate <- struct{}{}
		synctest.Wait()
		if len(flushed) == 0 {
			t.Error("Flush waits for what came later")
		}
		for _, d := range []*Delivery{under, queued} {
			select {
			case <-d.Done():
			default:
				t.Error("one is not done")
			}
		}
		select {
		case <-later.Done():
			t.Error("the later one is done: the test shows nothing")
		default:
		}
		close(gate)
		if err := errors.Join(get(t, flushed), outcome(t, later)); err != nil {
			t.Error(err)
		}
	})
}

// Flush ends with its context, and returns the cause; that changes nothing for the messages.
func TestFlushEndsWithItsContext(t *testing.T) {
	for name, completion := range map[string]bool{"no answer": false, "Completion": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t)
				cfg := Config{Topic: b.CreateTopic(t, 1)}
				resume := func() {}
				if completion {
					gate := make(chan struct{})
					cfg.Completion = func([]kafka.Message, error) { <-gate }
					resume = sync.OnceFunc(func() { close(gate) })
				}
				p := newProducer(t, b, cfg)
				start(t, p)
				if !completion {
					resume = pauseProduce(b)
				}
				d := send(t, p, message("x"))
				reason := errors.New("no more time")
				ctx, cancel := context.WithCancelCause(bg)
				flushed := async(func() error { return p.Flush(ctx) })
				synctest.Wait()
				cancel(reason)
				synctest.Wait()
				if len(flushed) == 0 {
					t.Error("Flush has not returned at once")
				}
				mustBe(t, get(t, flushed), reason)
				mustBe(t, p.Flush(ctx), reason)
				select {
				case <-d.Done():
					t.Error("it has its verdict")
				default:
				}
				resume()
				if err := p.Flush(bg); err != nil {
					t.Error(err)
				}
				if err := outcome(t, d); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A forced Stop decides the verdicts that a Flush waits for.
func TestFlushIsEndedByAForcedStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1)})
		start(t, p)
		b.Hang(kmsg.Produce)
		d := send(t, p, message("x"))
		flushed := async(func() error { return p.Flush(bg) })
		synctest.Wait()
		var stopErr *StopError
		if err := p.Stop(endedContext()); !errors.As(err, &stopErr) || stopErr.Maybe != 1 {
			t.Errorf("Stop: %v, want one message that may have been delivered", err)
		}
		if err := get(t, flushed); err != nil {
			t.Error(err)
		}
		if err := outcome(t, d); classOf(t, err) != ErrMaybeDelivered {
			t.Error(err)
		}
	})
}

// A stop waits for the verdicts of messages under way, and for nothing else (D7). A caller that
// waits for room is refused at once, and so is a new one.
func TestStopWithCallersThatWait(t *testing.T) {
	for name, end := range map[string]struct {
		stop func(p *Producer) error
		why  error
	}{
		"Stop":     {func(p *Producer) error { return p.Stop(bg) }, ErrNotStarted},
		"Shutdown": {func(p *Producer) error { return p.Shutdown(bg) }, ErrClosed},
		"Close":    {func(p *Producer) error { return p.Close() }, ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t)
				topic := b.CreateTopic(t, 3)
				l := newLedger()
				p := newProducer(t, b, Config{Topic: topic, Linger: 20 * time.Second, MaxInFlightBytes: 5000, Completion: l.completion()})
				start(t, p)
				var sends sync.WaitGroup
				write := async(func() error { return l.write(bg, t, p, messages("written", 3)...) })
				for i := range 3 {
					l.send(bg, t, p, &sends, message(fmt.Sprint("sent-", i)))
				}
				synctest.Wait()
				resume := pauseProduce(b) // what lingers is sent as soon as another waits for room
				large := message("waits for room")
				large.Key = make([]byte, 4000)
				waits := async(func() error { return l.write(bg, t, p, large) })
				time.Sleep(time.Second)
				if c := p.Counters(); undecided(c) != 6 || c.Waiting != 1 {
					t.Errorf("%+v: want 6 under way, and one that waits", c)
				}
				began := time.Now()
				stopping := async(func() error { return end.stop(p) })
				synctest.Wait()
				if len(waits) == 0 {
					t.Error("the caller that waits for room was not refused at once")
				}
				mustBe(t, get(t, waits), end.why, ErrNotSent)
				mustBe(t, l.write(bg, t, p, message("late")), end.why, ErrNotSent)
				if len(stopping) > 0 || len(write) > 0 {
					t.Error("the stop did not wait for the verdicts")
				}
				resume()
				if err := errors.Join(get(t, stopping), get(t, write)); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > 100*time.Millisecond {
					t.Errorf("the stop took %v", took)
				}
				sends.Wait()
				if c := l.verify(t, b, topic); c.acked != 6 || c.notSent != 2 {
					t.Errorf("%v", c)
				}
			})
		})
	}
}
