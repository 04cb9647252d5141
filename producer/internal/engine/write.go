package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/producer/internal/batch"
	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

// A call is one Write. Its memory is used again.
type call struct {
	sender.Call
	timer *time.Timer
	next  []int32 // the next message of the call in the same partition; -1: there is none
	parts []part
}

// A part is the messages of a call that go to one partition.
type part struct {
	p           *sender.Partition
	first, last int32 // in the call
	n           int
	number      core.Message // of the first; 0: it was not admitted
	wake        *sender.Sender
}

// keepCall is how large a call may be that is kept for the next one.
const keepCall = 4096

// A WriteError is why messages of a Write were not delivered.
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
	seen := make(map[error]bool)
	for _, f := range e.Failures {
		if f.Cause != nil && !seen[f.Cause] {
			seen[f.Cause] = true
			causes = append(causes, f.Cause)
		}
	}
	return causes
}

// Write delivers messages and returns when each has its verdict, at the latest when
// DeliveryTimeout has passed since the call. If ctx ends, messages that no request can have
// carried are withdrawn. The messages' bytes are the caller's again when it returns.
//
// The error is a *WriteError with the verdict of each message. All of them are NotSent if
// the call is refused as a whole.
func (e *Engine) Write(ctx context.Context, msgs ...kafka.Message) error {
	if len(msgs) == 0 {
		return nil
	}
	began := time.Now()
	s := e.started.Load()
	if s == nil {
		return refused(len(msgs), ErrNotStarted)
	}
	if ctx.Err() != nil {
		return refused(len(msgs), context.Cause(ctx))
	}
	c, ok := e.calls.Get().(*call)
	if !ok {
		c = &call{timer: time.NewTimer(time.Hour)}
		c.timer.Stop()
	}
	c.expect(e, msgs)
	if err := c.route(ctx, s, msgs, began); err != nil {
		e.put(c)
		return refused(len(msgs), err)
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
	var err error
	if f := c.Failures(); f != nil {
		err = &WriteError{append([]sender.Failure(nil), f...)}
	}
	e.put(c)
	return err
}

// expect begins the call.
func (c *call) expect(e *Engine, msgs []kafka.Message) {
	c.Expect(len(msgs))
	if e.cfg.Completion == nil {
		return
	}
	c.Data = c.Data[:0]
	for i := range msgs {
		c.Data = append(c.Data, msgs[i].WriterData)
	}
}

// A Delivery is the outcome of a Send, once Done is closed.
type Delivery struct {
	c     call
	timer *time.Timer
	done  chan struct{}
	err   error
}

// Done is closed when each message has its verdict, at the latest when DeliveryTimeout has
// passed since the Send.
func (d *Delivery) Done() <-chan struct{} { return d.done }

// Err is a *WriteError if a message was not delivered. It may be called when Done is closed.
func (d *Delivery) Err() error { return d.err }

// Send is Write for a caller that does not wait: it returns when the messages are in the
// queues of their partitions. Until then its context bounds it. The bytes are the caller's
// again when it returns. The error is that of a call that is refused as a whole.
func (e *Engine) Send(ctx context.Context, msgs ...kafka.Message) (*Delivery, error) {
	began := time.Now()
	s := e.started.Load()
	if s == nil {
		return nil, refused(len(msgs), ErrNotStarted)
	}
	d := &Delivery{done: make(chan struct{})}
	if len(msgs) == 0 {
		close(d.done)
		return d, nil
	}
	c := &d.c
	c.expect(e, msgs)
	if err := c.route(ctx, s, msgs, began); err != nil {
		return nil, refused(len(msgs), err)
	}
	admitted := make(chan struct{})
	d.timer = time.AfterFunc(e.cfg.DeliveryTimeout-time.Since(began), func() {
		<-admitted
		c.withdraw(ErrDeadline)
	})
	c.Finished = func() {
		d.timer.Stop()
		if f := c.Failures(); f != nil {
			d.err = &WriteError{f}
		}
		close(d.done)
	}
	c.admit(s, msgs)
	close(admitted)
	return d, nil
}

func (e *Engine) put(c *call) {
	if cap(c.next) <= keepCall {
		clear(c.Data)
		clear(c.parts)
		c.parts = c.parts[:0]
		e.calls.Put(c)
	}
}

// refused is the error of a call that was refused as a whole.
func refused(n int, cause error) error {
	e := &WriteError{make([]sender.Failure, n)}
	for i := range e.Failures {
		e.Failures[i] = sender.Failure{Verdict: core.NotSent, Cause: cause}
	}
	return e
}

// admit puts the messages into the queues of their partitions.
func (c *call) admit(s *session, msgs []kafka.Message) {
	now := time.Now()
	large := false
	for i := range msgs {
		large = large || batch.SizeOf(&msgs[i]) > s.e.cfg.BatchBytes
	}
	if large {
		c.refuseLarge(s, msgs)
	}
	for k := range c.parts {
		q := &c.parts[k]
		if q.n == 0 {
			continue
		}
		number, wake, err := q.p.Admit(&c.Call, msgs, c.next, q.first, q.n, now, sizeOf)
		if err != nil { // a stop has begun
			room := int64(0)
			for i := q.first; i >= 0; i = c.next[i] {
				room += int64(sizeOf(&msgs[i]))
				q.first = i
				c.Refuse(i, sender.Failure{Verdict: core.NotSent, Cause: ErrStopping})
			}
			s.e.room.charge(-room)
			c.Refused(q.n)
			continue
		}
		q.number, q.wake = number, wake
	}
	for k := range c.parts {
		switch q := &c.parts[k]; {
		case q.wake != nil:
			q.wake.Wake()
		case !q.p.Led():
			s.reuse(q.p.Topic())
		}
	}
}

// refuseLarge takes those messages out that no batch can hold.
func (c *call) refuseLarge(s *session, msgs []kafka.Message) {
	refused, room := 0, int64(0)
	for k := range c.parts {
		q := &c.parts[k]
		last, first, n := int32(-1), int32(-1), 0
		for i := q.first; i >= 0; {
			next := c.next[i]
			if batch.SizeOf(&msgs[i]) > s.e.cfg.BatchBytes {
				c.Refuse(i, sender.Failure{Verdict: core.Rejected, Cause: ErrTooLarge})
				refused++
				room += int64(sizeOf(&msgs[i]))
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
		q.first, q.last, q.n = first, last, n
	}
	s.e.room.charge(-room)
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
