package producer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
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

// Completion is called with each message once, with the verdict that its caller gets, before the write
// returns: the message as the user made it, and where it went.
func TestCompletion(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		var mu sync.Mutex
		var seen []kafka.Message
		var errs []error
		p := newProducer(t, b, Config{Topic: topic, BatchBytes: 1000, Completion: func(m []kafka.Message, err error) {
			mu.Lock()
			defer mu.Unlock()
			for _, m := range m { // it is ours only now
				m.Key, m.Value = bytes.Clone(m.Key), bytes.Clone(m.Value)
				seen, errs = append(seen, m), append(errs, err)
			}
		}})
		start(t, p)
		if err := p.WriteMessages(bg, kafka.Message{Value: []byte("x"), Key: []byte("k"), WriterData: 42}); err != nil {
			t.Fatal(err)
		}
		fault := b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: -1})
		err := p.WriteMessages(bg, kafka.Message{Value: []byte("y"), WriterData: 43})
		fault.Remove()
		if len(seen) != 2 || seen[0].WriterData != 42 || seen[1].WriterData != 43 || seen[0].Topic != topic || seen[1].Topic != topic ||
			string(seen[0].Key) != "k" || string(seen[0].Value) != "x" || string(seen[1].Value) != "y" || seen[0].Offset != 0 || seen[1].Offset != -1 {
			t.Errorf("seen %+v", seen)
		}
		each := errorsOf(t, err, 1)
		if errs[0] != nil || errs[1].Error() != each[0].Error() || classOf(t, errs[1]) != ErrRejected {
			t.Errorf("errors %v, the caller got %v", errs, each[0])
		}
		mustBe(t, errs[1], kafka.InvalidRecord)

		// One that is not admitted, because it is too large, is none of them; nor is a call that is
		// refused as a whole.
		p.WriteMessages(bg, message(strings.Repeat("x", 2000)), message("z"))
		p.WriteMessages(bg, kafka.Message{Topic: "elsewhere", Value: []byte("no")})
		p.WriteMessages(endedContext(), message("no"))
		if len(seen) != 3 || string(seen[2].Value) != "z" || errs[2] != nil {
			t.Errorf("seen %+v", seen)
		}
	})
}

// A Completion that panics, or ends its goroutine as t.FailNow does, is logged, and nothing else
// suffers: the caller gets its verdict, the next messages are delivered, those that are withdrawn
// too, and a stop ends.
func TestCompletionPanics(t *testing.T) {
	testCompletionBreaks(t, "Config.Completion panicked", "boom", func() { panic("boom") })
}

func TestCompletionExits(t *testing.T) {
	testCompletionBreaks(t, "Config.Completion ended its goroutine", "Goexit", runtime.Goexit)
}

func testCompletionBreaks(t *testing.T, warning, says string, breaks func()) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		var called atomic.Int32
		log := new(logs)
		p := newProducer(t, b, Config{Topic: topic, Logger: slog.New(log), Completion: func([]kafka.Message, error) {
			called.Add(1)
			breaks()
		}})
		start(t, p)
		for i := range 3 {
			if err := p.WriteMessages(bg, message(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		}
		resume := pauseProduce(b)
		d := send(t, p, message("sent"))
		until(t, "it to be under way", func() bool { return p.Counters().Requests == 4 })
		ctx, cancel := context.WithCancel(bg)
		leaves := async(func() error { return p.WriteMessages(ctx, message("leaves")) })
		until(t, "the next one to be queued", inFlight(p, 2))
		cancel()
		if err := get(t, leaves); classOf(t, err) != ErrNotSent {
			t.Error(err)
		}
		resume()
		if err := outcome(t, d); err != nil {
			t.Error(err)
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		nothingLeft(t, b, p)
		if n := called.Load(); n != 5 {
			t.Errorf("called %d times, want 5", n)
		}
		until(t, "five warnings", func() bool { return log.count(warning) == 5 })
		if text := log.text(); !strings.Contains(text, says) || !strings.Contains(text, topic) {
			t.Errorf("logged: %s", text)
		}
		if found := values(t, b, topic); len(found) != 4 || found["leaves"] != 0 {
			t.Errorf("found %v", found)
		}
	})
}

