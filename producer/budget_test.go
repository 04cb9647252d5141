package producer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Writes wait, under their own contexts, while MaxInFlightBytes are in flight.
func TestBackpressure(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic, MaxInFlightBytes: 1000})
		start(t, p)
		resume := pauseProduce(b)
		value := strings.Repeat("x", 400)
		var under []<-chan error
		for range 2 {
			under = append(under, async(func() error { return p.WriteMessages(bg, message(value)) }))
		}
		until(t, "two to be in flight", inFlight(p, 2))
		ctx, cancel := context.WithCancel(bg)
		leaves := async(func() error { return p.WriteMessages(ctx, message(value)) })
		until(t, "one to wait", func() bool { return p.Counters().Waiting == 1 })
		waits := async(func() error { return p.WriteMessages(bg, message("w"+value)) })
		until(t, "two to wait", func() bool { return p.Counters().Waiting == 2 })
		cancel()
		err := get(t, leaves)
		mustBe(t, err, context.Canceled, ErrNotSent)
		if !inFlight(p, 2)() {
			t.Errorf("%d messages are in flight, want 2: the one that waits for room is not admitted", undecided(p.Counters()))
		}
		resume()
		for _, c := range append(under, waits) {
			if err := get(t, c); err != nil {
				t.Error(err)
			}
		}
		// Larger than all there is: it waits until it is alone, and goes.
		if err := p.WriteMessages(bg, message(strings.Repeat("y", 5000))); err != nil {
			t.Error(err)
		}
		until(t, "no bytes to count as in flight", func() bool { return p.InFlightBytes() == 0 })
	})
}

// Waiting for room counts towards the DeliveryTimeout, and ends with a stop.
func TestBackpressureEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), MaxInFlightBytes: 100})
		start(t, p)
		b.Hang()
		value := strings.Repeat("x", 200)
		results := make([]<-chan error, 3)
		for i := range results {
			results[i] = async(func() error { return p.WriteMessages(bg, message(fmt.Sprint(i)+value)) })
			synctest.Wait()
		}
		began := time.Now()
		for _, r := range results {
			err := get(t, r)
			if classOf(t, err) == nil {
				t.Error(err)
			}
			mustBe(t, err, context.DeadlineExceeded)
		}
		if took := time.Since(began); took > 31*time.Second {
			t.Errorf("%v, want the DeliveryTimeout, 30 s, for all", took)
		}

		until(t, "room", func() bool { return p.InFlightBytes() == 0 })
		write := async(func() error { return p.WriteMessages(bg, message("1"+value)) })
		synctest.Wait()
		waiting := async(func() error { return p.WriteMessages(bg, message("2"+value)) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		if err := p.Stop(ctx); err == nil {
			t.Error("a stop that had to cut something off returned nil")
		}
		get(t, write)
		mustBe(t, get(t, waiting), ErrNotStarted, ErrNotSent)
	})
}

// Send waits for room under its context, which is of no concern afterwards.
func TestSendBackpressure(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic, MaxInFlightBytes: 10_000})
		start(t, p)
		resume := pauseProduce(b)
		ctx, cancel := context.WithCancel(bg)
		all := make(chan []*Delivery)
		refused := make(chan error, 1)
		go func() {
			var accepted []*Delivery
			for i := 0; ; i++ {
				d, err := p.Send(ctx, message(fmt.Sprint(i)))
				if err != nil {
					refused <- err
					all <- accepted
					return
				}
				accepted = append(accepted, d)
			}
		}()
		until(t, "one to wait for room", func() bool { return p.Counters().Waiting == 1 })
		if used := p.InFlightBytes(); used > 10_000 {
			t.Errorf("%d bytes in flight, want at most 10000", used)
		}
		cancel()
		err := get(t, refused)
		mustBe(t, err, context.Canceled, ErrNotSent)
		accepted := get(t, all)
		resume()
		for _, d := range accepted {
			if err := outcome(t, d); err != nil {
				t.Error(err)
			}
		}
		if found := values(t, b, topic); len(found) != len(accepted) || len(found) == 0 {
			t.Errorf("%d accepted, %d found", len(accepted), len(found))
		}
	})
}

