package producer

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
		if err := p.WriteMessages(bg, m); err != nil {
			t.Error(err)
		}
		if found := values(t, b, topic); found["x"] != 1 {
			t.Errorf("found %v, want x once", found)
		}
		if err := p.WriteMessages(bg, kafka.Message{Topic: "not legal", Value: []byte("x")}); !errors.As(err, &topicErr) {
			t.Errorf("an illegal topic: %v", err)
		}
	})
}

// No topic is created unless that is asked for.
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

// A caller that leaves does not recall its messages: they are delivered later.
func TestCallerLeaves(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		completions := make(chan int, 10)
		p := newProducer(t, b, Config{Topic: topic, Completion: func(m []kafka.Message, err error) { completions <- len(m) }})
		start(t, p)
		resume := pauseProduce(b)
		reason := errors.New("no more time")
		ctx, cancel := context.WithCancelCause(bg)
		write := async(func() error { return p.WriteMessages(ctx, messages("m", 2)...) })
		until(t, "the write to be in flight", func() bool { return p.Status().InFlight == 1 })
		cancel(reason)
		err := get(t, write)
		mustBe(t, err, reason)
		if classOf(t, err) != ErrMaybeDelivered {
			t.Error(err)
		}
		if used := p.InFlightBytes(); used == 0 || p.Status().InFlight != 1 {
			t.Errorf("%d bytes in flight, %d uses; want the abandoned ones to count", used, p.Status().InFlight)
		}
		resume()
		if n := get(t, completions); n != 2 {
			t.Errorf("a completion of %d messages, want 2", n)
		}
		until(t, "the abandoned ones to end", func() bool { return p.Status().InFlight == 0 && p.InFlightBytes() == 0 })
		if found := values(t, b, topic); found["m-0"] != 1 || found["m-1"] != 1 {
			t.Errorf("found %v, want both once", found)
		}
		mustBe(t, p.WriteMessages(ctx, message("x")), reason, ErrNotSent)
	})
}

// The bytes of a message whose caller has left are still in use: what is written
// into them may be what is delivered (kafka-go's issue 1427).
func TestBytesAreInUseUntilTheBatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		resume := pauseProduce(b)
		first := async(func() error { return p.WriteMessages(bg, message("first")) })
		time.Sleep(time.Second) // it is on its way, and the next one is queued behind it
		value := []byte("mine")
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		err := p.WriteMessages(ctx, kafka.Message{Value: value})
		if classOf(t, err) != ErrMaybeDelivered {
			t.Fatal(err)
		}
		copy(value, "oops")
		resume()
		if err := get(t, first); err != nil {
			t.Error(err)
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		if found := values(t, b, topic); found["oops"] != 1 || found["mine"] != 0 {
			t.Errorf("found %v: the documentation says otherwise", found)
		}
	})
}

// Completion is told each batch's result before the write returns, with the
// message as the user made it and where it went.
func TestCompletion(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		var mu sync.Mutex
		var seen []kafka.Message
		var errs []error
		p := newProducer(t, b, Config{Topic: topic, Completion: func(m []kafka.Message, err error) {
			mu.Lock()
			defer mu.Unlock()
			seen, errs = append(seen, m...), append(errs, err)
		}})
		start(t, p)
		if err := p.WriteMessages(bg, kafka.Message{Value: []byte("x"), WriterData: 42}); err != nil {
			t.Fatal(err)
		}
		b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord})
		err := p.WriteMessages(bg, kafka.Message{Value: []byte("y"), WriterData: 43})
		if len(seen) != 2 || seen[0].WriterData != 42 || seen[1].WriterData != 43 || seen[0].Topic != topic || seen[1].Topic != topic {
			t.Errorf("seen %+v", seen)
		}
		if errs[0] != nil || !errors.Is(err, errs[1]) || classOf(t, errs[1]) != ErrRejected {
			t.Errorf("errors %v", errs)
		}
	})
}

// Compressed, with headers, keys and times: what is read is what was written.
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

// Acknowledged by nobody: written all the same, when the broker is well.
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

// A balancer that panics takes nothing with it but the call.
func TestBalancerPanics(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), Balancer: kafka.BalancerFunc(func(m kafka.Message, partitions ...int) int {
			if string(m.Value) == "boom" {
				panic("boom")
			}
			return partitions[0]
		})})
		start(t, p)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			p.WriteMessages(bg, message("fine"), message("boom"))
		}()
		if err := p.WriteMessages(bg, message("fine")); err != nil {
			t.Error(err)
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
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
