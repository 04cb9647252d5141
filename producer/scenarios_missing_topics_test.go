package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
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

// kafka-go 963, xk6-kafka 202: a missing topic floods the cluster with questions. However many write to
// it, there is one, and the next only after 100 ms, doubling to 5 s.
func TestR49MissingTopicIsOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.SeedTopics(1, "there"))
		p := newProducer(t, b, Config{Topic: "there", AnyTopic: true})
		start(t, p)
		q := watchQuestions(b)
		const callers = 200
		missing := kafka.Message{Topic: "missing", Value: []byte("x")}
		writeAll := func() {
			var wg sync.WaitGroup
			for i := range callers {
				wg.Go(func() {
					var err error
					if i%2 == 0 {
						err = p.WriteMessages(bg, missing)
					} else {
						_, err = p.Send(bg, missing)
					}
					mustBe(t, err, ErrNotSent, kafka.UnknownTopicOrPartition)
				})
			}
			wg.Wait()
		}
		writeAll()
		if n := len(q.at); n != 1 {
			t.Errorf("%d questions for %d writes at once, want 1", n, callers)
		}
		for range 1000 { // half a minute
			time.Sleep(30 * time.Millisecond)
			mustBe(t, p.WriteMessages(bg, missing), kafka.UnknownTopicOrPartition)
		}
		asked := q.about("missing")
		for i, want := 1, 100*time.Millisecond; i < len(asked); i, want = i+1, min(2*want, 5*time.Second) {
			if after := asked[i].Sub(asked[i-1]); after < want || after > want+50*time.Millisecond {
				t.Errorf("question %d came after %v, want %v", i, after, want)
			}
		}
		if len(asked) < 10 || len(q.at) != len(asked) {
			t.Errorf("%d questions, %d of them for the topic", len(q.at), len(asked))
		}
		time.Sleep(5 * time.Second)
		before := len(q.at)
		writeAll() // together, once more
		if n := len(q.at) - before; n != 1 {
			t.Errorf("%d questions for %d writes when it is asked for again, want 1", n, callers)
		}
		b.CreateTopicNamed(t, "missing", 1)
		time.Sleep(5 * time.Second)
		if err := p.WriteMessages(bg, missing); err != nil {
			t.Error(err)
		}
	})
}

// Requests for metadata name only the declared topics and those that were written to in the last
// five minutes, whether they exist or not.
func TestR49OnlyTopicsInUseAreAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.SeedTopics(1, "declared", "used", "left"))
		p := newProducer(t, b, Config{Topic: "declared", AnyTopic: true, Logger: slog.New(slog.DiscardHandler)})
		start(t, p)
		q := watchQuestions(b)
		write := func(topic string) error { return p.WriteMessages(bg, kafka.Message{Topic: topic, Value: []byte("x")}) }
		for round := range 2 {
			began := time.Now()
			mustBe(t, write("missing"), kafka.UnknownTopicOrPartition)
			if err := write("left"); err != nil {
				t.Error(err)
			}
			for time.Since(began) < 20*time.Minute {
				if err := write("used"); err != nil {
					t.Error(err)
				}
				time.Sleep(10 * time.Second)
				if err := p.Ping(bg); err != nil { // asks for metadata
					t.Error(err)
				}
			}
			for _, topic := range []string{"left", "missing"} {
				asked := q.about(topic)
				if last := asked[len(asked)-1].Sub(began); last > 5*time.Minute || last < 4*time.Minute {
					t.Errorf("round %d: %s was asked for last %v after it was used", round, topic, last)
				}
			}
			for _, topic := range []string{"declared", "used"} {
				asked := q.about(topic)
				if last := time.Since(asked[len(asked)-1]); last > 20*time.Second {
					t.Errorf("round %d: %s was asked for last %v ago", round, topic, last)
				}
			}
		}
		if found := len(b.Read(t, "left")); found != 2 {
			t.Errorf("%d messages found", found)
		}
	})
}

