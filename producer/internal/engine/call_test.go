package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

// bubble runs a test on embedded brokers in virtual time.
func bubble(t *testing.T, brokers int, test func(t *testing.T, b *testbroker.Broker), opts ...kfake.Opt) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, testbroker.VirtualCluster(t, brokers, opts...)) })
}

func verdicts(t *testing.T, err error) (all []core.Verdict) {
	t.Helper()
	var failed *WriteError
	if !errors.As(err, &failed) {
		t.Fatalf("no WriteError: %v", err)
	}
	for _, f := range failed.Failures {
		all = append(all, f.Verdict)
	}
	return all
}

// refused says that a call was refused as a whole: nothing was admitted.
func refused(t *testing.T, err error) {
	t.Helper()
	var failed *WriteError
	if err == nil || errors.As(err, &failed) {
		t.Errorf("the call is not refused as a whole: %v", err)
	}
}

// A caller that leaves withdraws what no request has carried: it does not come later (D5).
func TestD5Withdrawn(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		e := start(t, config(b, "t"))
		hung := b.Hang(kmsg.Produce)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var under, queued error
		var wg sync.WaitGroup
		wg.Go(func() { under = e.Write(ctx, time.Now(), message("under way")) })
		time.Sleep(100 * time.Millisecond)
		wg.Go(func() { queued = e.Write(ctx, time.Now(), message("queued 0"), message("queued 1")) })
		time.Sleep(100 * time.Millisecond)
		stays := make(chan error, 1)
		go func() { stays <- e.Write(t.Context(), time.Now(), message("stays")) }()
		began := time.Now()
		wg.Wait()
		if took := time.Since(began); took > 900*time.Millisecond {
			t.Errorf("the callers left after %v", took)
		}
		if v := verdicts(t, under); v[0] != core.Maybe || !errors.Is(under, context.DeadlineExceeded) {
			t.Errorf("what was under way is %v: %v", v, under)
		}
		if v := verdicts(t, queued); v[0] != core.NotSent || v[1] != core.NotSent {
			t.Errorf("what was queued is %v", v)
		}
		hung.Set(false)
		if err := <-stays; err != nil {
			t.Error(err)
		}
		for _, v := range values(t, b, "t")[0] {
			if v != "stays" && v != "under way" {
				t.Errorf("%s came later", v)
			}
		}
	}, kfake.SeedTopics(1, "t"))
}

// Every message has its verdict by DeliveryTimeout, during any fault (D6).
func TestD6Deadline(t *testing.T) {
	for _, test := range []struct {
		name    string
		verdict core.Verdict
		harm    func(b *testbroker.Broker, cfg *Config) func()
		topic   string
	}{
		{"no answer", core.Maybe, func(b *testbroker.Broker, _ *Config) func() { b.Hang(kmsg.Produce); return nil }, ""},
		// The in-memory network has no buffers: no request is written as a whole.
		{"frozen", core.NotSent, func(b *testbroker.Broker, _ *Config) func() { b.Net.Freeze(); return b.Net.Thaw }, ""},
		{"killed", core.NotSent, func(b *testbroker.Broker, _ *Config) func() { b.Net.Kill(0); return func() { b.Net.Revive(0) } }, ""},
		{"refused for now", core.Rejected, func(b *testbroker.Broker, _ *Config) func() {
			h := b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
			return func() { h.Remove() }
		}, ""},
		{"first use of a topic", 0, func(b *testbroker.Broker, _ *Config) func() { b.Hang(kmsg.Metadata); return nil }, "other"},
		{"linger", core.NotSent, func(_ *testbroker.Broker, cfg *Config) func() { cfg.Linger = time.Hour; return nil }, ""},
		{"throttled", core.NotSent, func(b *testbroker.Broker, _ *Config) func() {
			b.Fake.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
				res := req.ResponseKind().(*kmsg.ProduceResponse)
				res.ThrottleMillis = 50_000
				for _, rt := range req.(*kmsg.ProduceRequest).Topics {
					p := kmsg.NewProduceResponseTopicPartition()
					res.Topics = append(res.Topics, kmsg.ProduceResponseTopic{Topic: rt.Topic, Partitions: []kmsg.ProduceResponseTopicPartition{p}})
				}
				return res, nil, true
			})
			return nil
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
				cfg := config(b, "t")
				cfg.DeliveryTimeout = 25 * time.Second
				if test.name == "linger" {
					test.harm(b, &cfg)
				}
				e := start(t, cfg)
				if test.name != "linger" {
					if restore := test.harm(b, &cfg); restore != nil {
						defer restore()
					}
				}
				if test.name == "throttled" {
					if err := e.Write(t.Context(), time.Now(), message("throttles")); err != nil {
						t.Fatal(err)
					}
				}
				began := time.Now()
				m := message("x")
				m.Topic = test.topic
				err := e.Write(t.Context(), time.Now(), m)
				if took := time.Since(began); took < 25*time.Second || took > 25*time.Second+50*time.Millisecond {
					t.Errorf("Write took %v", took)
				}
				if test.topic != "" {
					refused(t, err)
				} else if v := verdicts(t, err); v[0] != test.verdict {
					t.Errorf("the verdict is %v", v)
				}
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				d, err := send(t.Context(), e, message("y"))
				if err != nil {
					t.Fatal(err)
				}
				began = time.Now()
				<-d.done
				if took := time.Since(began); took > 25*time.Second+50*time.Millisecond {
					t.Errorf("the Send's verdict took %v", took)
				}
			}, kfake.SeedTopics(1, "t"))
		})
	}
}