// D6: a Completion that takes an hour delays no write beyond its context or its DeliveryTimeout. What was
// acknowledged is reported so, and what could not be sent meanwhile says why. A Stop waits.
func TestD6CompletionThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 1)
		l := newLedger()
		seen := l.completion()
		p := newProducer(t, b, Config{Topic: topic, Linger: time.Millisecond, Completion: func(msgs []kafka.Message, err error) {
			time.Sleep(time.Hour)
			seen(msgs, err)
		}})
		start(t, p)
		for round := range 3 { // the memory of calls is used again
			began, name := time.Now(), fmt.Sprint(round)
			after := func(limit time.Duration) {
				if took := time.Since(began); took != limit {
					t.Errorf("a call took %v, want %v", took, limit)
				}
			}
			var calls, sends sync.WaitGroup
			calls.Go(func() {
				ctx, leave := context.WithTimeout(bg, 2*time.Second)
				defer leave()
				if err := l.write(ctx, t, p, messages("context-"+name, 3)...); err != nil {
					t.Error(err)
				}
				after(2 * time.Second)
			})
			if err := l.send(bg, t, p, &sends, messages("sent-"+name, 3)...); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			ctx, leave := context.WithTimeout(bg, 9*time.Second)
			defer leave()
			if err := l.write(ctx, t, p, message("behind-"+name)); classOf(t, err) != ErrNotSent || !strings.Contains(err.Error(), "Completion has not returned") {
				t.Errorf("a write behind a Completion that hangs: %v", err)
			}
			after(10 * time.Second)
			calls.Wait()
			sends.Wait()
			after(p.cfg.DeliveryTimeout)
			wait := p.Flush
			if round == 2 {
				wait = p.Stop
			}
			if err := wait(bg); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took < time.Hour {
				t.Errorf("Completion was waited for, for %v", took)
			}
		}
		nothingLeft(t, b, p)
		if c := l.verify(t, b, topic); c.acked != 18 || c.notSent != 3 {
			t.Error(c)
		}
	})
}

// G15: what would wait for the Completion that calls it is refused at once. What may wait for it ends at
// its deadline, and everything else works.
func TestG15CallsFromCompletion(t *testing.T) {
	write := func(p *Producer) error { return p.WriteMessages(bg, message("within")) }
	for _, x := range []struct {
		name  string
		call  func(p *Producer) error
		wants error
		limit time.Duration
	}{
		{"Stop", func(p *Producer) error { return p.Stop(bg) }, fsm.ErrReentrant, 0},
		{"Shutdown", func(p *Producer) error { return p.Shutdown(bg) }, fsm.ErrReentrant, 0},
		{"Close", func(p *Producer) error { return p.Close() }, fsm.ErrReentrant, 0},
		{"Flush", func(p *Producer) error { return p.Flush(bg) }, fsm.ErrReentrant, 0},
		{"Start", func(p *Producer) error { return p.Start(bg) }, nil, 0},
		{"StartInAStop", func(p *Producer) error {
			go p.Stop(bg)
			p.Wait(bg, fsm.Stopping)
			return p.Start(bg)
		}, fsm.ErrReentrant, 0},
		{"ReleaseOfAHold", func(p *Producer) error {
			_, release, err := p.Hold(bg)
			if err != nil {
				return err
			}
			defer func() { go release(bg) }()
			return release(bg)
		}, fsm.ErrReentrant, 0},
		{"WriteMessages", write, ErrNotSent, 30 * time.Second},
		{"Ping", func(p *Producer) error { return p.Ping(bg) }, context.DeadlineExceeded, 10 * time.Second},
		{"WaitForADelivery", func(p *Producer) error {
			d, err := p.Send(bg, message("within"))
			if err != nil {
				return err
			}
			return d.Wait(bg)
		}, ErrNotSent, 30 * time.Second},
		{"StopOfAnother", func(p *Producer) error {
			other, err := New(*p.cfg)
			if err != nil {
				return err
			}
			if err := other.Start(bg); err != nil {
				return err
			}
			return errors.Join(other.WriteMessages(bg, message("other")), other.Flush(bg), other.Close())
		}, nil, 0},
		{"WhatDoesNotWait", func(p *Producer) error {
			_, _, _, _, _, _, _ = p.State(), p.Status(), p.Stats(), p.Totals(), p.Counters(), p.InFlightBytes(), p.String()
			return nil
		}, nil, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t)
				var p *Producer
				var once atomic.Bool
				p = newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), Completion: func([]kafka.Message, error) {
					if once.Swap(true) {
						return
					}
					began := time.Now()
					err := x.call(p)
					if !errors.Is(err, x.wants) {
						t.Errorf("got %v, want %v", err, x.wants)
					}
					if took := time.Since(began); took > x.limit {
						t.Errorf("it took %v, want %v at most", took, x.limit)
					}
				}})
				start(t, p)
				if err := p.WriteMessages(bg, message("x")); err != nil {
					t.Error(err)
				}
				if err := p.Flush(bg); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
