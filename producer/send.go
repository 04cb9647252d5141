package producer

import (
	"context"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// Send is WriteMessages that does not wait for the results: it returns as soon as
// the messages are on their way, and the Delivery tells later what became of them.
// It blocks like WriteMessages until they are let in: while there is no room
// (Config.MaxInFlightBytes), while Config.StartOnWrite starts the producer, and
// while a topic is proved on its first use (Config.AnyTopic); until ctx ends or
// the DeliveryTimeout has passed. Once Send has returned, ctx is of no concern.
//
// If it returns an error there is no Delivery and nothing was sent: the error is
// what WriteMessages would return, each message ErrNotSent or ErrRejected. Else
// every message gets its result within the DeliveryTimeout of the call, or by the
// end of the Stop, Shutdown or Close that comes first: those drain what was
// accepted, whether or not anybody holds the Delivery (G9), and count what they
// had to cut off.
//
// Of messages that go to the same partition, those of one Send are sent before
// those of a Send that was called after it had returned. The bytes of a message
// must not be changed until it has its result (after a DeliveryTimeout: until
// Config.Completion has seen it, or the producer has stopped).
//
// Config.Completion must not call Send: it would hold up the partition that may
// have to make room.
func (p *Producer) Send(ctx context.Context, msgs ...kafka.Message) (*Delivery, error) {
	called := time.Now()
	lease, bytes, _, err := p.admit(ctx, msgs)
	if err != nil {
		return nil, err
	}
	s := lease.Resource()
	d := new(Delivery)
	c := &d.call
	c.s, c.lease, c.bytes, c.sent = s, lease.Move(), bytes, d
	if len(msgs) == 1 {
		c.slots = d.one[:]
	}
	if !c.submit(ctx, msgs) {
		if err := d.Err(); err != nil {
			return nil, err
		}
		return d, nil // there was no message
	}
	s.overdue.add(d, called.Add(s.cfg.DeliveryTimeout))
	return d, nil
}

// A Delivery is what becomes of the messages of one Send. Its methods may be
// called concurrently. It may be dropped: the messages are sent all the same.
type Delivery struct {
	call call
	one  [1]slot // of a Send of one message
	due  deadline

	mu    sync.Mutex
	done  chan struct{} // made by whoever asks for it
	ended bool
	err   error
}

// closed is the channel of those that ended before anybody asked.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Done returns a channel that is closed when every message has its result, which
// is after Config.Completion has seen it.
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
// 0, and its offset there. The partition is -1 if none was chosen. The offset is
// -1 until the message was acknowledged; with AcksNone it is never known.
func (d *Delivery) Position(i int) (partition int, offset int64) {
	s := &d.call.slots[i]
	if !s.has.Load() {
		return s.partition, -1
	}
	return s.partition, s.offset
}

// settled is told when the last message has its result. If it was in time that is
// the Delivery's too.
func (d *Delivery) settled(inTime bool) {
	c := &d.call
	c.s.overdue.remove(d)
	c.s = nil // who keeps the Delivery keeps no session
	for i := range c.slots {
		c.slots[i].call, c.slots[i].data = nil, nil
	}
	if !inTime {
		return
	}
	var err error
	if c.failed.Load() {
		err = c.writeError(nil)
	}
	d.end(err)
}

// expire ends a Delivery that has no result in time. As with a WriteMessages whose
// caller has left, the call lives on until its last message has its result.
func (d *Delivery) expire() {
	err := d.call.writeError(failed(ErrMaybeDelivered, errDeliveryTimeout))
	if d.call.state.CompareAndSwap(waiting, abandoned) {
		d.end(err)
	}
}

func (d *Delivery) end(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err, d.ended = err, true
	if d.done != nil {
		close(d.done)
	}
}