// A forced stop returns in time, with exact counts. It distinguishes messages that may be delivered
// from those that were not sent (D7).
func TestD7ForcedStop(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		e := New(config(b, "t"))
		if err := e.Start(t.Context(), ignore); err != nil {
			t.Fatal(err)
		}
		hung := b.Hang(kmsg.Produce)
		var wg sync.WaitGroup
		var mu sync.Mutex
		counts := make(map[core.Verdict]int)
		write := func(n int) {
			wg.Go(func() {
				msgs := make([]kafka.Message, n)
				for _, v := range verdicts(t, e.Write(t.Context(), time.Now(), msgs...)) {
					mu.Lock()
					counts[v]++
					mu.Unlock()
				}
			})
		}
		write(3)
		time.Sleep(time.Second)
		for range 4 {
			write(5)
		}
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		err := e.Stop(ctx)
		if took := time.Since(began); took > 1050*time.Millisecond {
			t.Errorf("Stop took %v", took)
		}
		var forced *Forced
		if !errors.As(err, &forced) || forced.Maybe != 3 || forced.NotSent != 20 || forced.Rejected != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop: %v", err)
		}
		wg.Wait()
		if counts[core.Maybe] != 3 || counts[core.NotSent] != 20 {
			t.Errorf("the calls got %v", counts)
		}
		leavesNothing(t, e)
		hung.Set(false)
		if err := e.Start(t.Context(), ignore); err != nil {
			t.Fatal(err)
		}
		if err := e.Write(t.Context(), time.Now(), message("after")); err != nil {
			t.Error(err)
		}
		if err := e.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		leavesNothing(t, e)
	}, kfake.SeedTopics(1, "t"))
}

// Completion sees every admitted message once, with the verdict that its caller gets, before
// the write returns; for a caller that leaves it is called all the same.
func TestD1Completion(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		var mu sync.Mutex
		seen := make(map[string]core.Verdict)
		cfg := config(b, "t")
		cfg.Completion = func(msgs []kafka.Message, f sender.Failure) {
			mu.Lock()
			defer mu.Unlock()
			for _, m := range msgs {
				id := string(m.Value)
				if _, again := seen[id]; again {
					t.Errorf("%s is completed twice", id)
				}
				seen[id] = f.Verdict
				if m.Topic != "t" || m.WriterData != id || string(m.Key) != "k" || len(m.Headers) != 1 || string(m.Headers[0].Value) != "v" || m.Time.UnixMilli() != 1234 {
					t.Errorf("a message is completed as %+v", m)
				}
				if f.Verdict == 0 && m.Offset != int64(len(seen)-1) {
					t.Errorf("%s has offset %d", id, m.Offset)
				}
			}
		}
		e := New(cfg)
		if err := e.Start(t.Context(), ignore); err != nil {
			t.Fatal(err)
		}
		msg := func(id string) kafka.Message {
			return kafka.Message{Key: []byte("k"), Value: []byte(id), WriterData: id, Time: time.UnixMilli(1234), Headers: []kafka.Header{{Key: "h", Value: []byte("v")}}}
		}
		for i := range 10 {
			a, c := fmt.Sprint(i, "a"), fmt.Sprint(i, "b")
			if err := e.Write(t.Context(), time.Now(), msg(a), msg(c)); err != nil {
				t.Error(err)
			}
			mu.Lock()
			if len(seen) != 2*i+2 {
				t.Errorf("%d messages are completed after %d writes", len(seen), i+1)
			}
			mu.Unlock()
		}
		b.Hang(kmsg.Produce)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go e.Write(ctx, time.Now(), msg("under way"))
		time.Sleep(time.Millisecond)
		go e.Write(ctx, time.Now(), msg("queued"))
		time.Sleep(2 * time.Second)
		go e.Write(t.Context(), time.Now(), msg("cut"))
		time.Sleep(time.Millisecond)
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		e.Stop(ctx)
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(seen) != 23 || seen["under way"] != core.Maybe || seen["queued"] != core.NotSent || seen["cut"] != core.NotSent {
			t.Errorf("%d messages are completed: %v", len(seen), seen)
		}
		leavesNothing(t, e)
	}, kfake.SeedTopics(1, "t"))
}