// One bad topic fails its own messages only, of the same call and of others.
func TestR49OneBadTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.SeedTopics(2, "good", "new", "forbidden"))
		b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "forbidden", Err: kerr.TopicAuthorizationFailed, Count: -1})
		l := newLedger()
		p := newProducer(t, b, Config{Topic: "good", AnyTopic: true, Completion: l.completion()})
		start(t, p)
		var wg sync.WaitGroup
		good := 0
		for i := range 10 {
			var msgs []kafka.Message
			for k, topic := range []string{"missing", "good", "forbidden", "new", "missing", "good"} {
				msgs = append(msgs, kafka.Message{Topic: topic, Value: fmt.Appendf(nil, "%s-%d-%d", topic, i, k)})
			}
			good += 3
			if i%2 == 0 {
				wg.Go(func() { l.write(bg, t, p, msgs...) })
			} else {
				l.send(bg, t, p, &wg, msgs...)
			}
			if err := l.write(bg, t, p, message(fmt.Sprint("alone-", i))); err != nil {
				t.Error(err)
			}
		}
		wg.Wait()
		for v, err := range l.told {
			var topic *TopicError
			switch errors.As(err, &topic); v[:4] {
			case "miss":
				mustBe(t, err, ErrNotSent, kafka.UnknownTopicOrPartition)
			case "forb":
				mustBe(t, err, ErrNotSent, kafka.TopicAuthorizationFailed)
			default:
				if err != nil {
					t.Errorf("%s: %v", v, err)
				}
				continue
			}
			if topic == nil || topic.Topic != v[:len(topic.Topic)] {
				t.Errorf("%s: %v does not name its topic", v, err)
			}
		}
		mustBe(t, p.WriteMessages(bg, kafka.Message{Topic: "missing"}, kafka.Message{Topic: "forbidden"}),
			ErrNotSent, kafka.UnknownTopicOrPartition, kafka.TopicAuthorizationFailed)
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		if c := l.verify(t, b, "good", "new"); c.acked != good+10 || c.notSent != good {
			t.Errorf("%v", c)
		}
	})
}

// The same while the producer asks for the creation of missing topics, and the cluster creates none: a
// call waits for all of them together. The metadata do not say that they will never exist.
func TestR49ManyMissingTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.SeedTopics(2, "good"))
		p := newProducer(t, b, Config{AnyTopic: true, AllowAutoTopicCreation: true})
		start(t, p)
		var msgs []kafka.Message
		for i := range 100 {
			msgs = append(msgs, kafka.Message{Topic: fmt.Sprint("missing", i)})
		}
		msgs = append(msgs, kafka.Message{Topic: "good"})
		began := time.Now()
		err := p.WriteMessages(bg, msgs...)
		var each *WriteError
		if took := time.Since(began); !errors.As(err, &each) || took > 8*time.Second {
			t.Fatalf("after %v: %v", took, err)
		}
		for i, err := range each.Messages[:100] {
			mustBe(t, err, ErrNotSent, kafka.UnknownTopicOrPartition)
			if !strings.Contains(err.Error(), msgs[i].Topic) {
				t.Errorf("%s: %v does not name its topic", msgs[i].Topic, err)
			}
		}
		if err := each.Messages[100]; err != nil {
			t.Error(err)
		}
	})
}

// The messages of a Send for a new topic may need the whole room: they wait until its other messages have
// their verdicts.
func TestR49NewTopicNeedsTheRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.SeedTopics(1, "good", "unused"))
		p := newProducer(t, b, Config{Topic: "good", AnyTopic: true, MaxInFlightBytes: 10_000})
		start(t, p)
		began := time.Now()
		d := send(t, p, kafka.Message{Topic: "good", Value: []byte("x")}, kafka.Message{Topic: "unused", Value: make([]byte, 9_900)})
		if err := outcome(t, d); err != nil || time.Since(began) > time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if n := p.InFlightBytes(); n != 0 {
			t.Errorf("%d bytes count as in flight", n)
		}
	})
}

// Of two new topics, the missing one fails its own messages only, also if the caller's time ends
// meanwhile.
func TestR49MissingTopicAmongNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.SeedTopics(1, "good", "unused"))
		p := newProducer(t, b, Config{Topic: "good", AnyTopic: true, AllowAutoTopicCreation: true})
		start(t, p)
		for _, topics := range [][]string{{"missing", "unused"}, {"good", "missing", "unused"}} {
			ctx, cancel := context.WithTimeout(bg, time.Second)
			defer cancel()
			var msgs []kafka.Message
			for _, topic := range topics {
				msgs = append(msgs, kafka.Message{Topic: topic, Value: []byte("x")})
			}
			d, err := p.Send(ctx, msgs...)
			if err != nil {
				t.Fatal(err)
			}
			var each *WriteError
			if err := outcome(t, d); !errors.As(err, &each) {
				t.Fatalf("%v; want a WriteError", err)
			}
			for i, topic := range topics {
				switch err := each.Messages[i]; {
				case topic != "missing":
					if err != nil {
						t.Errorf("%s of %v: %v", topic, topics, err)
					}
				default:
					mustBe(t, err, ErrNotSent, context.DeadlineExceeded)
				}
			}
			time.Sleep(6 * time.Minute) // they are forgotten
		}
	})
}

