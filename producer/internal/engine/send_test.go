package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Position is the partition as soon as Send has returned, and the offset as soon as the
// message was delivered: it is in the log there.
func TestPosition(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 3)
		cfg := config(b, topic)
		cfg.BatchBytes = 1000
		e := start(t, cfg)
		deliver(t, e, 7, 2, 1) // the offsets do not begin at 0
		for _, n := range []int{1, 2, 40} {
			msgs := make([]kafka.Message, n)
			for i := range msgs {
				msgs[i] = kafka.Message{Key: fmt.Append(nil, i), Value: fmt.Append(nil, n, "/", i)}
			}
			if n > 2 {
				msgs[n/2].Value = make([]byte, cfg.BatchBytes)
			}
			d, err := send(t.Context(), e, msgs...)
			if err != nil {
				t.Fatal(err)
			}
			for i := range msgs {
				of := (*e.topics.Load())[topic]
				want, _ := e.balance(of, len(of.all()), &msgs[i])
				if n > 2 && i == n/2 {
					want = -1 // it was not admitted
				}
				if p, _ := d.Position(i); p != want {
					t.Errorf("message %d of %d went to partition %d, want %d", i, n, p, want)
				}
			}
			<-d.done
			log := make(map[[2]int64]string)
			for _, r := range b.Read(t, topic) {
				log[[2]int64{int64(r.Partition), r.Offset}] = string(r.Value)
			}
			for i := range msgs {
				p, offset := d.Position(i)
				if n > 2 && i == n/2 {
					if offset != -1 || verdicts(t, d.err)[i] != core.Rejected {
						t.Errorf("a message that is too large is at offset %d: %v", offset, d.err)
					}
				} else if log[[2]int64{int64(p), offset}] != string(msgs[i].Value) {
					t.Errorf("message %d of %d is not at %d/%d", i, n, p, offset)
				}
			}
		}
	})
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		e := start(t, config(b, "t"))
		hung := b.Hang(kmsg.Produce)
		d, err := send(t.Context(), e, message("x"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if p, offset := d.Position(0); p != 0 || offset != -1 {
			t.Errorf("without an answer it is at %d/%d", p, offset)
		}
		hung.Set(false)
		<-d.done
		if p, offset := d.Position(0); d.err != nil || p != 0 || offset != 0 {
			t.Errorf("it is at %d/%d: %v", p, offset, d.err)
		}
	}, kfake.SeedTopics(1, "t"))
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.Mode, cfg.Acks = core.Unanswered, 0
		e := start(t, cfg)
		for range 2 {
			d, err := send(t.Context(), e, message("x"))
			if err != nil {
				t.Fatal(err)
			}
			<-d.done
			if p, offset := d.Position(0); d.err != nil || p != 0 || offset != -1 {
				t.Errorf("without acknowledgements it is at %d/%d: %v", p, offset, d.err)
			}
		}
		time.Sleep(time.Second) // the broker has read it
	}, kfake.SeedTopics(1, "t"))
}

// A Send that admits nothing returns the verdicts, or why it is refused as a whole, and Ended
// is not called; one that admits something returns nil.
func TestSendThatAdmitsNothing(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.BatchBytes = 1000
		cfg.Completion = nil
		e := New(cfg)
		large := kafka.Message{Value: make([]byte, cfg.BatchBytes)}
		never := func(what string, ctx context.Context, msgs ...kafka.Message) error {
			d, err := send(ctx, e, msgs...)
			time.Sleep(time.Minute)
			if d.ended() {
				t.Errorf("%s: Ended is called", what)
			}
			return err
		}
		if err := never("not started", t.Context(), message("x")); err != fsm.ErrNotStarted {
			t.Errorf("before Start: %v", err)
		}
		if err := e.Start(t.Context(), ignore); err != nil {
			t.Fatal(err)
		}
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		if err := never("ended", ctx, message("x")); err != cause {
			t.Errorf("with a context that has ended: %v", err)
		}
		for n := 1; n < 4; n++ {
			var msgs []kafka.Message
			for range n {
				msgs = append(msgs, large)
			}
			err := never("too large", t.Context(), msgs...)
			for i, v := range verdicts(t, err) {
				if v != core.Rejected || !errors.Is(err, errTooLarge) {
					t.Errorf("message %d of %d that are too large: %v", i, n, err)
				}
			}
		}
		if n := e.InFlight(); n != 0 {
			t.Errorf("%d bytes are in flight", n)
		}
		for range 2 {
			d, err := send(t.Context(), e, large, message("x"), large)
			if err != nil {
				t.Fatal(err)
			}
			<-d.done
			if v := verdicts(t, d.err); v[0] != core.Rejected || v[1] != 0 || v[2] != core.Rejected {
				t.Errorf("the verdicts are %v", v)
			}
		}
		d, err := send(t.Context(), e)
		if err != nil {
			t.Error(err)
		}
		if <-d.done; d.err != nil {
			t.Errorf("a Send of nothing: %v", d.err)
		}
		if err := e.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if err := never("stopped", t.Context(), message("x")); err != fsm.ErrNotStarted {
			t.Errorf("after Stop: %v", err)
		}
		if n := e.Counters().Admitted.Load(); n != 2 {
			t.Errorf("%d messages were admitted", n)
		}
		leavesNothing(t, e)
	}, kfake.SeedTopics(1, "t"))
}
