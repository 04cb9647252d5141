package producer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// What users of kafka-go pass around.
var _ interface {
	WriteMessages(context.Context, ...kafka.Message) error
	Close() error
	Stats() kafka.WriterStats
} = (*Producer)(nil)

// A message goes where it names, or to Topic; one that names an undeclared topic
// fails the whole call before anything is sent.
func TestTopics(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		main, other, undeclared := b.CreateTopic(t, 1), b.CreateTopic(t, 1), b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: main, Topics: []string{other}})
		start(t, p)
		msgs := []kafka.Message{{Value: []byte("plain")}, {Topic: other, Value: []byte("other")}, {Topic: main, Value: []byte("named")}}
		if err := p.WriteMessages(bg, msgs...); err != nil {
			t.Fatal(err)
		}
		if msgs[0].Topic != "" || msgs[0].WriterData != nil {
			t.Errorf("the caller's message was changed: %+v", msgs[0])
		}
		err := p.WriteMessages(bg, kafka.Message{Value: []byte("no")}, kafka.Message{Topic: undeclared, Value: []byte("no")})
		var topicErr *TopicError
		if !errors.As(err, &topicErr) || topicErr.Topic != undeclared || classOf(t, err) != ErrNotSent {
			t.Errorf("a message to an undeclared topic: %v", err)
		}
		if found := values(t, b, main); fmt.Sprint(found) != "map[named:1 plain:1]" {
			t.Errorf("found %v in the main topic", found)
		}
		if found := values(t, b, other); fmt.Sprint(found) != "map[other:1]" {
			t.Errorf("found %v in the other topic", found)
		}

		single := newProducer(t, b, Config{Topic: main})
		start(t, single)
		if err := single.WriteMessages(bg, kafka.Message{Topic: main, Value: []byte("named again")}); err != nil {
			t.Error(err)
		}
		none := newProducer(t, b, Config{Topics: []string{other}})
		start(t, none)
		if err := none.WriteMessages(bg, message("x")); !errors.As(err, &topicErr) || classOf(t, err) != ErrNotSent {
			t.Errorf("a message without a topic, and no default: %v", err)
		}
	})
}

// AnyTopic proves a topic on its first use, also one that did not exist at the start.
func TestAnyTopic(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{AnyTopic: true})
		start(t, p)
		topic := testbroker.TopicName()
		m := kafka.Message{Topic: topic, Value: []byte("x")}
		err := p.WriteMessages(bg, m)
		var topicErr *TopicError
		if !errors.As(err, &topicErr) || topicErr.Topic != topic || classOf(t, err) != ErrNotSent {
			t.Errorf("a message to a topic that does not exist: %v", err)
		}
		mustBe(t, err, kafka.UnknownTopicOrPartition)
		b.CreateTopicNamed(t, topic, 2)
		until(t, "the topic to be found", func() bool { // that it does not exist is remembered for a moment
			err := p.WriteMessages(bg, m)
			if err != nil {
				mustBe(t, err, ErrNotSent, kafka.UnknownTopicOrPartition)
			}
			return err == nil
		})
		if found := values(t, b, topic); found["x"] != 1 {
			t.Errorf("found %v, want x once", found)
		}
		if err := p.WriteMessages(bg, kafka.Message{Topic: "not legal", Value: []byte("x")}); !errors.As(err, &topicErr) {
			t.Errorf("an illegal topic: %v", err)
		}
	})
}

// No topic is created without AllowAutoTopicCreation.
func TestAutoTopicCreation(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := testbroker.TopicName()
		p := newProducer(t, b, Config{Topic: topic})
		mustBe(t, p.Start(bg), kafka.UnknownTopicOrPartition)
		q := newProducer(t, b, Config{Topic: topic, AnyTopic: true, AllowAutoTopicCreation: true})
		start(t, q)
		second := testbroker.TopicName()
		if err := q.WriteMessages(bg, message("x"), kafka.Message{Topic: second, Value: []byte("y")}); err != nil {
			t.Error(err)
		}
		if found := values(t, b, second); found["y"] != 1 {
			t.Errorf("found %v, want y once", found)
		}
	}, kfake.AllowAutoTopicCreation())
}

