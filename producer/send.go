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

// Send admits the messages as WriteMessages does, and returns without waiting for their verdicts.
// The Delivery reports them later. Send blocks until the messages are admitted: while there is no
// room (Config.MaxInFlightBytes), while Config.StartOnWrite starts the producer, and during the
// first use of a topic (Config.AnyTopic). It gives up when ctx ends or the DeliveryTimeout passes.
// After Send has returned, the end of ctx has no effect, and the caller may reuse the bytes of the
// messages.
//
// If Send returns an error, no message was sent, and there is no Delivery. The error is the one
// that WriteMessages would return; each message is ErrNotSent or ErrRejected. Otherwise every
// message gets its verdict within the DeliveryTimeout, or by the end of an earlier Stop, Shutdown
// or Close. These wait for the admitted messages, even if the program drops the Delivery (G9), and
// count the messages that they cut off.
//
// If one Send returns before another is called, the messages of the first are admitted to a
// partition before those of the second (D4).
//
// Without messages, Send returns the same error as WriteMessages without messages, or a Delivery
// that is done. Config.Completion must not call Send: it could wait for room that only the return
// of Completion frees.
func (p *Producer) Send(ctx context.Context, msgs ...kafka.Message) (*Delivery, error) {
	ctx = guarded(ctx)
	if len(msgs) == 0 {
		if err := p.admitNothing(ctx); err != nil {
			return nil, err
		}
		return &Delivery{p: p, ended: true}, nil
	}
	leave, err := p.within.balancing(p.cfg.Balancer)
	if err != nil {
		return nil, failed(ErrNotSent, err)
	}
	defer leave()
	began := time.Now()
	lease, err := p.admit(ctx, began, msgs)
	if err != nil {
		return nil, err
	}
	d := &Delivery{p: p, lease: lease.Move()}
	d.sent.Ended = d.end
	defer func() { // also if a balancer calls runtime.Goexit
		if !d.sent.Admitted {
			d.lease.Release()
		}
	}()
	if err := p.engine.Send(ctx, began, &d.sent, msgs...); err != nil {
		return nil, p.asWriteError(err)
	}
	return d, nil
}

// A Delivery reports the verdicts of the messages of one Send. Its methods may be called
// concurrently. The program may drop it: the messages are sent all the same.
type Delivery struct {
	p     *Producer
	lease fsm.Lease[*session]
	sent  engine.Delivery

	mu    sync.Mutex
	done  chan struct{} // made by the first Done
	ended bool
	err   error
}

// closed is the channel of Deliveries that ended before Done was called.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Format prints whether the Delivery is done, and its error, for every verb. The fields change
// concurrently, so fmt must not print them.
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

// Done returns a channel that is closed when every message has its verdict. Config.Completion has
// then returned for these messages, unless the DeliveryTimeout has passed.
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

// Err returns nil while Done is open, and if every message was delivered. Otherwise it returns the
// *WriteError that WriteMessages would have returned. It does not change after Done is closed.
func (d *Delivery) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// Wait waits for Done and returns Err. If ctx ends first, it returns the cause of ctx. That says
// nothing about the messages: their delivery continues, and Wait may be called again.
func (d *Delivery) Wait(ctx context.Context) error {
	ctx = guarded(ctx)
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

// Position returns the partition and the offset of the i-th message of the Send, counted from 0.
// The offset is -1 until the message is acknowledged, and always with AcksNone.
func (d *Delivery) Position(i int) (partition int, offset int64) { return d.sent.Position(i) }

// end receives the outcome when each message has its verdict.
func (d *Delivery) end(err error) {
	if err != nil {
		err = d.p.asWriteError(err)
	}
	d.mu.Lock()
	d.err, d.ended = err, true
	if d.done != nil {
		close(d.done)
	}
	d.mu.Unlock()
	d.lease.Release()
}
