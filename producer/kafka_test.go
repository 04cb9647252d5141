//go:build unix

package producer

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Real faults of a real broker: its process is stopped, and killed.
func TestApacheKafkaFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the brokers of this test take half a minute to start")
	}
	// After SIGKILL a node is let in again when its session has ended: sooner than usual.
	b := testbroker.Own(t, 1, "broker.session.timeout.ms=3000")
	t.Run("KilledDuringStart", func(t *testing.T) { killedDuringStart(t, b) })
	t.Run("UnknownTopicThenCreated", func(t *testing.T) { unknownTopicThenCreated(t, b) })
	t.Run("TooLarge", func(t *testing.T) { tooLargeForTheBroker(t, b) })
	t.Run("NoKeyOnCompacted", func(t *testing.T) { noKeyOnCompacted(t, b) })
	t.Run("BadNetwork", func(t *testing.T) { badNetwork(t, b) })
	t.Run("HalfOpen", func(t *testing.T) { halfOpen(t, b) })
	t.Run("SeenByKafka", func(t *testing.T) { seenByKafka(t, b) })
	t.Run("KeysAsJava", func(t *testing.T) { keysAsJava(t, b) })

	// It hangs for a while and goes on: no write fails.
	t.Run("FrozenThenThawed", func(t *testing.T) {
		p, topic := startOn(t, b, 2)
		underLoad(t, b, "frozen-then-thawed", p, topic, 4, func(func(int)) {
			b.Freeze(t)
			time.Sleep(1500 * time.Millisecond)
			b.Thaw(t)
		})
		shutDown(t, b, p)
	})

	t.Run("Frozen", func(t *testing.T) {
		topic := b.CreateTopic(t, 2)
		p := newProducer(t, b.Broker, Config{Topic: topic})
		start(t, p)
		if err := p.WriteMessages(bg, message("before")); err != nil {
			t.Fatal(err)
		}
		b.Freeze(t)
		write := async(func() error { return p.WriteMessages(bg, messages("frozen", 4)...) })
		until(t, "the write to be in flight", inFlight(p, 4))
		ctx, cancel := context.WithTimeout(bg, 300*time.Millisecond)
		defer cancel()
		mustBe(t, p.Ping(ctx), context.DeadlineExceeded)
		began := time.Now()
		err := p.Stop(ctx) // whose context has ended by now: the stop takes effect all the same
		var stopErr *StopError
		if !errors.As(err, &stopErr) || stopErr.Messages != 4 {
			t.Errorf("Stop: %v, want a StopError of 4 messages", err)
		}
		t.Logf("Stop of a frozen broker took %v", time.Since(began))
		results := get(t, write).(*WriteError).Messages
		if p.State() != fsm.Idle {
			t.Errorf("state %v, want Idle", p.State())
		}
		nothingLeft(t, b.Broker, p)

		if err := p.Start(ctx); err == nil {
			t.Error("Start with an ended context succeeded")
		}
		b.Thaw(t)
		start(t, p)
		if err := p.WriteMessages(bg, message("after")); err != nil {
			t.Error(err)
		}
		found := values(t, b.Broker, topic)
		if found["before"] != 1 || found["after"] != 1 {
			t.Errorf("found %v", found)
		}
		for i, e := range results {
			v := fmt.Sprintf("frozen-%d", i)
			if class := classOf(t, e); class == ErrRejected || class == ErrNotSent && found[v] > 0 {
				t.Errorf("%s was found %d times and failed as %v", v, found[v], e)
			}
		}
	})

	// The broker is killed under writes and comes back. With the defaults no write fails, and every
	// acknowledged message is there.
	t.Run("Killed", func(t *testing.T) {
		topic := b.CreateTopic(t, 2)
		p := newProducer(t, b.Broker, Config{Topic: topic})
		start(t, p)
		enough := make(chan struct{})
		results := make(chan map[string]error, 2)
		for w := range cap(results) {
			go func() {
				mine := make(map[string]error)
				defer func() { results <- mine }()
				for i := 0; ; i++ {
					select {
					case <-enough:
						return
					default:
					}
					v := fmt.Sprintf("%d-%d", w, i)
					mine[v] = p.WriteMessages(bg, message(v))
				}
			}()
		}
		until(t, "writes", func() bool { return p.Totals().Messages > 50 })
		b.Kill(t)
		until(t, "failed connects", func() bool { return p.Counters().ConnectFailures > 3 })
		b.Restart(t)
		before := p.Totals().Messages
		until(t, "writes again", func() bool { return p.Totals().Messages > before+50 })
		close(enough)
		all := make(map[string]error)
		for range cap(results) {
			for v, err := range get(t, results) {
				all[v] = err
			}
		}
		found := values(t, b.Broker, topic)
		duplicates := 0
		for v, err := range all {
			if err != nil {
				t.Errorf("%s failed: %v", v, err)
			} else if found[v] == 0 {
				t.Errorf("%s was acknowledged and is not there", v)
			}
			duplicates += max(found[v]-1, 0)
		}
		if duplicates > 0 {
			t.Errorf("D3 Once: %d are there twice", duplicates)
		}
		t.Logf("CHECKED producer acknowledged=%d found=%d duplicates=%d retries=%d", len(all), len(found), duplicates, p.Totals().Retries)
	})
}