// A caller that leaves gets its verdicts at once. What is under way may be delivered; what no
// request has carried is withdrawn, and does not come, although its partition goes on (D5).
func TestCallerLeaves(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		type completion struct {
			n   int
			err error
		}
		completions := make(chan completion, 10)
		p := newProducer(t, b, Config{Topic: topic, Completion: func(m []kafka.Message, err error) { completions <- completion{len(m), err} }})
		start(t, p)
		resume := pauseProduce(b)
		reason := errors.New("no more time")
		ctx, cancel := context.WithCancelCause(bg)
		l := newLedger()
		under := async(func() error { return l.write(ctx, t, p, messages("under-way", 2)...) })
		until(t, "the write to be under way", func() bool { return p.Counters().Requests == 1 })
		stays := async(func() error { return l.write(bg, t, p, messages("stays", 2)...) })
		until(t, "the next one to be queued", inFlight(p, 4))
		queued := async(func() error { return l.write(ctx, t, p, messages("queued", 3)...) })
		until(t, "one more to be queued, in the same batch", inFlight(p, 7))
		cancel(reason)
		for class, write := range map[error]<-chan error{ErrMaybeDelivered: under, ErrNotSent: queued} {
			err := get(t, write)
			mustBe(t, err, reason)
			for _, e := range errorsOf(t, err, len(err.(*WriteError).Messages)) {
				if classOf(t, e) != class {
					t.Errorf("%v, want %v", e, class)
				}
			}
		}
		for range 2 { // both calls at once, although the broker has not answered
			switch c := get(t, completions); {
			case c.n == 2 && classOf(t, c.err) == ErrMaybeDelivered:
			case c.n == 3 && classOf(t, c.err) == ErrNotSent:
			default:
				t.Errorf("a completion of %d messages: %v", c.n, c.err)
			}
		}
		if n := p.Status().InFlight; n != 1 || !inFlight(p, 2)() {
			t.Errorf("%d calls in flight, %d messages; want the one that stays", n, undecided(p.Counters()))
		}
		resume()
		if err := get(t, stays); err != nil {
			t.Error(err)
		}
		mustBe(t, p.WriteMessages(ctx, message("x")), reason, ErrNotSent)
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		if c := l.verify(t, b, topic); c.found != 4 {
			t.Errorf("%v; want what was under way, and what stays", c)
		}
	})
}

// The bytes of a message are the caller's when the call returns: a later change is not delivered
// (kafka-go's issue 1427). This holds for a write whose caller left, for a Send, and for messages
// that are sent again.
func TestBytesAreFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		m := func(v string) kafka.Message {
			return kafka.Message{Key: []byte("key"), Value: []byte(v), Headers: []kafka.Header{{Key: "header", Value: []byte("header")}}}
		}
		spoil := func(m kafka.Message) {
			for _, b := range [][]byte{m.Key, m.Value, m.Headers[0].Value} {
				copy(b, "oops, oops, oops")
			}
			m.Headers[0] = kafka.Header{}
		}
		refused := b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotLeaderForPartition, Count: -1})
		left, sent, behind := m("left"), m("sent"), m("behind")
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		err := p.WriteMessages(ctx, left)
		spoil(left)
		if classOf(t, err) != ErrMaybeDelivered || refused.Hits() < 2 {
			t.Fatal(refused.Hits(), err)
		}
		d := send(t, p, sent)
		spoil(sent)
		time.Sleep(time.Second) // it was tried
		e := send(t, p, behind)
		spoil(behind)
		refused.Remove()
		appended := b.AppendThenAnswer(topic, kerr.RequestTimedOut, 1)
		if err := errors.Join(outcome(t, d), outcome(t, e)); err != nil {
			t.Error(err)
		}
		if n := appended.Hits(); n == 0 || p.Totals().Retries < 3 {
			t.Errorf("%d answers were lost, %d retries: the test shows nothing", n, p.Totals().Retries)
		}
		for _, r := range b.Read(t, topic) {
			switch v := string(r.Value); {
			case v != "left" && v != "sent" && v != "behind",
				string(r.Key) != "key", len(r.Headers) != 1, r.Headers[0].Key != "header", string(r.Headers[0].Value) != "header":
				t.Errorf("delivered: %s %s %v", r.Key, v, r.Headers)
			}
		}
		if found := values(t, b, topic); found["sent"] != 1 || found["behind"] != 1 {
			t.Errorf("found %v", found)
		}
	})
}

// Messages are read as they were written: compressed, with headers, keys and times.
func TestMessagesPassUnchanged(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		for _, compression := range []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
			if compression == kafka.Zstd && b.Name == "virtual" {
				continue // its coders have channels and outlive the bubble in global pools
			}
			topic := b.CreateTopic(t, 1)
			p := newProducer(t, b, Config{Topic: topic, Compression: compression})
			start(t, p)
			when := time.UnixMilli(1_700_000_000_123)
			m := kafka.Message{Key: []byte("k"), Value: []byte("v"), Headers: []kafka.Header{{Key: "h", Value: []byte("1")}, {Key: "h", Value: nil}}, Time: when}
			if err := p.WriteMessages(bg, m, kafka.Message{Key: []byte{}, Value: nil}); err != nil {
				t.Fatal(err)
			}
			r := b.Read(t, topic)
			if len(r) != 2 || string(r[0].Key) != "k" || string(r[0].Value) != "v" || !r[0].Timestamp.Equal(when) ||
				len(r[0].Headers) != 2 || string(r[0].Headers[0].Value) != "1" || r[1].Key == nil || r[1].Value != nil {
				t.Errorf("compression %v: read %+v", compression, r)
			}
		}
	})
}

