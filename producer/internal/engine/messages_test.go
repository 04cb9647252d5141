package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Messages without a key go where there is a leader; those with one where Java puts them
// (R43).
func TestPartitioning(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		e := start(t, config(b, "t"))
		for i := range 200 {
			if err := e.Write(t.Context(), time.Now(), message(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			if err := e.Write(t.Context(), time.Now(), kafka.Message{Key: fmt.Append(nil, i)}); err != nil {
				t.Fatal(err)
			}
		}
		all := []int{0, 1, 2, 3}
		for _, r := range b.Read(t, "t") {
			if r.Key != nil {
				if want := (kafka.Murmur2Balancer{}).Balance(kafka.Message{Key: r.Key}, all...); int(r.Partition) != want {
					t.Errorf("key %s is on partition %d, want %d", r.Key, r.Partition, want)
				}
			}
		}
		(*e.topics.Load())["t"].all()[1].Lead(nil)
		(*e.topics.Load())["t"].all()[2].Lead(nil)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if err := e.Write(t.Context(), time.Now(), message("led")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for p, vs := range values(t, b, "t") {
			if (p == 1 || p == 2) && slices.Contains(vs, "led") {
				t.Errorf("partition %d has no leader, and got a message", p)
			}
		}
	}, kfake.SeedTopics(4, "t"))
}

// The first write to a topic that is created by it succeeds (R41).
func TestAutoCreatedTopic(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b)
		cfg.AutoCreate = true
		e := start(t, cfg)
		if err := e.Write(t.Context(), time.Now(), kafka.Message{Topic: "new", Value: []byte("x")}); err != nil {
			t.Error(err)
		}
		if err := e.Write(t.Context(), time.Now(), message("x")); !errors.Is(err, errNoTopic) {
			t.Errorf("without a topic: %v", err)
		}
	}, kfake.AllowAutoTopicCreation())
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		e := start(t, config(b))
		err := e.Write(t.Context(), time.Now(), kafka.Message{Topic: "missing", Value: []byte("x")})
		if verdicts(t, err)[0] != core.NotSent || !errors.Is(err, kafka.UnknownTopicOrPartition) {
			t.Errorf("a topic that does not exist: %v", err)
		}
	})
}

// A batch that is larger than the topic allows is sent in halves; a message that is larger
// than a batch may be, or than the topic allows, is rejected alone.
func TestTooLarge(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1, "max.message.bytes=3000")
		cfg := config(b, topic)
		cfg.BatchBytes = 100_000
		e := start(t, cfg)
		var msgs []kafka.Message
		for i := range 41 {
			msgs = append(msgs, kafka.Message{Key: fmt.Append(nil, i), Value: incompressible(500)})
		}
		msgs[7].Value = incompressible(5_000)
		msgs[20].Value = incompressible(200_000)
		err := e.Write(t.Context(), time.Now(), msgs...)
		for i, v := range verdicts(t, err) {
			want := core.Verdict(0)
			if i == 7 || i == 20 {
				want = core.Rejected
			}
			if v != want {
				t.Errorf("message %d is %v, want %v", i, v, want)
			}
		}
		if !errors.Is(err, kafka.MessageSizeTooLarge) {
			t.Error(err)
		}
		if err := e.Write(t.Context(), time.Now(), kafka.Message{Key: []byte("41")}); err != nil {
			t.Error(err)
		}
		next := 0
		for _, r := range b.Read(t, topic) {
			if next == 7 || next == 20 {
				next++
			}
			if string(r.Key) != fmt.Sprint(next) {
				t.Fatalf("message %s where %d belongs", r.Key, next)
			}
			next++
		}
		if next != 42 {
			t.Errorf("%d messages", next)
		}
	})
}

// Halves of a batch that was too large are other batches: they are sent at once, have all of
// the MaxAttempts, and are no trouble to warn of.
func TestHalvesAreSentAtOnce(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1, "max.message.bytes=700")
		cfg := config(b, topic)
		cfg.MaxAttempts = 2
		cfg.Warn = func(message, _ string, _ int, err error) { t.Errorf("warned: %s: %v", message, err) }
		e := start(t, cfg)
		msgs := make([]kafka.Message, 64)
		for i := range msgs {
			msgs[i] = message(fmt.Sprint(i))
			msgs[i].Key = incompressible(500)
		}
		began := time.Now()
		if err := e.Write(t.Context(), time.Now(), msgs...); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("64 messages that fit alone took %v", took)
		}
		for i, v := range values(t, b, topic)[0] {
			if v != fmt.Sprint(i) {
				t.Errorf("message %s is at %d", v, i)
			}
		}
		b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: 1})
		began = time.Now()
		if err := e.Write(t.Context(), time.Now(), msgs[:2]...); err != nil || time.Since(began) == 0 {
			t.Errorf("a batch that is refused for now, and then as too large: %v after %v", err, time.Since(began))
		}
	})
}

