package producer

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// franz-go 1470, sarama 907: times outside the range of nanoseconds are mangled, and the epoch is
// taken for no time. Here all are stored as they are, in milliseconds; a zero one is that of the
// call. What cannot be stored is refused, alone.
func TestR51TimesAreMangled(t *testing.T) {
	stored := map[string]time.Time{
		"zero":             {},
		"zero elsewhere":   time.Time{}.In(time.FixedZone("", 3600)),
		"year 1":           time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC),
		"before nanos":     time.Date(1677, 9, 21, 0, 12, 43, 0, time.UTC),
		"before 1970":      time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC),
		"-2":               time.UnixMilli(-2),
		"epoch":            time.Unix(0, 0),
		"epoch elsewhere":  time.Unix(0, 0).In(time.FixedZone("", -3600)),
		"epoch and a nano": time.Unix(0, 1),
		"1":                time.UnixMilli(1),
		"past":             time.Date(2001, 2, 3, 4, 5, 6, 789_999_999, time.UTC),
		"after nanos":      time.Date(2262, 4, 11, 23, 47, 17, 0, time.UTC),
		"year 9999":        time.Date(9999, 12, 31, 23, 59, 59, 999_000_000, time.UTC),
		"far":              time.UnixMilli(math.MaxInt64 / 8),
		"long ago":         time.UnixMilli(math.MinInt64 / 8),
	}
	refused := map[string]time.Time{
		"-1":        time.UnixMilli(-1), // stands for no time
		"almost 0":  time.Unix(0, -1),
		"too far":   time.UnixMilli(math.MaxInt64 / 2),
		"too long":  time.UnixMilli(math.MinInt64 / 2),
		"most":      time.Unix(math.MaxInt64, 0),
		"least":     time.Unix(math.MinInt64, 0),
		"overflows": time.Unix(math.MaxInt64/1000+1, 0),
	}
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		// By default Apache Kafka refuses a time an hour ahead.
		topic := b.CreateTopic(t, 1, "message.timestamp.after.max.ms=9223372036854775807")
		var completed atomic.Int64
		p := newProducer(t, b, Config{Topic: topic, Completion: func(msgs []kafka.Message, _ error) { completed.Add(int64(len(msgs))) }})
		start(t, p)
		var msgs []kafka.Message
		for _, times := range []map[string]time.Time{stored, refused} {
			for name, at := range times {
				msgs = append(msgs, kafka.Message{Value: []byte(name), Time: at})
			}
		}
		began := time.Now()
		judge := func(err error) {
			t.Helper()
			for i, err := range errorsOf(t, err, len(msgs)) {
				_, bad := refused[string(msgs[i].Value)]
				switch {
				case !bad && err != nil:
					t.Errorf("%s: %v", msgs[i].Value, err)
				case bad && (classOf(t, err) != ErrRejected || Temporary(err)):
					t.Errorf("%s, %v: %v; want ErrRejected, for good", msgs[i].Value, msgs[i].Time, err)
				}
				if bad {
					mustBe(t, err, kafka.InvalidTimestamp)
				}
			}
		}
		judge(p.WriteMessages(bg, msgs...))
		judge(outcome(t, send(t, p, msgs...)))
		if err := p.WriteMessages(bg, message("alone")); err != nil {
			t.Error(err)
		}
		mustBe(t, p.WriteMessages(bg, kafka.Message{Time: refused["most"]}), ErrRejected, kafka.InvalidTimestamp)
		ended := time.Now()
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		holdsNothing(t, p)
		found := 0
		for _, r := range rawRecords(t, b, topic) {
			found++
			want, known := stored[string(r.Value)]
			switch at := r.TimestampDelta64; {
			case want.IsZero():
				if at < began.UnixMilli() || at > ended.UnixMilli() {
					t.Errorf("%s: found at %d; want the time of the call, from %d to %d", r.Value, at, began.UnixMilli(), ended.UnixMilli())
				}
			case !known || at != want.UnixMilli():
				t.Errorf("%s, %v: found at %d, want %d", r.Value, want, at, want.UnixMilli())
			}
		}
		if want := 2*len(stored) + 1; found != want || completed.Load() != int64(want) {
			t.Errorf("%d messages found, %d completed, want %d", found, completed.Load(), want)
		}
	})
	synctest.Test(t, func(t *testing.T) { // however long the call waits for room
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic, MaxInFlightBytes: 1})
		start(t, p)
		hung := b.Hang(kmsg.Produce)
		first := send(t, p, message("first"))
		time.Sleep(time.Second)
		began := time.Now()
		second := async(func() error { return p.WriteMessages(bg, message("second")) })
		time.Sleep(5 * time.Second)
		hung.Set(false)
		b.Net.Cut()
		if err := outcome(t, first); err != nil {
			t.Error(err)
		}
		if err := get(t, second); err != nil {
			t.Error(err)
		}
		if r := b.Read(t, topic); len(r) != 2 || !r[1].Timestamp.Equal(began) {
			t.Errorf("found %v; want the second at %v", r, began)
		}
	})
}