// What is cut off between two attempts is completed, and its caller gets its verdict, although no
// sender has it in hand.
func TestD1CutIsCompleted(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		completed := make(chan sender.Failure, 10)
		cfg := config(b, "t")
		cfg.Completion = func(_ []kafka.Message, f sender.Failure) {
			time.Sleep(100 * time.Millisecond)
			completed <- f
		}
		e := New(cfg)
		if err := e.Start(t.Context(), ignore); err != nil {
			t.Fatal(err)
		}
		b.Net.Kill(0)
		defer b.Net.Revive(0)
		told := make(chan error, 1)
		go func() { told <- e.Write(t.Context(), time.Now(), message("x")) }()
		time.Sleep(3 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		e.Stop(ctx)
		select {
		case err := <-told:
			if v := verdicts(t, err); v[0] != core.NotSent || len(completed) != 1 {
				t.Errorf("D1 OneVerdict: the verdict is %v, and %d were completed", v[0], len(completed))
			}
		case <-time.After(time.Second):
			t.Error("D1 OneVerdict: the call has no verdict a second after the stop")
		}
		leavesNothing(t, e)
	}, kfake.SeedTopics(1, "t"))
}

// A Completion that hangs delays no call beyond its context or its deadline.
func TestD6CompletionHangs(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.DeliveryTimeout = 10 * time.Second
		cfg.Completion = func([]kafka.Message, sender.Failure) { time.Sleep(time.Minute) }
		e := start(t, cfg)
		for _, limit := range []time.Duration{time.Second, 10 * time.Second} {
			ctx, cancel := t.Context(), func() {}
			if limit < cfg.DeliveryTimeout {
				ctx, cancel = context.WithTimeout(ctx, limit)
			}
			began := time.Now()
			if err := e.Write(ctx, began, message("x")); err != nil {
				t.Error(err)
			}
			cancel()
			if took := time.Since(began); took != limit {
				t.Errorf("D6 Deadline: Write took %v, want %v", took, limit)
			}
			if err := e.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}, kfake.SeedTopics(1, "t"))
}

// The time of a call begins with the call, also if it had to wait for room first.
func TestD6DeadlineAfterWaitingForRoom(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.DeliveryTimeout, cfg.MaxInFlight = 10*time.Second, 100
		e := start(t, cfg)
		b.Net.Freeze()
		defer b.Net.Thaw()
		go e.Write(t.Context(), time.Now(), message("has all the room"))
		time.Sleep(5 * time.Second)
		began := time.Now()
		e.Write(t.Context(), began, message("waits"))
		if took := time.Since(began); took < 10*time.Second || took > 10*time.Second+50*time.Millisecond {
			t.Errorf("D6 Deadline: Write took %v", took)
		}
	}, kfake.SeedTopics(1, "t"))
}

// Drain sends at once what lingers, before anything is stopped.
func TestD7DrainEndsTheLinger(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.Linger = 10 * time.Second
		e := start(t, cfg)
		told := make(chan error, 1)
		go func() { told <- e.Write(t.Context(), time.Now(), message("x")) }()
		synctest.Wait()
		began := time.Now()
		e.Drain()
		if err := <-told; err != nil || time.Since(began) > 100*time.Millisecond {
			t.Errorf("D7 Drains: %v after %v", err, time.Since(began))
		}
	}, kfake.SeedTopics(1, "t"))
}

// Stop waits for a Completion that is under way.
func TestD7StopWaitsForCompletion(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.Completion = func([]kafka.Message, sender.Failure) { time.Sleep(3 * time.Second) }
		e := New(cfg)
		if err := e.Start(t.Context(), ignore); err != nil {
			t.Fatal(err)
		}
		if _, err := send(t.Context(), e, message("x")); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := e.Stop(t.Context()); err != nil || time.Since(began) < 3*time.Second {
			t.Errorf("Stop: %v after %v", err, time.Since(began))
		}
		leavesNothing(t, e)
	}, kfake.SeedTopics(1, "t"))
}