func incompressible(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// A broker may refuse single records: the others are delivered, with consecutive offsets.
func TestRecordErrors(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		e := start(t, config(b, "t"))
		refused := 0
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			if refused++; refused > 1 {
				return nil, nil, false
			}
			res := req.ResponseKind().(*kmsg.ProduceResponse)
			p := kmsg.NewProduceResponseTopicPartition()
			p.ErrorCode, p.BaseOffset = kerr.InvalidRecord.Code, -1
			for _, i := range []int32{1, 3, -5, 1 << 30} {
				r := kmsg.NewProduceResponseTopicPartitionErrorRecord()
				r.RelativeOffset = i
				p.ErrorRecords = append(p.ErrorRecords, r)
			}
			res.Topics = []kmsg.ProduceResponseTopic{{Topic: "t", Partitions: []kmsg.ProduceResponseTopicPartition{p}}}
			return res, nil, true
		})
		err := e.Write(t.Context(), time.Now(), message("0"), message("1"), message("2"), message("3"), message("4"))
		if v := verdicts(t, err); !slices.Equal(v, []core.Verdict{0, core.Rejected, 0, core.Rejected, 0}) {
			t.Errorf("the verdicts are %v: %v", v, err)
		}
		if got := values(t, b, "t")[0]; !slices.Equal(got, []string{"0", "2", "4"}) {
			t.Errorf("the log has %v", got)
		}
	}, kfake.SeedTopics(1, "t"))
}

// The bytes in flight are bounded: a call that finds no room waits until its context ends, and none
// of its messages is in a queue then.
func TestD8RoomIsBounded(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.MaxInFlight = 100_000
		e := start(t, cfg)
		hung := b.Hang(kmsg.Produce)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if err := e.Write(t.Context(), time.Now(), kafka.Message{Value: make([]byte, 20_000)}); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Second)
		if used := e.room.used.Load(); used > 100_000 || used < 80_000 {
			t.Errorf("%d bytes are in flight", used)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		err := e.Write(ctx, time.Now(), message("no room"))
		if refused(t, err); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > time.Second {
			t.Errorf("Write without room: %v after %v", err, time.Since(began))
		}
		hung.Set(false)
		wg.Wait()
		if err := e.Write(t.Context(), time.Now(), kafka.Message{Value: make([]byte, 500_000)}); err != nil {
			t.Errorf("a call that is larger than the room: %v", err)
		}
	}, kfake.SeedTopics(1, "t"))
}

// Who waits for room, or for a topic, when a stop begins is not sent.
func TestStopEndsWhatWaits(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.MaxInFlight = 1000
		e := New(cfg)
		if err := e.Start(t.Context(), ignore); err != nil {
			t.Fatal(err)
		}
		b.Hang(kmsg.Produce, kmsg.Metadata)
		errs := make(chan error, 2)
		go e.Write(t.Context(), time.Now(), kafka.Message{Value: make([]byte, 900)})
		time.Sleep(time.Millisecond)
		go func() { errs <- e.Write(t.Context(), time.Now(), kafka.Message{Value: make([]byte, 900)}) }()
		go func() { errs <- e.Write(t.Context(), time.Now(), kafka.Message{Topic: "other"}) }()
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go e.Stop(ctx)
		began := time.Now()
		for range 2 {
			if err := <-errs; !errors.Is(err, ErrStopping) {
				t.Errorf("Write: %v", err)
			}
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("they waited for another %v", took)
		}
		time.Sleep(2 * time.Second)
		leavesNothing(t, e)
	}, kfake.SeedTopics(1, "t"))
}

