package producer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// For every error code that a broker can answer to a produce request: errors.Is finds it through
// every wrapper, for each message. Core's table of codes decides the class, and whether the batch
// is sent again; Temporary agrees. Messages are sent alone if one of them may be at fault.
func TestBrokerErrors(t *testing.T) {
	// What each kind of answer leads to, for two messages and three attempts.
	kinds := map[core.Answer]struct {
		class     error
		attempts  int
		temporary bool
		passes    bool // two such answers and then good ones are not noticed
	}{
		core.Ok:       {nil, 1, false, true},
		core.Unsure:   {ErrMaybeDelivered, 3, true, true},
		core.Final:    {ErrMaybeDelivered, 1, false, false}, // Temporary: as kafka-go says
		core.Retry:    {ErrRejected, 3, true, true},
		core.Refused:  {ErrRejected, 1, false, false},
		core.Large:    {ErrRejected, 3, false, false}, // each of the two alone, too
		core.Invalid:  {ErrRejected, 3, false, false},
		core.Sequence: {ErrNotSent, 3, true, true}, // it goes back into the queue, for another epoch
	}
	codes, seen := 0, make(map[core.Answer]int)
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		p := newProducer(t, b, Config{
			Topic: b.CreateTopic(t, 1), MaxAttempts: 3, Linger: time.Microsecond, Logger: slog.New(slog.DiscardHandler),
		})
		start(t, p)
		for n := int16(-1); n < 1000; n++ {
			answer := kerr.TypedErrorForCode(n)
			if answer == nil || answer.Code != n {
				continue
			}
			code := kafka.Error(n)
			want := kinds[core.AnswerOf(code)]
			if core.AnswerOf(code) == core.Final {
				want.temporary = code.Temporary() || code == kafka.ConcurrentTransactions // which kafka-go takes for final
			}
			codes++
			seen[core.AnswerOf(code)]++
			fault := b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: answer, Count: -1})
			err := p.WriteMessages(bg, messages("m", 2)...)
			if n := fault.Hits(); n != want.attempts {
				t.Errorf("%s: %d attempts, want %d", answer.Message, n, want.attempts)
			}
			if want.class == nil {
				if err != nil {
					t.Errorf("%s: %v, want delivered", answer.Message, err)
				}
			} else {
				mustBe(t, err, code)
				var werr kafka.WriteErrors
				if !errors.As(err, &werr) || len(werr) != 2 || werr.Count() != 2 {
					t.Fatalf("%s: no kafka.WriteErrors of two in %v", answer.Message, err)
				}
				for _, e := range werr {
					if got := classOf(t, e); got != want.class {
						t.Errorf("%s: %v, want %v", answer.Message, e, want.class)
					}
					mustBe(t, e, code)
					if Temporary(e) != want.temporary {
						t.Errorf("%s: Temporary is %v", answer.Message, Temporary(e))
					}
				}
				if Temporary(err) != want.temporary {
					t.Errorf("%s: Temporary is %v of the whole", answer.Message, Temporary(err))
				}
			}
			fault.Remove()
			fault = b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: answer, Count: 2})
			if err := p.WriteMessages(bg, message("again")); (err == nil) != want.passes {
				t.Errorf("%s: two such answers, then good ones: %v", answer.Message, err)
			}
			fault.Remove()
		}
	})
	if codes < 100 || len(seen) != len(kinds) {
		t.Errorf("%d codes of %d kinds: the test shows little", codes, len(seen))
	}
	for _, row := range core.Codes() { // 0 is no error
		if row.Code != 0 && kerr.TypedErrorForCode(int16(row.Code)) == nil {
			t.Errorf("%v is in the table, and was not tried", row.Code)
		}
	}
	t.Logf("CHECKED producer-errors codes=%d tried-again=%d in-parts=%d", codes,
		seen[core.Unsure]+seen[core.Retry]+seen[core.Sequence], seen[core.Large]+seen[core.Invalid])
}

