package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

// What is counted is what happened.
func TestCounters(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		e := start(t, config(b, "t"))
		for range 5 {
			if err := e.Write(t.Context(), time.Now(), message("a"), message("b")); err != nil {
				t.Error(err)
			}
		}
		n := e.Counters()
		if n.Admitted.Load() != 10 || n.Errors.Load() != 0 {
			t.Errorf("%d messages admitted, %d errors", n.Admitted.Load(), n.Errors.Load())
		}
		for name, s := range map[string]struct{ got, want sender.Values }{
			"BatchMessages": {n.BatchMessages.Take(), sender.Values{Min: 2, Max: 2, Sum: 10, Count: 5}},
			"BatchBytes":    {n.BatchBytes.Take(), sender.Values{Min: n.Bytes.Load() / 5, Max: n.Bytes.Load() / 5, Sum: n.Bytes.Load(), Count: 5}},
			"Queued":        {n.Queued.Take(), sender.Values{Count: 5}}, // nothing lingers
			"RequestTime":   {n.RequestTime.Take(), sender.Values{Count: 5}},
			"Waits":         {n.Waits.Take(), sender.Values{}},
			"taken again":   {n.BatchMessages.Take(), sender.Values{}},
		} {
			if s.got != s.want {
				t.Errorf("%s: %+v, want %+v", name, s.got, s.want)
			}
		}
		if n.Messages.Load() != 10 || n.Delivered.Load() != 10 || n.Batches.Load() != 5 || n.Requests.Load() != 5 || n.Retries.Load() != 0 || n.Epochs.Load() != 1 || n.Connects.Load() != 2 || n.Open.Load() != 2 {
			t.Errorf("%+v", n)
		}
		if !e.Oldest().IsZero() || e.InFlight() != 0 {
			t.Errorf("oldest %v, in flight %d", e.Oldest(), e.InFlight())
		}
		b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: 2})
		if err := e.Write(t.Context(), time.Now(), message("c")); err != nil {
			t.Error(err)
		}
		if n.Retries.Load() != 2 || n.Errors.Load() != 2 || n.Batches.Load() != 6 || n.RequestTime.Take().Count != 3 {
			t.Errorf("%+v", n)
		}
		b.Hang(kmsg.Produce)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		go e.Write(ctx, time.Now(), message("d"))
		time.Sleep(time.Millisecond)
		go e.Write(ctx, time.Now(), message("e"))
		time.Sleep(100 * time.Millisecond)
		if !e.Oldest().Equal(began.Truncate(time.Millisecond)) || e.InFlight() != 2*65 {
			t.Errorf("oldest %v, want %v, in flight %d", e.Oldest(), began, e.InFlight())
		}
		time.Sleep(time.Second)
		if n.Admitted.Load() != 13 || n.Maybe.Load() != 1 || n.NotSent.Load() != 1 || n.Withdrawn.Load() != 2 || n.Rejected.Load() != 0 {
			t.Errorf("%+v", n)
		}
	}, kfake.SeedTopics(1, "t"))
}

// An attempt whose request gets no answer counts as failed.
func TestLostRequestsAreErrors(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.WriteTimeout = time.Second
		e := start(t, cfg)
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, true }) // the first
		if err := e.Write(t.Context(), time.Now(), message("x")); err != nil {
			t.Error(err)
		}
		n := e.Counters()
		if errs, retries, requests := n.Errors.Load(), n.Retries.Load(), n.Requests.Load(); errs != 1 || retries != 1 || requests != 2 {
			t.Errorf("%d errors and %d retries in %d requests, want 1 and 1 in 2", errs, retries, requests)
		}
	}, kfake.SeedTopics(1, "t"))
}

// Summaries have times: of a message that lingers, of a request, and of a wait that a broker
// wanted.
func TestSummaries(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.Linger = time.Second
		e := start(t, cfg)
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			b.Fake.SleepControl(func() { time.Sleep(2 * time.Second) })
			res := req.ResponseKind().(*kmsg.ProduceResponse)
			res.ThrottleMillis = 3000
			p := kmsg.NewProduceResponseTopicPartition()
			res.Topics = []kmsg.ProduceResponseTopic{{Topic: "t", Partitions: []kmsg.ProduceResponseTopicPartition{p}}}
			return res, nil, true
		})
		for range 2 {
			if err := e.Write(t.Context(), time.Now(), message("x")); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait() // the wait begins a moment after the verdict
		sec := int64(time.Second)
		n := e.Counters()
		queued, asked, waits := n.Queued.Take(), n.RequestTime.Take(), n.Waits.Take()
		if want := (sender.Values{Min: sec, Max: 3 * sec, Sum: 4 * sec, Count: 2}); queued != want { // the second is throttled, too
			t.Errorf("Queued: %+v, want %+v", queued, want)
		}
		if want := (sender.Values{Min: 2 * sec, Max: 2 * sec, Sum: 4 * sec, Count: 2}); asked != want {
			t.Errorf("RequestTime: %+v, want %+v", asked, want)
		}
		if want := (sender.Values{Min: 3 * sec, Max: 3 * sec, Sum: 6 * sec, Count: 2}); waits != want || n.Throttled.Load() != want.Sum {
			t.Errorf("Waits: %+v, want %+v, and %d throttled", waits, want, n.Throttled.Load())
		}
	}, kfake.SeedTopics(1, "t"))
}
