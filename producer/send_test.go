package producer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
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

func send(t testing.TB, p *Producer, msgs ...kafka.Message) *Delivery {
	t.Helper()
	d, err := p.Send(bg, msgs...)
	if err != nil {
		t.Fatalf("Send: %v", err)
	}
	return d
}

// outcome waits for what became of a Delivery.
func outcome(t testing.TB, d *Delivery) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(bg, hang)
	defer cancel()
	err := d.Wait(ctx)
	select {
	case <-d.Done():
	default:
		t.Fatalf("no result within %v", hang)
	}
	if again := d.Err(); again != err {
		t.Errorf("Err is %v, Wait was %v", again, err)
	}
	return err
}

// A Delivery says when the messages are there, and where.
func TestSend(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 3)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		type place struct {
			partition int
			offset    int64
		}
		said := make(map[string]place)
		for i, n := range []int{1, 1, 1, 7, 600} {
			msgs := messages(fmt.Sprint(i), n)
			d := send(t, p, msgs...)
			if err := outcome(t, d); err != nil {
				t.Fatal(err)
			}
			for j, m := range msgs {
				partition, offset := d.Position(j)
				said[string(m.Value)] = place{partition, offset}
			}
			if msgs[0].WriterData != nil || msgs[0].Topic != "" {
				t.Errorf("the caller's message was changed: %+v", msgs[0])
			}
		}
		records := b.Read(t, topic)
		for _, r := range records {
			if got, want := said[string(r.Value)], (place{int(r.Partition), r.Offset}); got != want {
				t.Errorf("%s: said to be at %+v, found at %+v", r.Value, got, want)
			}
		}
		if len(records) != 610 {
			t.Errorf("%d found, want 610", len(records))
		}
		if d := send(t, p); outcome(t, d) != nil {
			t.Error("a Send of no message failed")
		}
		if n := p.InFlightBytes(); n != 0 {
			t.Errorf("%d bytes still count as in flight", n)
		}
		t.Logf("CHECKED producer-send positions=%d", len(said))
	})
}

// A message that is not accepted is reported at once, as by WriteMessages.
func TestSendNotAccepted(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), BatchBytes: 1000})
		refused := func(ctx context.Context, class error, why error, msgs ...kafka.Message) {
			t.Helper()
			d, err := p.Send(ctx, msgs...)
			if d != nil || err == nil {
				t.Fatalf("it was accepted (%v)", err)
			}
			if classOf(t, err) != class {
				t.Errorf("%v, want %v", err, class)
			}
			mustBe(t, err, why)
		}
		refused(bg, ErrNotSent, ErrNotStarted, message("x"))
		start(t, p)
		ended, cancel := context.WithCancelCause(bg)
		cancel(io.ErrNoProgress)
		refused(ended, ErrNotSent, io.ErrNoProgress, message("x"))
		refused(bg, ErrNotSent, errUndeclared, kafka.Message{Topic: "elsewhere"})
		big := message(strings.Repeat("x", 2000))
		refused(bg, ErrRejected, kafka.MessageSizeTooLarge, big)
		refused(bg, ErrRejected, kafka.MessageSizeTooLarge, big, big)

		// One of several is rejected alone.
		d := send(t, p, message("a"), big, message("b"))
		err := outcome(t, d)
		var each kafka.WriteErrors
		if !errors.As(err, &each) || each[0] != nil || classOf(t, each[1]) != ErrRejected || each[2] != nil {
			t.Errorf("want the second alone to be rejected: %v", err)
		}
		if partition, offset := d.Position(1); partition != -1 || offset != -1 {
			t.Errorf("the rejected one is said to be at %d, %d", partition, offset)
		}
		if partition, offset := d.Position(2); partition != 0 || offset != 1 {
			t.Errorf("the last one is said to be at %d, %d; want 0, 1", partition, offset)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		refused(bg, ErrNotSent, io.ErrClosedPipe, message("x"))
		refused(bg, ErrNotSent, ErrClosed, message("x"))
	})
}

