package engine

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A message that was written whole, and of which no answer says what became of it, is told to be maybe delivered, whether the
// broker has appended it or not (D2).
func TestD2WithoutAnAnswer(t *testing.T) {
	const topic = "truth"
	for name, c := range map[string]struct {
		appended bool
		begin    func(b *testbroker.Broker)
		finish   func(b *testbroker.Broker, e *Engine, leave context.CancelFunc)
	}{
		"its caller leaves": {true, drips, func(b *testbroker.Broker, _ *Engine, leave context.CancelFunc) { leave(); time.Sleep(time.Second) }},
		"a stop is forced": {true, drips, func(b *testbroker.Broker, e *Engine, _ context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			e.Stop(ctx)
		}},
		"the broker is gone": {true, drips, func(b *testbroker.Broker, _ *Engine, _ context.CancelFunc) { b.Net.Kill(0); time.Sleep(time.Minute) }},
		// The first request is swallowed.
		"another attempt is out of order": {false, func(b *testbroker.Broker) {
			b.Fake.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, true })
		}, func(b *testbroker.Broker, _ *Engine, _ context.CancelFunc) {
			b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.OutOfOrderSequenceNumber, Count: 1})
			time.Sleep(time.Minute)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
				cfg := config(b, topic)
				e := start(t, cfg)
				c.begin(b)
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				told := make(chan error, 1)
				go func() { told <- e.Write(ctx, time.Now(), message("m")) }()
				time.Sleep(5 * time.Second)
				c.finish(b, e, leave)
				b.Net.Drip(0)
				b.Net.Revive(0)
				if v := verdicts(t, <-told); v[0] != core.Maybe {
					t.Errorf("D2 Truth is broken: it is told %v", v[0])
				}
				if got := values(t, b, topic)[0]; (len(got) == 1) != c.appended {
					t.Errorf("the log has %v: the test does not show what it is to show", got)
				}
			}, kfake.SeedTopics(1, topic))
		})
	}
}

// A batch that the broker did not expect is sent again with the numbers of another epoch, which the broker sees (D2).
func TestD2NumbersInTheRequest(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		var epochs []int16
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			var batch kmsg.RecordBatch
			if err := batch.ReadFrom(req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records); err != nil {
				t.Error(err)
			}
			epochs = append(epochs, batch.ProducerEpoch)
			return nil, nil, false
		})
		e := start(t, config(b, "t"))
		for i := range 2 {
			b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Err: kerr.OutOfOrderSequenceNumber, Count: 1})
			if err := e.Write(t.Context(), time.Now(), message("m")); err != nil {
				t.Errorf("write %d: %v", i, err)
			}
		}
		if want := []int16{1, 2, 2, 3}; !slices.Equal(epochs, want) {
			t.Errorf("D2 Truth is broken: the epochs in the requests are %v; want %v", epochs, want)
		}
	}, kfake.SeedTopics(1, "t"))
}