// A caller that sends without end to a broker that hangs holds a bounded amount of
// memory, also with messages that hold next to nothing.
func TestSendBoundsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		const limit = 8 << 20
		for _, size := range []int{0, 10, 1000} {
			p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 2), MaxInFlightBytes: limit})
			start(t, p)
			hung := b.Hang(kmsg.Produce)
			before := heapAtRest(t)
			ctx, cancel := context.WithCancel(bg)
			var all []*Delivery
			done := async(func() error {
				for {
					d, err := p.Send(ctx, kafka.Message{Value: make([]byte, size)})
					if err != nil {
						return err
					}
					all = append(all, d)
				}
			})
			until(t, "the sender to wait for room", func() bool { return p.Counters().Waiting == 1 })
			grown := max(heap()-before, 0)
			cancel()
			mustBe(t, get(t, done), context.Canceled)
			t.Logf("CHECKED producer-send bytes-each=%d in-flight=%d heap-of-%d=%d", size, len(all), limit, grown)
			if grown < limit/4 {
				t.Errorf("messages of %d bytes: the heap has grown by %d: that shows nothing", size, grown)
			}
			if grown > limit*3/2 {
				t.Errorf("messages of %d bytes: the heap has grown by %d, want about %d at most", size, grown, limit)
			}
			hung.Set(false)
			ended, end := context.WithCancel(bg)
			end()
			var stopErr *StopError
			if err := p.Stop(ended); !errors.As(err, &stopErr) || stopErr.Messages != len(all) {
				t.Errorf("Stop: %v, want %d messages cut off", err, len(all))
			}
			runtime.KeepAlive(all)
		}
	})
}

// heapAtRest is the heap once what earlier tests and producers have left is gone: it
// would be taken for shrinking.
func heapAtRest(t *testing.T) int64 {
	before, calm := heap(), 0
	until(t, "the heap to be at rest", func() bool {
		now := heap()
		if calm++; before-now > 64<<10 {
			calm = 0
		}
		before = now
		return calm == 5
	})
	return before
}

// The same if the messages trickle, each by a caller of its own that leaves: what no request
// has carried is gone with its caller.
func TestTrickleBoundsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		const limit, n = 1 << 20, 3000
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 2), MaxInFlightBytes: limit})
		start(t, p)
		b.Hang(kmsg.Produce)
		before, most := heap(), int64(0)
		maybe := 0
		for i := range n {
			ctx, cancel := context.WithTimeout(bg, 2*time.Millisecond) // the callers leave
			err := p.WriteMessages(ctx, message("x"))
			cancel()
			mustBe(t, err, context.DeadlineExceeded)
			if classOf(t, err) == ErrMaybeDelivered {
				maybe++
			}
			if i%500 == 499 {
				most = max(most, heap()-before)
			}
		}
		t.Logf("CHECKED producer-send trickled=%d maybe-delivered=%d heap-of-%d=%d", n, maybe, limit, most)
		if most > limit/4 {
			t.Errorf("the heap has grown by %d, though nearly all were withdrawn", most)
		}
		if c := p.Counters(); maybe != 2 || c.Maybe != 2 || c.Withdrawn != n || undecided(c) != 0 {
			t.Errorf("%d may have been delivered, want one of each partition; %+v", maybe, c)
		}
		if used := p.InFlightBytes(); used == 0 || used > 1000 {
			t.Errorf("%d bytes count as in flight, want those of two messages, which a broker has", used)
		}
		if err := p.Stop(bg); err != nil { // no message is without a verdict
			t.Errorf("Stop: %v", err)
		}
		if used := p.InFlightBytes(); used != 0 {
			t.Errorf("%d bytes still count as in flight", used)
		}
	})
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // a pool keeps what it has for one more
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
