package producer

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/producer/internal/engine"
)

// Send is WriteMessages that does not wait for the verdicts: it returns as soon as
// the messages are in the queues of their partitions, and the Delivery tells later what became
// of them. It blocks like WriteMessages until they are let in: while there is no room
// (Config.MaxInFlightBytes), while Config.StartOnWrite starts the producer, and
// while a topic is used for the first time (Config.AnyTopic); until ctx ends or
// the DeliveryTimeout has passed. Once Send has returned, ctx is of no concern, and the bytes of
// the messages are the caller's again.
//
// If it returns an error there is no Delivery and nothing was sent: the error is
// what WriteMessages would return, each message ErrNotSent or ErrRejected. Else
// every message gets its verdict within the DeliveryTimeout of the call, or by the
// end of the Stop, Shutdown or Close that comes first: those drain what was
// admitted, whether or not anybody holds the Delivery (G9), and count what they
// had to cut off.
//
// Of messages that go to the same partition, those of one Send are admitted before
// those of a Send that was called after it had returned (D4).
//
// Without messages it is WriteMessages without any, and the Delivery is done.
//
// Config.Completion must not call Send: it would hold up what may have to make room.
func (p *Producer) Send(ctx context.Context, msgs ...kafka.Message) (*Delivery, error) {
	if len(msgs) == 0 {
		if err := p.admitNothing(ctx); err != nil {
			return nil, err
		}
		return &Delivery{p: p, ended: true}, nil
	}
	began := time.Now()
	lease, err := p.admit(ctx, began, msgs)
	if err != nil {
		return nil, err
	}
	d := &Delivery{p: p, lease: lease.Move()}
	d.sent.Ended = d.end
	admitted := false
	defer func() { // also if a balancer ends the goroutine
		if !admitted {
			d.lease.Release()
		}
	}()
	if err := p.engine.Send(ctx, began, &d.sent, msgs...); err != nil {
		return nil, p.told(err)
	}
	admitted = true
	return d, nil
}

// A Delivery is what becomes of the messages of one Send. Its methods may be
// called concurrently. It may be dropped: the messages are sent all the same.
type Delivery struct {
	p     *Producer
	lease fsm.Lease[*session]
	sent  engine.Delivery

	mu    sync.Mutex
	done  chan struct{} // made by whoever asks for it
	ended bool
	err   error
}

// closed is the channel of those that ended before anybody asked.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Format prints whether it is done, and with which error, for every verb: what is inside
// changes meanwhile, and is not to be printed.
func (d *Delivery) Format(f fmt.State, _ rune) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !d.ended:
		io.WriteString(f, "delivery under way")
	case d.err != nil:
		io.WriteString(f, "delivery: "+d.err.Error())
	default:
		io.WriteString(f, "delivered")
	}
}

// Done returns a channel that is closed when every message has its verdict, which
// is after Config.Completion has seen it, unless the DeliveryTimeout has passed.
func (d *Delivery) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done == nil {
		if d.ended {
			return closed
		}
		d.done = make(chan struct{})
	}
	return d.done
}

// Err returns nil while Done is open and if every message was delivered. Else it
// is the *WriteError that WriteMessages would have returned, and stays the same.
func (d *Delivery) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// Wait waits for Done and returns Err. If ctx ends first it returns the cause of
// ctx, which says nothing about the messages: they are still on their way, and
// Wait may be called again.
func (d *Delivery) Wait(ctx context.Context) error {
	done := d.Done()
	select {
	case <-done:
		return d.Err() // also if ctx has ended
	default:
	}
	select {
	case <-done:
		return d.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Position returns the partition that the i-th message of the Send went to, from
// 0, and its offset there. The offset is -1 until the message was acknowledged; with AcksNone it
// is never known.
func (d *Delivery) Position(i int) (partition int, offset int64) { return d.sent.Position(i) }

// end is told when each message has its verdict.
func (d *Delivery) end(err error) {
	if err != nil {
		err = d.p.told(err)
	}
	d.mu.Lock()
	d.err, d.ended = err, true
	if d.done != nil {
		close(d.done)
	}
	d.mu.Unlock()
	d.lease.Release()
}