// A Stop drains what was accepted, although the test keeps no Delivery (G9).
func TestStopDrainsSends(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 3)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		resume := pauseProduce(b)
		const n = 2000
		for i := range n {
			send(t, p, message(fmt.Sprint(i)))
		}
		stop := async(func() error { return p.Stop(bg) })
		until(t, "the stop to wait", func() bool { return p.State() == fsm.Stopping })
		_, err := p.Send(bg, message("late"))
		mustBe(t, err, ErrNotStarted, ErrNotSent)
		resume()
		if err := get(t, stop); err != nil {
			t.Errorf("Stop: %v", err)
		}
		found := values(t, b, topic)
		for i := range n {
			if found[fmt.Sprint(i)] != 1 {
				t.Errorf("%d was found %d times", i, found[fmt.Sprint(i)])
			}
		}
		if len(found) != n {
			t.Errorf("%d found, want %d", len(found), n)
		}
		nothingLeft(t, b, p)
	})
}

// A forced stop counts what it cuts off, and each Delivery has its verdict.
func TestStopCutsOffSends(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		if err := outcome(t, send(t, p, message("before"))); err != nil {
			t.Fatal(err)
		}
		hung := b.Hang(kmsg.Produce)
		sent := send(t, p, messages("sent", 3)...)
		until(t, "the first batch to be at the broker", func() bool { return hung.Hits() == 1 })
		queued := make([]*Delivery, 50)
		for i := range queued {
			queued[i] = send(t, p, message(fmt.Sprintf("queued-%d", i)))
		}
		ctx, cancel := context.WithTimeout(bg, 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		err := p.Stop(ctx)
		took := time.Since(began)
		var stopErr *StopError
		if !errors.As(err, &stopErr) || stopErr.Messages != 53 || stopErr.Maybe != 3 || stopErr.NotSent != 50 {
			t.Errorf("Stop: %v, want a StopError of 53 messages", err)
		}
		if b.Name == "virtual" && took > 150*time.Millisecond {
			t.Errorf("Stop took %v, want at most 50 ms after its context", took)
		}
		if err := outcome(t, sent); classOf(t, err) != ErrMaybeDelivered {
			t.Errorf("what was sent: %v", err)
		}
		for _, d := range queued {
			if err := outcome(t, d); classOf(t, err) != ErrNotSent {
				t.Errorf("what was queued: %v", err)
			}
		}
		nothingLeft(t, b, p)
		hung.Set(false)
		start(t, p)
		if err := outcome(t, send(t, p, message("after"))); err != nil {
			t.Error(err)
		}
		found := values(t, b, topic)
		if found["before"] != 1 || found["after"] != 1 || found["queued-0"] != 0 {
			t.Errorf("found %v", found)
		}
	})
}

// What one goroutine sends with a key stays in order, although it waits for
// nothing, also when the broker refuses and cuts. Many goroutines at once.
func TestSendsOfAKeyStayInOrder(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 4)
		p := newProducer(t, b, Config{Topic: topic, BatchSize: 16, MaxInFlightBytes: 100_000})
		start(t, p)
		var n atomic.Int32
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			return nil, io.EOF, n.Add(1)%5 == 0
		})
		b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotLeaderForPartition, Count: 5})
		const senders, each = 8, 300
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				key := fmt.Appendf(nil, "key-%d", s)
				var all []*Delivery
				for i := range each {
					d, err := p.Send(bg, kafka.Message{Key: key, Value: fmt.Append(nil, i)})
					if err != nil {
						t.Error(err)
						return
					}
					all = append(all, d)
				}
				for _, d := range all {
					if err := outcome(t, d); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		next := make(map[string]int)
		for _, r := range b.Read(t, topic) {
			if want := fmt.Sprint(next[string(r.Key)]); string(r.Value) != want {
				t.Fatalf("%s: %s, want %s", r.Key, r.Value, want)
			}
			next[string(r.Key)]++
		}
		for key, n := range next {
			if n != each {
				t.Errorf("%s: %d found, want %d", key, n, each)
			}
		}
		t.Logf("CHECKED producer-send in-order=%d cuts=%d retries=%d", senders*each, n.Load()/5, p.Totals().Retries)
	})
}