// Temporary and final, of what does not come from a broker's answer.
func TestTemporary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		var down atomic.Bool
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), BatchBytes: 1000, Dial: refusing(b, &down)})
		check := func(what string, err error, want bool) {
			t.Helper()
			if err == nil || Temporary(err) != want {
				t.Errorf("%s: Temporary is %v of %v", what, Temporary(err), err)
			}
		}
		write := func(msgs ...kafka.Message) error { return p.WriteMessages(bg, msgs...) }
		check("not started", write(message("x")), true)
		down.Store(true)
		check("a start that reaches no broker", p.Start(bg), true)
		down.Store(false)
		start(t, p)
		ended, cancel := context.WithCancel(bg)
		cancel()
		check("a context that has ended", p.WriteMessages(ended, message("x")), true)
		check("undeclared", write(kafka.Message{Topic: "elsewhere"}), false)
		large := message(strings.Repeat("x", 2000))
		check("too large", write(large), false)
		check("one too large", write(message("x"), large), false)
		b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
		err := write(message("x"), large)
		check("one too large, one without replicas", err, false)
		var each kafka.WriteErrors
		if errors.As(err, &each) {
			check("of them, the one without replicas", each[0], true)
			check("of them, the one too large", each[1], false)
		}
		unknown := newProducer(t, b, Config{Topics: []string{"absent"}})
		check("a start without its topic", unknown.Start(bg), true) // it may be created
		p.Close()
		check("closed", write(message("x")), false)
		check("closed", p.Start(bg), false)
		if Temporary(nil) {
			t.Error("no error is no temporary one")
		}

		// One final error among several is enough, in any order.
		absent, denied := &TopicError{Topic: "absent", Err: kafka.UnknownTopicOrPartition}, &TopicError{Topic: "denied", Err: kafka.TopicAuthorizationFailed}
		header := tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}
		check("two that may pass", errors.Join(absent, kafka.LeaderNotAvailable), true)
		for _, final := range []error{denied, x509.UnknownAuthorityError{}, header, &fsm.PanicError{Value: "boom"}} {
			check("one final, then one that may pass", &fsm.StartError{Err: errors.Join(final, absent)}, false)
			check("one that may pass, then one final", &fsm.StartError{Err: errors.Join(absent, final)}, false)
		}
	})
}

// One message too large is rejected alone; the rest are sent.
func TestMessageTooLarge(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic, BatchBytes: 1000})
		start(t, p)
		err := p.WriteMessages(bg, message("small"), message(strings.Repeat("x", 1001)), message("also small"))
		var werr kafka.WriteErrors
		if !errors.As(err, &werr) || werr[0] != nil || werr[1] == nil || werr[2] != nil {
			t.Fatalf("want the second to fail, alone: %v", err)
		}
		if classOf(t, werr[1]) != ErrRejected {
			t.Error(werr[1])
		}
		mustBe(t, err, kafka.MessageSizeTooLarge)
		var tooLarge kafka.MessageTooLargeError
		if !errors.As(err, &tooLarge) || len(tooLarge.Message.Value) != 1001 {
			t.Errorf("no kafka.MessageTooLargeError in %v", err)
		}
		if text := werr[1].Error(); strings.Count(text, kafka.MessageSizeTooLarge.Error()) != 1 {
			t.Errorf("want the reason once: %s", text)
		}
		if err := p.WriteMessages(bg, message(strings.Repeat("x", 1001))); classOf(t, err) != ErrRejected {
			t.Error(err)
		}
		if found := values(t, b, topic); len(found) != 2 {
			t.Errorf("%d messages found, want 2", len(found))
		}
	})
}

// A message that no batch can hold takes no room: it fails at once while everything else waits, and
// nothing waits for it.
func TestMessageTooLargeTakesNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), BatchBytes: 1000, MaxInFlightBytes: 1000})
		start(t, p)
		resume := pauseProduce(b)
		under := async(func() error { return p.WriteMessages(bg, message("under way")) })
		until(t, "one to be in flight", inFlight(p, 1))
		large := strings.Repeat("x", 2000)
		began := time.Now()
		if err := p.WriteMessages(bg, message(large)); classOf(t, err) != ErrRejected {
			t.Errorf("WriteMessages: %v", err)
		}
		if _, err := p.Send(bg, message(large), message(large)); classOf(t, err) != ErrRejected {
			t.Errorf("Send: %v", err)
		}
		d, err := p.Send(bg, message(large), message("beside it"))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("they took %v", took)
		}
		resume()
		if err := get(t, under); err != nil {
			t.Error(err)
		}
		var each *WriteError
		if err := d.Wait(bg); !errors.As(err, &each) || !errors.Is(each.Messages[0], ErrRejected) || each.Messages[1] != nil {
			t.Errorf("the two messages: %v", err)
		}
		synctest.Wait() // messages give their bytes back shortly after their verdict
		if n := p.InFlightBytes(); n != 0 {
			t.Errorf("%d bytes are in flight at the end", n)
		}
	})
}

