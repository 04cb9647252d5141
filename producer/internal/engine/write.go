package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/producer/internal/batch"
	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

// A call is one Write. Its memory is used again.
type call struct {
	sender.Call
	timer   *time.Timer
	extra   int64   // what it takes of the room beside its messages
	next    []int32 // the next message of the call in the same partition; -1: there is none
	parts   []part
	refused int // messages that have no partition: they are in no part
}

// A part is the messages of a call that go to one partition.
type part struct {
	p           *sender.Partition
	first, last int32 // in the call
	n           int
	room        int64        // what they take of it
	number      core.Message // of the first; 0: it was not admitted
	wake        *sender.Sender
}

// keepCall is how large a call may be that is kept for the next one.
const keepCall = 4096

// A WriteError is why messages were not delivered.
type WriteError struct {
	Failures []sender.Failure // one for each message; Verdict 0: delivered
}

// Error says how many failed, and why the first did.
func (e *WriteError) Error() string {
	n, first := 0, sender.Failure{}
	for _, f := range e.Failures {
		if f.Verdict != 0 {
			if n++; n == 1 {
				first = f
			}
		}
	}
	return fmt.Sprintf("%d of %d messages failed: %v: %v", n, len(e.Failures), first.Verdict, first.Cause)
}

// Unwrap returns the causes.
func (e *WriteError) Unwrap() (causes []error) {
	for _, f := range e.Failures {
		if f.Cause != nil {
			causes = append(causes, f.Cause)
		}
	}
	return causes
}

