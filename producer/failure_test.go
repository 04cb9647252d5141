package producer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// What a broker answers is found by errors.Is through every wrapper, and decides
// the class; what it answers as temporary is tried again first.
func TestBrokerErrors(t *testing.T) {
	for _, c := range []struct {
		answer    *kerr.Error
		code      kafka.Error
		class     error
		temporary bool
	}{
		{kerr.MessageTooLarge, kafka.MessageSizeTooLarge, ErrRejected, false},
		{kerr.TopicAuthorizationFailed, kafka.TopicAuthorizationFailed, ErrRejected, false},
		{kerr.InvalidRecord, kafka.Error(87), ErrRejected, false},
		{kerr.NotEnoughReplicas, kafka.NotEnoughReplicas, ErrRejected, true},
		{kerr.NotLeaderForPartition, kafka.NotLeaderForPartition, ErrRejected, true},
		{kerr.NotEnoughReplicasAfterAppend, kafka.NotEnoughReplicasAfterAppend, ErrMaybeDelivered, true},
		{kerr.RequestTimedOut, kafka.RequestTimedOut, ErrMaybeDelivered, true},
		{kerr.UnknownServerError, kafka.Unknown, ErrMaybeDelivered, false},
	} {
		t.Run(c.answer.Message, func(t *testing.T) {
			testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
				p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), MaxAttempts: 3})
				start(t, p)
				fault := b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: c.answer, Count: -1})
				err := p.WriteMessages(bg, messages("m", 2)...)
				mustBe(t, err, c.code)
				var werr kafka.WriteErrors
				if !errors.As(err, &werr) || len(werr) != 2 || werr.Count() != 2 {
					t.Fatalf("no kafka.WriteErrors of two in %v", err)
				}
				for _, e := range werr {
					if class := classOf(t, e); class != c.class {
						t.Errorf("%v, want %v", e, c.class)
					}
					mustBe(t, e, c.code)
				}
				want := 1
				if c.temporary {
					want = 3
				}
				if n := fault.Hits(); n != want {
					t.Errorf("%d attempts, want %d", n, want)
				}
				// Temporary trouble that ends is not noticed.
				fault.Remove()
				b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: c.answer, Count: 2})
				if err := p.WriteMessages(bg, message("again")); (err == nil) != c.temporary {
					t.Errorf("two such answers, then good ones: %v", err)
				}
			})
		})
	}
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
		if err := p.WriteMessages(bg, message(strings.Repeat("x", 1001))); classOf(t, err) != ErrRejected {
			t.Error(err)
		}
		if found := values(t, b, topic); len(found) != 2 {
			t.Errorf("%d messages found, want 2", len(found))
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

// DeliveryTimeout bounds a write from call to result; what never left is ErrNotSent.
func TestDeliveryTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		var down atomic.Bool
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), Dial: refusing(b, &down)})
		start(t, p)
		hung := b.Hang(kmsg.Produce)
		began := time.Now()
		err := p.WriteMessages(bg, message("x"))
		if took := time.Since(began); took < 25*time.Second || took > 30*time.Second {
			t.Errorf("the write took %v, want about the DeliveryTimeout, at most", took)
		}
		if classOf(t, err) != ErrMaybeDelivered || hung.Hits() < 3 {
			t.Errorf("a broker that hangs (%d requests): %v", hung.Hits(), err)
		}
		mustBe(t, err, context.DeadlineExceeded)

		// The hung connections have been given up; now nobody can be reached.
		hung.Set(false)
		down.Store(true)
		began = time.Now()
		err = p.WriteMessages(bg, message("y"))
		if took := time.Since(began); took < 25*time.Second || took > 30*time.Second {
			t.Errorf("the write took %v, want about the DeliveryTimeout, at most", took)
		}
		if classOf(t, err) != ErrNotSent {
			t.Errorf("nobody reached: %v", err)
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

// An attempt that was given up before it was encoded is never sent: that is what
// ErrNotSent rests on. One that was begun is waited for until it is encoded.
func TestGivenUpAttemptIsNeverSent(t *testing.T) {
	g := &guard{RecordReader: protocol.NewRecordReader(protocol.Record{})}
	if !g.revoke() {
		t.Fatal("nothing was encoded")
	}
	if _, err := g.ReadRecord(); !errors.Is(err, errRevoked) {
		t.Errorf("the encoder got %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		g := &guard{RecordReader: protocol.NewRecordReader(protocol.Record{})}
		if _, err := g.ReadRecord(); err != nil {
			t.Fatal(err)
		}
		revoking := async(g.revoke)
		time.Sleep(5 * time.Millisecond)
		select {
		case <-revoking:
			t.Error("the encoder was not waited for")
		default:
		}
		if _, err := g.ReadRecord(); !errors.Is(err, io.EOF) {
			t.Errorf("the encoder got %v", err)
		}
		if get(t, revoking) {
			t.Error("it was encoded, and may have been sent")
		}
	})
}