// Every Delivery ends by the DeliveryTimeout, to the instant, however many are queued (D6). What
// no request has carried is withdrawn, and does not come when the broker answers again (D5).
func TestSendDeliveryTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 2)
		p := newProducer(t, b, Config{Topic: topic, BatchSize: 2, WriteTimeout: time.Hour})
		start(t, p)
		hung := b.Hang(kmsg.Produce)
		l := newLedger()
		var wg sync.WaitGroup
		for i := range 100 {
			at := time.Now()
			l.send(bg, t, p, &wg, message(fmt.Sprint(i)))
			wg.Go(func() { // a Delivery that takes longer than the timeout is an error of send
				time.Sleep(30*time.Second - time.Millisecond)
				if l.has(fmt.Sprint(i)) {
					t.Errorf("Delivery %d ended after less than %v", i, time.Since(at))
				}
			})
			time.Sleep(100 * time.Millisecond)
		}
		stays := async(func() error { time.Sleep(25 * time.Second); return l.write(bg, t, p, message("stays")) })
		wg.Wait()
		for v, err := range l.told {
			if class := classOf(t, err); class != ErrNotSent && class != ErrMaybeDelivered {
				t.Errorf("%s: %v", v, err)
			}
			mustBe(t, err, context.DeadlineExceeded)
		}
		if used := p.InFlightBytes(); used == 0 || used > 1000 {
			t.Errorf("%d bytes count as in flight; want those of the one that waits, and what a broker has", used)
		}
		hung.Set(false)
		b.Net.Cut() // what was under way is lost
		if err := get(t, stays); err != nil {
			t.Error(err)
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		nothingLeft(t, b, p)
		c := l.verify(t, b, topic)
		if c.maybe == 0 || c.notSent < 90 || c.acked != 1 {
			t.Errorf("%v: the test shows less than it says", c)
		}
		t.Logf("CHECKED producer-send overdue=100 withdrawn=%d", c.notSent)
	})
}

// A holder that leaves says nothing about the messages, and may come back.
func TestDeliveryHolderLeaves(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		resume := pauseProduce(b)
		reason := errors.New("no more time")
		ctx, cancel := context.WithCancelCause(bg)
		d, err := p.Send(ctx, message("x"))
		if err != nil {
			t.Fatal(err)
		}
		waiters := make([]<-chan error, 4)
		for i := range waiters {
			waiters[i] = async(func() error { return d.Wait(ctx) })
		}
		patient := async(func() error { return d.Wait(bg) })
		cancel(reason)
		for _, w := range waiters {
			mustBe(t, get(t, w), reason)
		}
		if err := d.Err(); err != nil {
			t.Errorf("Err of one that is on its way: %v", err)
		}
		resume()
		if err := get(t, patient); err != nil {
			t.Error(err)
		}
		if err := d.Wait(ctx); err != nil { // it has ended; so has ctx
			t.Error(err)
		}
		if found := values(t, b, topic); found["x"] != 1 {
			t.Errorf("found %v", found)
		}
	})
}

// With AcksNone there is a result, and no offset.
func TestSendAcksNone(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), Acks: AcksNone})
		start(t, p)
		d := send(t, p, message("x"))
		if err := outcome(t, d); err != nil {
			t.Error(err)
		}
		if partition, offset := d.Position(0); partition != 0 || offset != -1 {
			t.Errorf("said to be at %d, %d; want 0, -1", partition, offset)
		}
	})
}