// A topic that is not known yet delays no message of a topic that is. When the call ends first, by its
// context or its deadline, only the messages of the unknown topic fail.
func TestR49UnknownTopicDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.SeedTopics(2, "good"))
		l := newLedger()
		p := newProducer(t, b, Config{Topic: "good", AnyTopic: true, AllowAutoTopicCreation: true, DeliveryTimeout: 3 * time.Second, Completion: l.completion()})
		start(t, p)
		good := 0
		for i := range 20 {
			var msgs []kafka.Message
			for k, topic := range []string{"good", "missing", "good", "other", "missing", "good"} {
				msgs = append(msgs, kafka.Message{Topic: topic, Key: []byte{byte(k)}, Value: fmt.Appendf(nil, "%d-%d-%s", i, k, topic)})
			}
			ctx, cancel := context.WithCancelCause(bg)
			var ends error = context.DeadlineExceeded
			if i%4 > 1 {
				ends = errors.New("the caller has left")
				time.AfterFunc(time.Second, func() { cancel(ends) })
			}
			var each *WriteError
			began := time.Now()
			write := async(func() error {
				if i%2 == 0 {
					return l.write(ctx, t, p, msgs...)
				}
				var wg sync.WaitGroup
				l.send(ctx, t, p, &wg, msgs...)
				wg.Wait()
				return nil
			})
			time.Sleep(10 * time.Millisecond)
			if good += 3; p.Counters().Delivered != int64(good) {
				t.Errorf("write %d: %d messages are delivered at once, want %d", i, p.Counters().Delivered, good)
			}
			err := get(t, write)
			if took := time.Since(began); took > 3050*time.Millisecond || i%4 > 1 && took > 1050*time.Millisecond {
				t.Errorf("write %d took %v", i, took)
			}
			for k, m := range msgs {
				err := l.told[string(m.Value)]
				if m.Topic == "good" {
					if err != nil {
						t.Errorf("message %d: %v", k, err)
					}
					continue
				}
				mustBe(t, err, ErrNotSent, ends)
			}
			if i%2 == 0 && (!errors.As(err, &each) || each.Messages.Count() != 3) {
				t.Errorf("%v; want three failed messages", err)
			}
			cancel(nil)
			time.Sleep(6 * time.Minute) // what is missing is forgotten
			if err := l.write(bg, t, p, message(fmt.Sprint("alone-", i))); err != nil {
				t.Error(err)
			}
			good++
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		if c := l.verify(t, b, "good"); c.acked != good || c.notSent != 60 {
			t.Errorf("%v", c)
		}
	})
}

// The producer forgets the sequence numbers of a topic without writes. The next write begins an
// epoch that the partition has not used, because a batch at sequence 0 of an old one would look
// like a duplicate, and be acknowledged and lost. This holds also while an earlier request may
// still be on its way.
func TestR49FreedCoresLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.SeedTopics(2, "declared", "left", "other"))
		l := newLedger()
		p := newProducer(t, b, Config{Topic: "declared", AnyTopic: true, DeliveryTimeout: time.Minute, Logger: slog.New(slog.DiscardHandler)})
		start(t, p)
		for round := range 5 {
			write := func(ctx context.Context, topic string, n int) error {
				msgs := make([]kafka.Message, n)
				for i := range msgs {
					msgs[i] = kafka.Message{Topic: topic, Key: []byte("k"), Value: fmt.Appendf(nil, "%s-%d-%d-%d", topic, round, p.Counters().Admitted, i)}
				}
				return l.write(ctx, t, p, msgs...)
			}
			for range 3 { // batches; a broker takes one for a duplicate if it is like one of the last five
				if err := write(bg, "left", 1); err != nil {
					t.Error(err)
				}
			}
			if round%2 == 1 { // it ends in doubt, and is there
				fault := b.AppendThenAnswer("left", kerr.RequestTimedOut, -1)
				ctx, cancel := context.WithTimeout(bg, time.Second)
				mustBe(t, write(ctx, "left", 1), ErrMaybeDelivered)
				cancel()
				fault.Remove()
			}
			for range 20 {
				time.Sleep(time.Minute)
				if err := write(bg, "other", 1); err != nil {
					t.Error(err)
				}
			}
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		if c := l.verify(t, b, "left", "other"); c.acked != 5*23 || c.maybe != 2 {
			t.Errorf("%v", c)
		}
		epochs := make(map[int16]bool)
		for _, r := range b.Read(t, "left") {
			epochs[r.ProducerEpoch] = true
		}
		if len(epochs) < 5 {
			t.Errorf("%d epochs: nothing was forgotten, and the test shows nothing", len(epochs))
		}
	})
}