// A broker that ends the connection at a request with several full batches, because its
// socket.request.max.bytes is small, gets each batch in a request of its own.
func TestBrokerThatTakesSmallRequestsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 30)
		var refused atomic.Int32
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			size := 0
			for _, rt := range req.(*kmsg.ProduceRequest).Topics {
				for _, rp := range rt.Partitions {
					size += len(rp.Records)
				}
			}
			if size <= 1<<20 {
				return nil, nil, false
			}
			refused.Add(1)
			return nil, io.EOF, true
		})
		p := newProducer(t, b, Config{Topic: topic, Balancer: new(kafka.RoundRobin), Logger: slog.New(slog.DiscardHandler)})
		start(t, p)
		began := time.Now()
		var msgs []kafka.Message
		for i := range 30 {
			msgs = append(msgs, message(fmt.Sprint(i, strings.Repeat("x", 900_000))))
		}
		if err := p.WriteMessages(bg, msgs...); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 500*time.Millisecond || refused.Load() == 0 {
			t.Errorf("it took %v, and %d requests were too large", took, refused.Load())
		}
		if found := values(t, b, topic); len(found) != 30 {
			t.Errorf("%d messages found, want 30", len(found))
		}
	})
}

// A broker that takes no request as large as the smallest that the producer can make: the error names
// the field of Config to change.
func TestBrokerThatTakesNoSuchRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			return nil, io.EOF, true
		})
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), DeliveryTimeout: 2 * time.Second, Logger: slog.New(slog.DiscardHandler)})
		start(t, p)
		err := p.WriteMessages(bg, message(strings.Repeat("x", 100_000)))
		mustBe(t, err, ErrMaybeDelivered, io.ErrUnexpectedEOF)
		if text := fmt.Sprint(err); !strings.Contains(text, "Config.BatchBytes") || strings.Contains(text, "Config.SASL") {
			t.Errorf("the error is %v", err)
		}
	})
}

// A connection that is cut in the middle of a produce: the batch is sent again,
// and the caller notices nothing.
func TestConnectionCutMidProduce(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		var cuts atomic.Int32
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			return nil, io.EOF, cuts.Add(1) <= 3 // closes the connection
		})
		if err := p.WriteMessages(bg, message("x")); err != nil {
			t.Fatal(err)
		}
		if n := cuts.Load(); n != 4 {
			t.Errorf("%d attempts, want 4", n)
		}
		if s := p.Totals(); s.Retries != 3 || s.Errors != 3 {
			t.Errorf("%d retries, %d errors; want 3 and 3", s.Retries, s.Errors)
		}
		if found := values(t, b, topic); found["x"] != 1 {
			t.Errorf("found %v, want x once", found)
		}
	})
}

// The order within a partition survives retries, also with many batches queued.
func TestOrderSurvivesRetries(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic, BatchSize: 5})
		start(t, p)
		var n atomic.Int32
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			return nil, io.EOF, n.Add(1)%3 != 0
		})
		if err := p.WriteMessages(bg, messages("m", 100)...); err != nil {
			t.Fatal(err)
		}
		for i, r := range b.Read(t, topic) {
			if want := fmt.Sprintf("m-%d", i); string(r.Value) != want {
				t.Fatalf("record %d is %s, want %s", i, r.Value, want)
			}
		}
	})
}

// DeliveryTimeout bounds a write from call to verdict, to the instant (D6); what never left is
// ErrNotSent.
func TestDeliveryTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		var down atomic.Bool
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), Dial: refusing(b, &down)})
		start(t, p)
		hung := b.Hang(kmsg.Produce)
		began := time.Now()
		err := p.WriteMessages(bg, message("x"))
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("the write took %v, want the DeliveryTimeout", took)
		}
		if classOf(t, err) != ErrMaybeDelivered || hung.Hits() < 3 {
			t.Errorf("a broker that hangs (%d requests): %v", hung.Hits(), err)
		}
		mustBe(t, err, context.DeadlineExceeded)

		hung.Set(false)
		down.Store(true)
		b.Net.Cut() // now no broker can be reached
		began = time.Now()
		err = p.WriteMessages(bg, message("y"))
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("the write took %v, want the DeliveryTimeout", took)
		}
		if classOf(t, err) != ErrNotSent {
			t.Errorf("no broker reached: %v", err)
		}
		mustBe(t, err, errRefused)
		down.Store(false)
		if err := p.WriteMessages(bg, message("z")); err != nil {
			t.Error(err)
		}
	})
}

var errRefused = errors.New("connection refused")

// refusing dials b unless it is down.
func refusing(b *testbroker.Broker, down *atomic.Bool) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if down.Load() {
			return nil, errRefused
		}
		return b.Dial(ctx, network, address)
	}
}
