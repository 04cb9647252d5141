package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A stop whose context ends cuts the connections of a broker that hangs, and counts the messages
// that were cut off. Each write has its verdict, and nothing is left (G9, G7). Then the producer
// starts again.
func TestStopForcedOnHangingBroker(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		if err := p.WriteMessages(bg, message("before")); err != nil {
			t.Fatal(err)
		}
		hung := b.Hang(kmsg.Produce)

		sent := async(func() error { return p.WriteMessages(bg, messages("sent", 3)...) })
		until(t, "the first batch to be at the broker", func() bool { return hung.Hits() == 1 })
		queued := async(func() error { return p.WriteMessages(bg, messages("queued", 2)...) })
		ctx, leave := context.WithCancel(bg)
		left := async(func() error { return p.WriteMessages(ctx, messages("left", 4)...) })
		until(t, "all to be in flight", inFlight(p, 9))
		leave()
		if err := get(t, left); classOf(t, err) != ErrNotSent { // withdrawn (D5)
			t.Errorf("the write that left: %v", err)
		}

		impatient, cancel := context.WithTimeout(bg, 200*time.Millisecond)
		defer cancel()
		began := time.Now()
		err := p.Stop(impatient)
		took := time.Since(began)
		var stopErr *StopError
		if !errors.As(err, &stopErr) || stopErr.Messages != 5 || stopErr.Maybe != 3 || stopErr.NotSent != 2 {
			t.Errorf("Stop: %v, want a StopError of 5 messages, 2 of them not sent", err)
		}
		var inner *fsm.StopError
		if !errors.As(err, &inner) || inner.CutOff != 2 {
			t.Errorf("Stop: %v, want to find an fsm.StopError of 2 uses", err)
		}
		mustBe(t, err, context.DeadlineExceeded)
		if b.Name == "virtual" && took > 250*time.Millisecond { // virtual time: exact
			t.Errorf("Stop took %v, want at most 50 ms after its context", took)
		}
		t.Logf("Stop took %v", took)
		if err := get(t, sent); classOf(t, err) != ErrMaybeDelivered {
			t.Errorf("the batch that was sent: %v", err)
		}
		if err := get(t, queued); classOf(t, err) != ErrNotSent {
			t.Errorf("the batch that was not sent: %v", err)
		}
		if b.Name != "virtual" { // a busy machine may take longer than the moment that Stop waits
			p.Wait(bg, fsm.Idle)
		}
		if got := p.State(); got != fsm.Idle {
			t.Errorf("state %v, want Idle", got)
		}
		nothingLeft(t, b, p)

		hung.Set(false)
		start(t, p)
		if err := p.WriteMessages(bg, message("after")); err != nil {
			t.Error(err)
		}
		found := values(t, b, topic)
		if found["before"] != 1 || found["after"] != 1 || found["queued-0"] != 0 || found["left-0"] != 0 {
			t.Errorf("found %v", found)
		}
	})
}

// A forced stop counts exactly what it cut off, for any number of calls, and does not wait until
// all of them have their results (D7).
func TestD7ForcedStopOf100000Sends(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 4)
		p := newProducer(t, b, Config{Topic: topic, MaxInFlightBytes: 1 << 30, DeliveryTimeout: time.Hour})
		start(t, p)
		hung := b.Hang(kmsg.Produce)
		sends := make([]*Delivery, 100_000)
		for i := range sends {
			var err error
			if sends[i], err = p.Send(bg, message("x")); err != nil {
				t.Fatal(err)
			}
		}
		until(t, "a batch to be at the broker", func() bool { return hung.Hits() > 0 })
		ctx, cancel := context.WithTimeout(bg, 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		var stopErr *StopError
		if err := p.Stop(ctx); !errors.As(err, &stopErr) {
			t.Fatalf("Stop: %v, want a StopError", err)
		}
		if took := time.Since(began); b.Name == "virtual" && took > 150*time.Millisecond {
			t.Errorf("Stop took %v, want at most 50 ms after its context", took)
		}
		var want StopError
		for _, d := range sends {
			switch classOf(t, d.Wait(bg)) {
			case ErrNotSent:
				want.NotSent++
			case ErrMaybeDelivered:
				want.Maybe++
			}
		}
		want.Messages, want.Err = len(sends), stopErr.Err
		if *stopErr != want || want.NotSent == 0 || want.Maybe == 0 {
			t.Errorf("Stop: %v, want %v", stopErr, &want)
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		nothingLeft(t, b, p)
	})
}

