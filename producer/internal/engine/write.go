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

// A call is one Write. Its memory is reused.
type call struct {
	sender.Call
	timer   *time.Timer
	extra   int64   // the room that it takes in addition to its messages
	next    []int32 // the next message of the call in the same partition; -1: there is none
	parts   []part
	refused int // messages that were refused: they are in no part
	// admitted is how many parts were admitted.
	admitted int
	late     []int32         // the messages for routeLate
	unknown  map[string]bool // their topics
}

// A part is the messages of a call for one partition.
type part struct {
	p           *sender.Partition
	first, last int32 // in the call
	n           int
	room        int64        // the bytes that they take of the room
	number      core.Message // of the first; 0: it was not admitted
	wake        *sender.Sender
}

// keepCall limits the calls that are kept for reuse.
const keepCall = 4096

// A WriteError is why messages were not delivered.
type WriteError struct {
	Failures []sender.Failure // one for each message; Verdict 0: delivered
}

// Error says how many messages failed, and why the first did.
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

// Write delivers messages. It returns when each has its verdict, within DeliveryTimeout since
// began. If ctx ends, it withdraws the messages that no request can have appended. The caller may
// reuse the bytes of the messages afterwards.
//
// The error is a *WriteError with the verdict of each message, or the reason why the whole call was
// refused and nothing was admitted.
func (e *Engine) Write(ctx context.Context, began time.Time, msgs ...kafka.Message) error {
	s := e.started.Load()
	if s == nil {
		return fsm.ErrNotStarted
	}
	if cause := Ended(ctx); cause != nil {
		return cause
	}
	if len(msgs) == 0 {
		return nil
	}
	c, ok := e.calls.Get().(*call)
	if !ok {
		c = &call{timer: time.NewTimer(time.Hour)}
		c.timer.Stop()
	}
	// If a balancer or a method of ctx panics or exits, c does not return to the pool: its messages
	// may be under way, and another call must not use it.
	c.expect(e, began, msgs)
	if err := c.route(ctx, s, msgs, began); err != nil {
		e.put(c)
		return err
	}
	returned := false
	defer func() {
		if !returned { // a balancer or a method of ctx has ended the goroutine, or panicked
			c.withdraw(errCaller)
		}
	}()
	c.admit(s, msgs)
	if c.late != nil {
		c.routeLate(ctx, s, msgs, began)
		c.admit(s, msgs)
	}

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
	var err error
	if f := c.Failures(); f != nil {
		err = &WriteError{append([]sender.Failure(nil), f...)}
	}
	returned = true
	e.put(c)
	return err
}

// Ended returns why ctx has ended, nil if it has not. The methods of ctx are foreign: two calls of
// Err may differ.
func Ended(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// expect begins the call.
func (c *call) expect(e *Engine, began time.Time, msgs []kafka.Message) {
	c.Completer = e.common.Completer
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

// A Delivery receives the outcome of a Send.
type Delivery struct {
	// Ended is called once, with the error, when each message has its verdict, within
	// DeliveryTimeout since the Send began. It must not block. Set it before the Send.
	Ended func(error)
	// Admitted reports, after the Send, whether it has admitted a message: then Ended is called.
	Admitted bool

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

// The room that a Send takes in addition to its messages: for the Delivery and its timer, and for
// the Delivery's data of each message.
const (
	sendSize = 600
	eachSize = 32
)

// Send is Write for a caller that does not wait. It returns when the messages are in the queues of
// their partitions; until then ctx bounds it. The caller may reuse the bytes of the messages
// afterwards. The error is the reason why the whole call was refused, or a *WriteError if nothing
// was admitted. Ended is not called then.
func (e *Engine) Send(ctx context.Context, began time.Time, d *Delivery, msgs ...kafka.Message) error {
	s := e.started.Load()
	if s == nil {
		return fsm.ErrNotStarted
	}
	if cause := Ended(ctx); cause != nil {
		return cause
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
	d.Admitted = c.admit(s, msgs) > 0
	if c.late != nil {
		d.sendLate(ctx, s, msgs, began)
	}
	if !d.Admitted {
		e.room.charge(nil, -c.extra)
		return &WriteError{c.Failures()}
	}
	d.begin(e, began)
	return nil
}

// sendLate sends the late messages.
func (d *Delivery) sendLate(ctx context.Context, s *session, msgs []kafka.Message, began time.Time) {
	routed := false
	defer func() {
		if !routed { // a balancer has ended the goroutine, or a method of ctx has panicked
			d.c.refuseLate(errCaller)
		}
		d.Admitted = d.c.admit(s, msgs) > 0 || d.Admitted
		switch {
		case routed:
		case d.Admitted:
			d.begin(s.e, began)
		default:
			s.e.room.charge(nil, -d.c.extra)
		}
	}()
	d.c.routeLate(ctx, s, msgs, began)
	routed = true
}

// begin lets the Delivery end.
func (d *Delivery) begin(e *Engine, began time.Time) {
	c := &d.c
	for k := range c.parts {
		q := &c.parts[k]
		for i := q.first; i >= 0 && q.number > 0; i = c.next[i] {
			d.partitions[i] = int32(q.p.Number())
		}
	}
	d.timer = time.AfterFunc(e.cfg.DeliveryTimeout-time.Since(began), func() { c.withdraw(ErrDeadline) })
	c.Release()
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

// Position returns the partition of the i-th message, -1 before one is chosen, and its offset, -1
// until a broker reports it.
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

// admit puts the messages of the parts that are not admitted yet into the queues of their
// partitions. It returns how many.
func (c *call) admit(s *session, msgs []kafka.Message) (admitted int) {
	if c.refused > 0 {
		c.Refused(c.refused)
		c.refused = 0
	}
	now := time.Now()
	parts := c.parts[c.admitted:]
	c.admitted = len(c.parts)
	for k := range parts {
		q := &parts[k]
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
	for k := range parts {
		switch q := &parts[k]; {
		case q.wake != nil:
			q.wake.Wake()
		case !q.p.Led():
			s.reuse(q.p.Topic())
		}
	}
	return admitted
}

// unfit is why no batch can hold a message; nil if one can.
func (e *Engine) unfit(m *kafka.Message) error {
	switch {
	case batch.SizeOf(m) > e.cfg.BatchBytes:
		return fmt.Errorf("%w: %w", errTooLarge, kafka.MessageTooLargeError{Message: *m})
	case !m.Time.IsZero() && !batch.Storable(m.Time):
		return errTime
	}
	return nil
}

// withdraw gives verdicts to the messages without one, and makes the call wait no longer for
// completions.
func (c *call) withdraw(cause error) {
	c.Leave()
	for k := range c.parts {
		if q := &c.parts[k]; q.number > 0 {
			q.p.Withdraw(q.number, q.n, cause)
		}
	}
}