// Write delivers messages and returns when each has its verdict, at the latest when
// DeliveryTimeout has passed since the call began. If ctx ends, messages that no request can have
// carried are withdrawn. The messages' bytes are the caller's again when it returns.
//
// The error is a *WriteError with the verdict of each message, or else why the call was refused as
// a whole: then nothing was admitted.
func (e *Engine) Write(ctx context.Context, began time.Time, msgs ...kafka.Message) error {
	s := e.started.Load()
	if s == nil {
		return fsm.ErrNotStarted
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(msgs) == 0 {
		return nil
	}
	c, ok := e.calls.Get().(*call)
	if !ok {
		c = &call{timer: time.NewTimer(time.Hour)}
		c.timer.Stop()
	}
	defer e.put(c) // also if a balancer panics
	c.expect(e, began, msgs)
	if err := c.route(ctx, s, msgs, began); err != nil {
		return err
	}
	c.admit(s, msgs)

	c.timer.Reset(e.cfg.DeliveryTimeout - time.Since(began))
	select {
	case <-c.Done():
	case <-ctx.Done():
		c.withdraw(context.Cause(ctx))
		<-c.Done()
	case <-c.timer.C:
		c.withdraw(ErrDeadline)
		<-c.Done()
	}
	c.timer.Stop()
	if f := c.Failures(); f != nil {
		return &WriteError{append([]sender.Failure(nil), f...)}
	}
	return nil
}

// expect begins the call.
func (c *call) expect(e *Engine, began time.Time, msgs []kafka.Message) {
	c.Expect(len(msgs))
	c.Began = began.UnixMilli()
	if e.cfg.Completion == nil {
		return
	}
	c.Data = c.Data[:0]
	for i := range msgs {
		c.Data = append(c.Data, msgs[i].WriterData)
	}
}

// A Delivery becomes the outcome of a Send.
type Delivery struct {
	// Ended is called once, with Err, when each message has its verdict, at the latest when
	// DeliveryTimeout has passed since the Send began. It must not block. Set it before the Send.
	Ended func(error)

	c          call
	room       *room
	timer      *time.Timer
	partitions []int32 // of the messages
	one        struct {
		partition [1]int32
		offset    [1]atomic.Int64
		next      [1]int32
		part      [1]part
	}
}

// What a Send takes of the room beside its messages: the Delivery and its timer, and what the
// Delivery has of each message.
const (
	sendSize = 600
	eachSize = 32
)

// Send is Write for a caller that does not wait: it returns when the messages are in the
// queues of their partitions. Until then its context bounds it. The bytes are the caller's
// again when it returns. The error is why the call was refused as a whole; or a *WriteError if
// nothing was admitted: then Ended is not called.
func (e *Engine) Send(ctx context.Context, began time.Time, d *Delivery, msgs ...kafka.Message) error {
	s := e.started.Load()
	if s == nil {
		return fsm.ErrNotStarted
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(msgs) == 0 {
		d.Ended(nil)
		return nil
	}
	c := &d.c
	d.partitions, c.Offsets, c.next = d.one.partition[:], d.one.offset[:], d.one.next[:]
	c.parts = d.one.part[:0]
	if n := len(msgs); n > 1 {
		d.partitions, c.Offsets, c.next = make([]int32, n), make([]atomic.Int64, n), make([]int32, n)
	}
	for i := range msgs {
		d.partitions[i] = -1
		c.Offsets[i].Store(-1)
	}
	c.Finished = d.finish
	c.expect(e, began, msgs)
	d.room, c.extra = &e.room, sendSize+int64(len(msgs))*eachSize
	if err := c.route(ctx, s, msgs, began); err != nil {
		return err
	}
	c.Hold()
	if c.admit(s, msgs) == 0 {
		e.room.charge(nil, -c.extra)
		return &WriteError{c.Failures()}
	}
	for k := range c.parts {
		q := &c.parts[k]
		for i := q.first; i >= 0 && q.number > 0; i = c.next[i] {
			d.partitions[i] = int32(q.p.Number())
		}
	}
	d.timer = time.AfterFunc(e.cfg.DeliveryTimeout-time.Since(began), func() { c.withdraw(ErrDeadline) })
	c.Release()
	return nil
}

func (d *Delivery) finish() {
	d.timer.Stop()
	d.room.charge(nil, -d.c.extra)
	d.c.Data = nil
	var err error
	if f := d.c.Failures(); f != nil {
		err = &WriteError{f}
	}
	d.Ended(err)
}

// Position returns the partition that the i-th message went to, -1 before one was chosen, and its
// offset, -1 until a broker has told it.
func (d *Delivery) Position(i int) (partition int, offset int64) {
	return int(d.partitions[i]), d.c.Offsets[i].Load()
}

func (e *Engine) put(c *call) {
	if cap(c.next) <= keepCall {
		clear(c.Data)
		clear(c.parts)
		c.parts = c.parts[:0]
		e.calls.Put(c)
	}
}

// admit puts the messages into the queues of their partitions. It returns how many.
func (c *call) admit(s *session, msgs []kafka.Message) (admitted int) {
	if c.refused > 0 {
		c.Refused(c.refused)
	}
	now := time.Now()
	for i := range msgs {
		if s.e.unfit(&msgs[i]) != nil {
			c.refuseUnfit(s, msgs)
			break
		}
	}
	for k := range c.parts {
		q := &c.parts[k]
		if q.n == 0 {
			continue
		}
		number, wake, err := q.p.Admit(&c.Call, msgs, c.next, q.first, q.n, now, sizeOf)
		if err != nil { // a stop has begun
			for i := q.first; i >= 0; i = c.next[i] {
				c.Refuse(i, sender.Failure{Verdict: core.NotSent, Cause: ErrStopping})
			}
			s.e.room.charge(q.p, -q.room)
			c.Refused(q.n)
			continue
		}
		q.number, q.wake = number, wake
		admitted += q.n
	}
	for k := range c.parts {
		switch q := &c.parts[k]; {
		case q.wake != nil:
			q.wake.Wake()
		case !q.p.Led():
			s.reuse(q.p.Topic())
		}
	}
	return admitted
}

// unfit is why no batch can hold a message; nil: one can.
func (e *Engine) unfit(m *kafka.Message) error {
	switch {
	case batch.SizeOf(m) > e.cfg.BatchBytes:
		return fmt.Errorf("%w: %w", ErrTooLarge, kafka.MessageTooLargeError{Message: *m})
	case !m.Time.IsZero() && !batch.Storable(m.Time):
		return ErrTime
	}
	return nil
}

// refuseUnfit takes those messages out that no batch can hold.
func (c *call) refuseUnfit(s *session, msgs []kafka.Message) {
	refused := 0
	for k := range c.parts {
		q := &c.parts[k]
		last, first, n, room := int32(-1), int32(-1), 0, q.room
		for i := q.first; i >= 0; {
			next := c.next[i]
			if err := s.e.unfit(&msgs[i]); err != nil {
				c.Refuse(i, sender.Failure{Verdict: core.Rejected, Cause: err})
				refused++
				room -= int64(sizeOf(&msgs[i]))
			} else {
				if last >= 0 {
					c.next[last] = i
				} else {
					first = i
				}
				last = i
				n++
			}
			i = next
		}
		if last >= 0 {
			c.next[last] = -1
		}
		s.e.room.charge(q.p, room-q.room)
		q.first, q.last, q.n, q.room = first, last, n, room
	}
	c.Refused(refused)
}

// withdraw gives the messages their verdicts that have none.
func (c *call) withdraw(cause error) {
	for k := range c.parts {
		if q := &c.parts[k]; q.number > 0 {
			q.p.Withdraw(q.number, q.n, cause)
		}
	}
}