// A call that has chosen its partitions when a stop begins is not sent (D7).
func TestStopBeforeAdmission(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		e := New(config(b, "t"))
		if err := e.Start(t.Context(), ignore); err != nil {
			t.Fatal(err)
		}
		s := e.started.Load()
		c := new(call)
		msgs := []kafka.Message{message("x"), {Key: []byte("k")}, message("y")}
		c.Expect(len(msgs))
		if err := c.route(t.Context(), s, msgs, time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := e.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		c.admit(s, msgs)
		<-c.Done()
		for i, f := range c.Failures() {
			if f.Verdict != core.NotSent || f.Cause != ErrStopping {
				t.Errorf("message %d: %+v", i, f)
			}
		}
		leavesNothing(t, e)
	}, kfake.SeedTopics(3, "t"))
}

// Flush waits for messages that were admitted before it, and not for later ones. Its context bounds
// it.
func TestFlush(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		e := start(t, config(b, "t"))
		hung := b.Hang(kmsg.Produce)
		before, err := send(t.Context(), e, message("before"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := e.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Flush of what hangs: %v", err)
		}
		flushed := make(chan error, 1)
		go func() { flushed <- e.Flush(t.Context()) }()
		time.Sleep(time.Second)
		later, err := send(t.Context(), e, message("later"))
		if err != nil {
			t.Fatal(err)
		}
		hung.Set(false)
		hung = b.Hang(kmsg.Produce)
		hung.Set(false)
		if err := <-flushed; err != nil {
			t.Error(err)
		}
		if !before.ended() {
			t.Error("Flush returns before the verdict")
		}
		<-later.done
		if before.err != nil || later.err != nil {
			t.Errorf("%v, %v", before.err, later.err)
		}
		if err := e.Flush(t.Context()); err != nil {
			t.Errorf("Flush of nothing: %v", err)
		}
	}, kfake.SeedTopics(1, "t"))
}

// A message is tried MaxAttempts times at most.
func TestMaxAttempts(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.MaxAttempts = 3
		e := start(t, cfg)
		fault := b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
		err := e.Write(t.Context(), time.Now(), message("x"))
		if v := verdicts(t, err); v[0] != core.Rejected || !errors.Is(err, kafka.NotEnoughReplicas) || fault.Hits() != 3 {
			t.Errorf("%v after %d requests", err, fault.Hits())
		}
		fault.Remove()
		if err := e.Write(t.Context(), time.Now(), message("y")); err != nil {
			t.Error(err)
		}
	}, kfake.SeedTopics(1, "t"))
}

// A partition that does not answer does not delay the others again and again.
func TestSlowPartitionIsAlone(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.ConnectionsPerBroker = 1
		cfg.WriteTimeout = time.Second
		e := start(t, cfg)
		var requests, withOthers atomic.Int64
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			for _, rp := range req.(*kmsg.ProduceRequest).Topics[0].Partitions {
				if rp.Partition == 0 {
					requests.Add(1)
					if len(req.(*kmsg.ProduceRequest).Topics[0].Partitions) > 1 {
						withOthers.Add(1)
					}
					return nil, nil, true // no answer
				}
			}
			return nil, nil, false
		})
		var wg sync.WaitGroup
		ps := (*e.topics.Load())["t"].all()
		for i := range ps {
			wg.Go(func() {
				for range 20 {
					c := &call{}
					c.Expect(1)
					c.next = []int32{0}
					size := int64(sizeOf(&kafka.Message{}))
					c.link(ps[i], 0, size)
					e.room.charge(ps[i], size)
					c.admit(e.started.Load(), []kafka.Message{{}})
					select {
					case <-c.Done():
					case <-time.After(20 * time.Second):
						c.withdraw(ErrDeadline)
						<-c.Done()
						return
					}
				}
			})
		}
		wg.Wait()
		if requests.Load() < 3 || withOthers.Load() > 1 {
			t.Errorf("%d requests with the slow partition, %d of them with others", requests.Load(), withOthers.Load())
		}
	}, kfake.SeedTopics(4, "t"))
}

// What a caller does with its bytes after the call harms nothing.
func TestBytesAreFree(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.Linger = time.Second
		e := start(t, cfg)
		v := bytes.Repeat([]byte("a"), 1000)
		d, err := send(t.Context(), e, kafka.Message{Value: v, Key: v})
		if err != nil {
			t.Fatal(err)
		}
		clear(v)
		<-d.done
		if d.err != nil {
			t.Error(d.err)
		}
		if r := b.Read(t, "t")[0]; !bytes.Equal(r.Value, bytes.Repeat([]byte("a"), 1000)) || !bytes.Equal(r.Key, r.Value) {
			t.Error("the log has other bytes")
		}
	}, kfake.SeedTopics(1, "t"))
}
