package sender

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/core"
)

// The error of a message has the cause, the error of the last attempt of its batch, and why there is no
// further attempt now.
func TestBecause(t *testing.T) {
	down := errors.New("no route")
	for _, c := range []struct {
		name   string
		change func(p *Partition)
		want   string
		is     error
	}{
		{"nothing is known", func(*Partition) {}, "left", nil},
		{"attempts failed", func(p *Partition) { p.cause, p.attempts = kafka.NotEnoughReplicas, 2 },
			"left (2 attempts): " + kafka.NotEnoughReplicas.Error(), kafka.NotEnoughReplicas},
		{"the batch was taken apart", func(p *Partition) { p.cause = kafka.MessageSizeTooLarge },
			"left: " + kafka.MessageSizeTooLarge.Error(), kafka.MessageSizeTooLarge},
		{"the batch is in the queue again", func(p *Partition) {
			p.core = recorded{core.New(core.Acknowledged, nil), p} // it is in the queue
			p.cause, p.attempts, p.again = kafka.OutOfOrderSequenceNumber, 1, true
		}, "left (1 attempts): " + kafka.OutOfOrderSequenceNumber.Error(), kafka.OutOfOrderSequenceNumber},
		{"there is no batch", func(p *Partition) {
			p.core = recorded{core.New(core.Acknowledged, nil), p}
			p.cause, p.attempts = kafka.NotEnoughReplicas, 2 // of the last one
		}, "left", nil},
		{"there is no leader", func(p *Partition) { p.sender = nil }, "left: " + kafka.LeaderNotAvailable.Error(), kafka.LeaderNotAvailable},
		{"there is no connection", func(p *Partition) { p.sender.down.Store(&down) }, "left: broker 7: no route", down},
		{"Completion hangs", func(p *Partition) { p.sender.completing.Store(true) }, "left: broker 7: Completion has not returned", nil},
		{"the broker throttles", func(p *Partition) { p.sender.b.throttle(3 * time.Second) },
			"left: broker 7 wants no request for another 3s, because of a quota", nil},
		{"attempts failed, and there is no leader", func(p *Partition) { p.cause, p.attempts, p.sender = kafka.NotEnoughReplicas, 2, nil },
			"left (2 attempts): " + kafka.NotEnoughReplicas.Error() + ": " + kafka.LeaderNotAvailable.Error(), kafka.NotEnoughReplicas},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := &Config{Mode: core.Acknowledged, Counters: new(Counters)}
				p := NewPartition(cfg, "t", 0)
				p.sender = &Sender{b: &Broker{cfg: cfg, id: 7}}
				if _, err := p.core.Admit(1); err != nil {
					t.Fatal(err)
				}
				if _, err := p.core.Take(1); err != nil {
					t.Fatal(err)
				}
				c.change(p)
				cause := errors.New("left")
				err := p.Because(cause)
				if err.Error() != c.want || !errors.Is(err, cause) || c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("%q, want %q", err, c.want)
				}
			})
		})
	}
}
