package engine

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Drain refuses what waits to be admitted and what comes later, and does not wait for verdicts. A Stop
// sends at once what lingers, without a Drain before as well (D7).
func TestDrain(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.Linger = time.Hour
		cfg.DeliveryTimeout = 2 * time.Hour
		cfg.MaxInFlight = 1000
		e := New(cfg)
		e.Drain() // of what is not started
		if err := e.Start(t.Context(), ignore); err != nil {
			t.Fatal(err)
		}
		answer := make(chan struct{})
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.SleepControl(func() { <-answer })
			return nil, nil, false
		})
		// It is sent as soon as the others wait for room.
		under, err := send(t.Context(), e, kafka.Message{Value: make([]byte, 900)})
		if err != nil {
			t.Fatal(err)
		}
		hung := b.Hang(kmsg.Metadata)
		waiting := make(chan error, 3)
		go func() { waiting <- e.Write(t.Context(), time.Now(), message("no room")) }()
		go func() { _, err := send(t.Context(), e, message("no room")); waiting <- err }()
		go func() { waiting <- e.Write(t.Context(), time.Now(), kafka.Message{Topic: "other"}) }()
		time.Sleep(time.Minute)
		if len(waiting) > 0 || e.Waiting() != 2 {
			t.Fatalf("%d calls wait for room, %d have returned", e.Waiting(), len(waiting))
		}
		began := time.Now()
		e.Drain()
		if time.Since(began) > 0 {
			t.Errorf("Drain took %v", time.Since(began))
		}
		e.Drain() // again
		for range cap(waiting) {
			err := <-waiting
			if refused(t, err); !errors.Is(err, ErrStopping) {
				t.Errorf("a call that waited: %v", err)
			}
		}
		if time.Since(began) > 0 {
			t.Errorf("the calls that waited were refused after %v", time.Since(began))
		}
		close(answer)
		if <-under.done; under.err != nil {
			t.Errorf("what was under way: %v", under.err)
		}
		for _, m := range []kafka.Message{message("later"), {Topic: "other"}} {
			if err := e.Write(t.Context(), time.Now(), m); !errors.Is(err, ErrStopping) {
				t.Errorf("Write after Drain: %v", err)
			}
			d, err := send(t.Context(), e, m)
			if !errors.Is(err, ErrStopping) || d.ended() {
				t.Errorf("Send after Drain: %v", err)
			}
		}
		hung.Set(false)
		if err := e.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		leavesNothing(t, e)
		if err := e.Start(t.Context(), ignore); err != nil {
			t.Fatal(err)
		}
		d, err := send(t.Context(), e, message("again"))
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Stop(t.Context()); err != nil { // without a Drain before
			t.Error(err)
		}
		if !d.ended() || d.err != nil {
			t.Errorf("after Stop the Send has ended: %t, %v", d.ended(), d.err)
		}
		if n := len(values(t, b, "t")[0]); n != 2 {
			t.Errorf("%d messages", n)
		}
		leavesNothing(t, e)
	}, kfake.SeedTopics(1, "t", "other"))
}

// A forced Stop has decided and counted every message before the first call learns its verdict (D1, D7).
// Wait waits for the calls.
func TestD7CountsBeforeItTells(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.MaxInFlight = 1 << 30
		e := start(t, cfg)
		b.Hang(kmsg.Produce)
		const sends = 5_000
		stopped := make(chan struct{})
		var ended, maybe atomic.Int64
		var early sync.Once
		for i := range sends {
			d := &Delivery{Ended: func(err error) {
				early.Do(func() {
					select {
					case <-stopped:
					case <-time.After(time.Second):
						t.Error("Stop does not return before a call has its verdict")
					}
				})
				ended.Add(1)
				if verdicts(t, err)[0] == core.Maybe {
					maybe.Add(1)
				}
			}}
			if err := e.Send(t.Context(), time.Now(), d, kafka.Message{Topic: "t", Partition: i % 4, Value: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var forced *Forced
		if err := e.Stop(ctx); !errors.As(err, &forced) {
			t.Fatalf("Stop: %v", err)
		}
		c := e.Counters()
		if c.NotSent.Load() != int64(forced.NotSent) || c.Maybe.Load() != int64(forced.Maybe) {
			t.Errorf("Stop: %v, and Counters have %d not sent, %d maybe", forced, c.NotSent.Load(), c.Maybe.Load())
		}
		close(stopped)
		if err := e.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if ended.Load() != sends || forced.NotSent+forced.Maybe != sends || int64(forced.Maybe) != maybe.Load() || forced.Maybe == 0 {
			t.Errorf("Stop: %v; %d calls have ended, %d of them maybe", forced, ended.Load(), maybe.Load())
		}
		leavesNothing(t, e)
	}, kfake.SeedTopics(4, "t"))
}

// Stop returns while a Dial that ignores its context delays the end of a connection. Wait, and the
// next Start, wait for it, until their contexts end.
func TestWait(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		var stuck atomic.Bool
		release := make(chan struct{})
		cfg.Connection.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if stuck.Load() {
				<-release
			}
			return b.Dial(ctx, network, address)
		}
		e := New(cfg)
		if err := e.Wait(t.Context()); err != nil {
			t.Errorf("Wait before any Start: %v", err)
		}
		if err := e.Start(t.Context(), ignore); err != nil {
			t.Fatal(err)
		}
		stuck.Store(true)
		b.Net.Cut()
		time.Sleep(time.Second)
		d, err := send(t.Context(), e, message("cut"))
		if err != nil {
			t.Fatal(err)
		}
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		began := time.Now()
		var forced *Forced
		if err := e.Stop(ctx); !errors.As(err, &forced) || forced.NotSent != 1 || !errors.Is(err, cause) || time.Since(began) != time.Second {
			t.Errorf("Stop: %v after %v", err, time.Since(began))
		}
		if <-d.done; verdicts(t, d.err)[0] != core.NotSent {
			t.Error(d.err)
		}
		for name, wait := range map[string]func(context.Context) error{
			"Wait": e.Wait, "Start": func(ctx context.Context) error { return e.Start(ctx, ignore) },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			began := time.Now()
			if err := wait(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Hour {
				t.Errorf("%s, with a Dial that hangs: %v after %v", name, err, time.Since(began))
			}
			cancel()
		}
		stuck.Store(false)
		time.AfterFunc(time.Second, func() { close(release) })
		if err := e.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		leavesNothing(t, e)
		if err := e.Start(t.Context(), ignore); err != nil {
			t.Fatal(err)
		}
		if err := e.Write(t.Context(), time.Now(), message("x")); err != nil {
			t.Error(err)
		}
		if err := e.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if err := e.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if n := e.Counters().Open.Load(); n != 0 {
			t.Errorf("%d connections are open after Wait", n)
		}
	}, kfake.SeedTopics(1, "t"))
}