// Close is bounded by StopTimeout, the forced release included, also if every
// request hangs: 20 s by default, to the instant.
func TestCloseBoundedByStopTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), DeliveryTimeout: time.Hour})
		start(t, p)
		hung := b.Hang()
		write := async(func() error { return p.WriteMessages(bg, message("x")) })
		until(t, "the batch to be at the broker", func() bool { return hung.Hits() > 0 })
		began := time.Now()
		err := p.Close()
		took := time.Since(began)
		var stopErr *StopError
		if !errors.As(err, &stopErr) || stopErr.Messages != 1 {
			t.Errorf("Close: %v, want a StopError of 1 message", err)
		}
		if took < 15*time.Second || took > 20*time.Second {
			t.Errorf("Close took %v, want it to wait, and at most 20 s", took)
		}
		if err := get(t, write); classOf(t, err) != ErrMaybeDelivered {
			t.Error(err)
		}
		if p.State() != fsm.Closed {
			t.Errorf("state %v, want Closed", p.State())
		}
		nothingLeft(t, b, p)
	})
}

// A Stop that leaves while another one waits forces nothing and cuts off nothing.
func TestStopThatLeavesWithoutForcing(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1)})
		start(t, p)
		resume := pauseProduce(b)
		write := async(func() error { return p.WriteMessages(bg, message("x")) })
		until(t, "the write to be in flight", func() bool { return p.Status().InFlight == 1 })
		patient := async(func() error { return p.Stop(bg) })
		until(t, "the patient one to wait", func() bool { return p.Status().Waiters == 1 })
		ended, cancel := context.WithCancel(bg)
		cancel()
		var stopErr *StopError
		if err := p.Stop(ended); !errors.As(err, &stopErr) || stopErr.Messages != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("the impatient one: %v, want a StopError of 0 messages", err)
		}
		resume()
		if err := get(t, patient); err != nil {
			t.Error(err)
		}
		if err := get(t, write); err != nil {
			t.Error(err)
		}
	})
}

// A stop during each part of a start cancels it and leaves nothing.
func TestStopDuringEachPart(t *testing.T) {
	for _, part := range []string{"metadata", "producer id", "leaders", "permission"} {
		t.Run(part, func(t *testing.T) {
			testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
				p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 2), CheckWritePermission: true})
				hung := hangIn(b, part)
				starting := async(func() error { return p.Start(bg) })
				until(t, "the attempt to hang at "+part, func() bool { return hung.hits.Load() > 0 && p.Status().Acquiring == part })
				if err := p.Stop(bg); err != nil {
					t.Errorf("Stop: %v", err)
				}
				mustBe(t, get(t, starting), ErrStopped)
				nothingLeft(t, b, p)
				var failed *fsm.StartError
				if !errors.As(p.Status().Cause, &failed) || failed.Part != part {
					t.Errorf("cause %v, want part %s", p.Status().Cause, part)
				}
				hung.on.Store(false)
				start(t, p)
			})
		})
	}
}

// What hangs in the dial, or between a dial and the broker's first word, is given
// up and leaves nothing.
func TestStopDuringDial(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		dialing := make(chan struct{}, 10)
		p := newProducer(t, b, Config{Topic: "t", Dial: hangingDial(dialing)})
		starting := async(func() error { return p.Start(bg) })
		get(t, dialing)
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		mustBe(t, get(t, starting), ErrStopped)
		nothingLeft(t, b, p)
	})
}

// Writers that keep writing while the producer is stopped by force and started
// again, over and over: kafka-go's issue 1307, a write racing Close that hangs, is
// not reached; each message is acknowledged and found, or failed as exactly one of
// the three; none that was ErrNotSent or ErrRejected is found.
func TestForceThenStartAgain(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 4)
		p := newProducer(t, b, Config{Topic: topic})
		l := newLedger()
		under := l.load(t, p, 4, time.Microsecond) // so that virtual time passes
		forced, cut := 0, 0
		for range 20 {
			start(t, p)
			before := p.Totals().Messages
			until(t, "writes", func() bool { return p.Totals().Messages > before+10 && p.Status().InFlight > 0 })
			ctx, cancel := context.WithCancel(bg)
			cancel()
			var stopErr *StopError
			if err := p.Stop(ctx); errors.As(err, &stopErr) {
				forced++
				cut += stopErr.Messages
			} else if err != nil {
				t.Error(err)
			}
			p.Wait(bg, fsm.Idle)
		}
		under.end()
		t.Logf("CHECKED producer-stops forced=%d cutoff=%d %v", forced, cut, l.verify(t, b, topic))
		if forced == 0 {
			t.Error("no stop was forced")
		}
	})
}

// Acknowledged means found, once: concurrent writers, an orderly stop in the middle.
func TestAcknowledgedIsFound(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 6)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		l := newLedger()
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := range 50 {
					if err := l.write(bg, t, p, messages(fmt.Sprintf("%d-%d", w, i), 20)...); err != nil {
						mustBe(t, err, ErrNotStarted, ErrNotSent)
					}
				}
			})
		}
		until(t, "some writes", func() bool { return p.Totals().Messages > 500 })
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		wg.Wait()
		c := l.verify(t, b, topic)
		if c.acked == 0 || c.found != c.acked || c.duplicates > 0 {
			t.Errorf("%v, want those that were acknowledged, each once", c)
		}
		t.Logf("CHECKED producer %v", c)
	})
}
