package producer

import (
	"context"
	"log/slog"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Each field of Counters counts exactly what its comment says, over all starts.
func TestCounters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		log := new(logs)
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), MaxInFlightBytes: 1000, Logger: slog.New(log)})
		var want Counters
		moved := make(map[string]bool)
		check := func(what string) {
			t.Helper()
			synctest.Wait()
			got := p.Counters()
			if got != want {
				t.Errorf("%s:\n%+v, want\n%+v", what, got, want)
				want = got
			}
			v := reflect.ValueOf(got)
			for i := range v.NumField() {
				moved[v.Type().Field(i).Name] = moved[v.Type().Field(i).Name] || !v.Field(i).IsZero()
			}
		}
		check("New")

		start(t, p)
		want.Connects, want.Connections = 2, 2
		check("Start")

		if err := p.WriteMessages(bg, messages("a", 3)...); err != nil {
			t.Error(err)
		}
		want.Admitted, want.Delivered, want.Requests, want.Epochs = 3, 3, 1, 1
		check("a write")

		fault := b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed, Count: 1})
		mustBe(t, p.WriteMessages(bg, messages("b", 2)...), ErrRejected)
		fault.Remove()
		want.Admitted, want.Rejected, want.Requests = 5, 2, 2
		check("a write that is refused")

		fault = b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.OutOfOrderSequenceNumber, Count: 1})
		if err := p.WriteMessages(bg, message("c")); err != nil {
			t.Error(err)
		}
		fault.Remove()
		want.Admitted, want.Delivered, want.Requests, want.Epochs, want.LostByCluster = 6, 4, 4, 2, 1
		check("a write that the cluster has lost its way with")
		if n := log.count("has lost acknowledged messages"); n != 1 {
			t.Errorf("%d warnings of it, want one", n)
		}

		var throttle atomic.Bool
		throttle.Store(true)
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			if throttle.CompareAndSwap(true, false) {
				return produceAnswer(req, nil, 700*time.Millisecond), nil, true
			}
			return nil, nil, false
		})
		began := time.Now()
		for range 2 {
			if err := p.WriteMessages(bg, message("d")); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took < 700*time.Millisecond {
			t.Errorf("they took %v: the broker wanted 700 ms of peace", took)
		}
		// The broker has not seen the batch that it answered: the next one is out of order.
		want.Admitted, want.Delivered, want.Requests, want.Epochs, want.LostByCluster = 8, 6, 7, 3, 2
		want.Throttled = 700 * time.Millisecond
		check("a broker that throttles")

		hung := b.Hang(kmsg.Produce)
		ctx, leave := context.WithCancel(bg)
		under := async(func() error { return p.WriteMessages(ctx, message("e")) })
		synctest.Wait()
		queued := async(func() error { return p.WriteMessages(ctx, messages("f", 2)...) })
		synctest.Wait()
		large := message("g")
		large.Key = make([]byte, 900)
		waits := async(func() error { return p.WriteMessages(ctx, large) })
		synctest.Wait()
		time.Sleep(2 * time.Second)
		want.Admitted, want.Requests, want.Waiting, want.Oldest = 11, 8, 1, 2*time.Second
		check("a broker that hangs")

		leave()
		mustBe(t, get(t, under), ErrMaybeDelivered)
		mustBe(t, get(t, queued), ErrNotSent)
		mustBe(t, get(t, waits), ErrNotSent)
		want.Maybe, want.NotSent, want.Withdrawn, want.Waiting, want.Oldest = 1, 2, 3, 0, 0
		check("callers that leave")

		hung.Set(false)
		b.Net.Kill(0)
		synctest.Wait()
		got := p.Counters()
		if got.ConnectFailures < 2 || got.Connections != 0 {
			t.Errorf("a broker that is gone: %+v", got)
		}
		b.Net.Revive(0)
		time.Sleep(2 * time.Second)
		want.ConnectFailures = p.Counters().ConnectFailures
		want.Connects, want.Connections = 4, 2
		check("a broker that is back")

		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		want.Connections = 0
		check("Stop")
		start(t, p)
		want.Connects, want.Connections = 6, 2
		check("Start again")
		b.Hang(kmsg.Produce)
		d := send(t, p, messages("h", 2)...)
		synctest.Wait()
		p.Stop(endedContext())
		mustBe(t, outcome(t, d), ErrMaybeDelivered)
		want.Admitted, want.Requests, want.Maybe, want.Connections, want.Epochs = 13, 9, 3, 0, 4
		check("a forced stop") // that is no caller that leaves: Withdrawn is what it was

		for field, ok := range moved {
			if !ok && field != "ConnectFailures" && field != "Leaderless" { // see TestR43LeaderLost
				t.Errorf("Counters.%s has never moved", field)
			}
		}
	})
}