// With no acknowledgement, messages are written all the same if the broker is well.
func TestAcks(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		for _, acks := range []Acks{AcksAll, AcksOne, AcksNone} {
			topic := b.CreateTopic(t, 1)
			p := newProducer(t, b, Config{Topic: topic, Acks: acks})
			start(t, p)
			if err := p.WriteMessages(bg, messages("m", 3)...); err != nil {
				t.Errorf("%v: %v", acks, err)
			}
			if err := p.Ping(bg); err != nil { // another round, so that the broker has surely read the first
				t.Error(err)
			}
			eventually(t, "three messages", func() string {
				if found := values(t, b, topic); len(found) != 3 {
					return fmt.Sprint(acks, found)
				}
				return ""
			})
		}
	})
}

// A message for which the balancer panics, or chooses a partition that is not there, fails at
// once and for good; the others of its call are delivered, and nothing is left of it (R52).
func TestBalancerPanics(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		var completed atomic.Int64
		p := newProducer(t, b, Config{
			Topic: topic,
			Balancer: kafka.BalancerFunc(func(m kafka.Message, partitions ...int) int {
				switch string(m.Value) {
				case "panic":
					panic("boom")
				case "exit":
					runtime.Goexit()
				case "nonsense":
					return 1
				}
				return partitions[0]
			}),
			Completion: func(msgs []kafka.Message, err error) { completed.Add(int64(len(msgs))) },
		})
		start(t, p)
		for _, bad := range []string{"panic", "nonsense"} {
			judge := func(err error) {
				t.Helper()
				for i, err := range errorsOf(t, err, 3) {
					if i != 1 && err != nil {
						t.Errorf("message %d, for which the balancer is fine: %v", i, err)
					} else if i == 1 && (classOf(t, err) != ErrNotSent || Temporary(err)) {
						t.Errorf("%s: %v; want ErrNotSent, and final", bad, err)
					}
				}
				var panicked *fsm.PanicError
				if errors.As(err, &panicked) != (bad == "panic") {
					t.Errorf("%s: %v", bad, err)
				}
			}
			msgs := []kafka.Message{message("fine"), message(bad), message("fine")}
			judge(p.WriteMessages(bg, msgs...))
			d, err := p.Send(bg, msgs...)
			if err != nil {
				t.Fatal(err)
			}
			judge(d.Wait(bg))
			if partition, offset := d.Position(1); partition != -1 || offset != -1 {
				t.Errorf("%s is at %d/%d", bad, partition, offset)
			}
			if d, err := p.Send(bg, message(bad)); d != nil || classOf(t, err) != ErrNotSent {
				t.Errorf("a Send of %s alone: %v", bad, err)
			}
		}
		for _, call := range []func(){ // what ends the caller's goroutine takes nothing with it
			func() { p.WriteMessages(bg, message("exit")) },
			func() { p.Send(bg, message("exit")) },
		} {
			done := make(chan struct{})
			go func() {
				defer close(done)
				call()
			}()
			<-done
		}
		eventually(t, "nothing in flight", func() string {
			if calls, n := p.Status().InFlight, p.InFlightBytes(); calls != 0 || n != 0 {
				return fmt.Sprintf("%d calls and %d bytes", calls, n)
			}
			return ""
		})
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		if found := values(t, b, topic); len(found) != 1 || found["fine"] != 8 || completed.Load() != 8 {
			t.Errorf("the log has %v; Completion has seen %d", found, completed.Load())
		}
	})
}

// A nil context is a mistake that is named, and takes no room.
func TestNilContext(t *testing.T) {
	b := testbroker.Fake(t)
	p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1)})
	start(t, p)
	var none context.Context
	for name, call := range map[string]func(){
		"WriteMessages": func() { p.WriteMessages(none, message("a")) },
		"Send":          func() { p.Send(none, message("a")) },
		"Ping":          func() { p.Ping(none) },
	} {
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); text != "producer: the context is nil" {
					t.Errorf("%s(nil): %s", name, text)
				}
			}()
			call()
		}()
	}
	if n := p.InFlightBytes(); n != 0 {
		t.Errorf("%d bytes are in flight", n)
	}
	if err := p.WriteMessages(bg, message("b")); err != nil {
		t.Error(err)
	}
	if err := p.Stop(bg); err != nil {
		t.Error(err)
	}
}