// rawRecords returns the records of the topic's partition 0, which are not compressed. In place of the
// difference each has its time, in milliseconds: franz-go's is wrong outside the range of nanoseconds.
func rawRecords(t testing.TB, b *testbroker.Broker, topic string) (all []kmsg.Record) {
	t.Helper()
	cl := b.Client(t, kgo.MaxVersions(kversion.V2_4_0()))
	defer cl.Close()
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxBytes, req.SessionEpoch = -1, 1<<20, -1
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.PartitionMaxBytes = 1 << 20
	req.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{rp}}}
	res, err := cl.Request(bg, req)
	if err != nil {
		t.Fatal(err)
	}
	for raw := res.(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches; len(raw) > 0; {
		size := 12 + int(binary.BigEndian.Uint32(raw[8:]))
		var batch kmsg.RecordBatch
		if err := batch.ReadFrom(raw[:size]); err != nil {
			t.Fatal(err)
		}
		raw = raw[size:]
		for rest := batch.Records; len(rest) > 0; {
			length, n := binary.Varint(rest)
			var r kmsg.Record
			if err := r.ReadFrom(rest[:n+int(length)]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n+int(length):]
			r.TimestampDelta64 += batch.FirstTimestamp
			all = append(all, r)
		}
	}
	return all
}

// KAFKA-7572, librdkafka 96, franz-go 1273: a partitioner returns nonsense, and the message waits for
// a partition that never comes, or harms others. Here it fails at once and for good, alone; nothing
// is left of it, and calls beside it are as they were. TestBalancerPanics has more of them.
func TestR52PartitionerReturnsNonsense(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 3)
		nonsense := []int{-1, 3, math.MaxInt32, math.MinInt32, math.MaxInt, math.MinInt}
		var completed atomic.Int64
		p := newProducer(t, b, Config{
			Topic: topic, Linger: 5 * time.Millisecond,
			Balancer:   kafka.BalancerFunc(func(m kafka.Message, _ ...int) int { return m.WriterData.(int) }),
			Completion: func(msgs []kafka.Message, _ error) { completed.Add(int64(len(msgs))) },
		})
		start(t, p)
		const callers, calls = 8, 20
		done := make(chan struct{}, callers)
		for caller := range callers {
			go func() {
				defer func() { done <- struct{}{} }()
				for i := range calls {
					bad := nonsense[(caller+i)%len(nonsense)]
					var msgs []kafka.Message
					for k, to := range []int{0, bad, 1, bad, 2} {
						msgs = append(msgs, kafka.Message{Value: fmt.Appendf(nil, "%d-%d-%d", caller, i, k), WriterData: to})
					}
					for k, err := range errorsOf(t, p.WriteMessages(bg, msgs...), len(msgs)) {
						if k%2 == 0 && err != nil {
							t.Errorf("beside a message to partition %d: %v", bad, err)
						} else if k%2 == 1 && (classOf(t, err) != ErrNotSent || Temporary(err)) {
							t.Errorf("to partition %d: %v; want ErrNotSent, and final", bad, err)
						}
					}
				}
			}()
		}
		for range callers {
			get(t, done)
		}
		requests := p.Counters().Requests
		for _, bad := range nonsense {
			err := p.WriteMessages(bg, kafka.Message{WriterData: bad})
			if classOf(t, err) != ErrNotSent || Temporary(err) {
				t.Errorf("to partition %d, alone: %v; want ErrNotSent, and final", bad, err)
			}
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		c := p.Counters()
		const good = 3 * callers * calls
		if found := len(values(t, b, topic)); found != good || c.Admitted != good || c.Delivered != good || completed.Load() != good || c.Requests != requests {
			t.Errorf("%d messages found, %d completed, %+v, %d requests before those alone; want %d", found, completed.Load(), c, requests, good)
		}
		holdsNothing(t, p)
	})
}

// Without messages the call returns at once, with the result of a write that cannot wait. It starts
// nothing.
func TestZeroMessages(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		for _, onWrite := range []bool{false, true} {
			p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), StartOnWrite: onWrite})
			calls := func(state string, want ...error) {
				t.Helper()
				d, sent := p.Send(bg)
				for name, err := range map[string]error{"WriteMessages": p.WriteMessages(bg), "Send": sent} {
					if len(want) == 0 && err != nil {
						t.Errorf("%s of nothing, %s: %v", name, state, err)
					}
					mustBe(t, err, want...)
				}
				if len(want) > 0 {
					return
				}
				select {
				case <-d.Done():
					if err := d.Err(); err != nil {
						t.Errorf("the Delivery of nothing, %s: %v", state, err)
					}
				default:
					t.Errorf("the Delivery of nothing, %s, is not done", state)
				}
			}
			unstarted := []error{ErrNotStarted, ErrNotSent}
			if onWrite {
				unstarted = nil
			}
			calls("idle", unstarted...)
			if p.Status().Attempt != 0 {
				t.Error("it has begun to start")
			}
			hung := hangIn(b, "metadata")
			starting := async(func() error { return p.Start(bg) })
			until(t, "the start to hang", func() bool { return hung.hits.Load() > 0 })
			calls("starting", unstarted...)
			hung.on.Store(false)
			b.Net.Cut()
			if err := get(t, starting); err != nil {
				start(t, p)
			}
			calls("started")
			mustBe(t, p.WriteMessages(endedContext()), endedContext().Err(), ErrNotSent)
			produce := b.Hang(kmsg.Produce)
			d := send(t, p, message("under way"))
			stopping := async(func() error { return p.Stop(bg) })
			until(t, "it to stop", func() bool { return p.State() == fsm.Stopping })
			calls("stopping", ErrNotStarted, ErrNotSent)
			produce.Set(false)
			b.Net.Cut()
			if err := outcome(t, d); err != nil {
				t.Error(err)
			}
			if err := get(t, stopping); err != nil {
				t.Error(err)
			}
			calls("stopped", ErrNotStarted, ErrNotSent)
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			calls("closed", ErrClosed, ErrNotSent)
			if n := p.Counters().Admitted; n != 1 {
				t.Errorf("%d messages admitted, want 1", n)
			}
		}
	})
}
