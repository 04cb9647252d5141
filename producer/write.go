package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
)

// WriteMessages sends the messages and returns when each has its result, ctx has
// ended or the DeliveryTimeout has passed. It takes the place of the method of
// *kafka.Writer. It returns
//
//   - nil if every message was delivered, as Config.Acks defines it;
//   - an error that is ErrNotStarted, or ErrClosed and io.ErrClosedPipe, and
//     ErrNotSent, if the producer is not started (G10);
//   - an error that is a *TopicError and ErrNotSent if a message names a topic
//     that was not declared: then none was sent;
//   - an error that is the cause of ctx and ErrNotSent if ctx ended before
//     anything was handed on, waiting for room (Config.MaxInFlightBytes) included;
//   - a *WriteError otherwise: each message that failed is exactly one of
//     ErrNotSent, ErrMaybeDelivered and ErrRejected.
//
// A caller that leaves because its context ended does not recall its messages:
// those without a result are ErrMaybeDelivered. Their bytes must not be changed,
// and count as in flight, until Config.Completion has seen them or the producer
// has stopped.
func (p *Producer) WriteMessages(ctx context.Context, msgs ...kafka.Message) error {
	lease, bytes, began, err := p.admit(ctx, msgs)
	if err != nil {
		return err
	}
	c := lease.Resource().newCall()
	c.lease, c.bytes = lease.Move(), bytes
	c.submit(ctx, msgs)
	return c.wait(ctx, began)
}

// admit is the way in, for WriteMessages and Send alike: it returns a lease and as
// many bytes of the budget, both of which the call gives back with its last result.
// began is when the caller came, if it may have waited.
func (p *Producer) admit(ctx context.Context, msgs []kafka.Message) (lease fsm.Lease[*session], bytes int64, began time.Time, err error) {
	if bytes, err = p.check(msgs); err != nil {
		return
	}
	if cause := ended(ctx); cause != nil {
		err = failed(ErrNotSent, cause)
		return
	}
	if began, err = p.reserve(ctx, bytes); err != nil {
		return
	}
	if lease, err = p.acquire(ctx); err != nil {
		p.budget.give(bytes)
	}
	return
}

// What a call and each of its messages cost in memory besides their bytes, here
// and in kafka-go, until they have a result: small messages count for more than
// they hold (TestSendBoundsMemory).
const (
	callOverhead    = 256
	messageOverhead = 256
)

// check looks at the messages before anything is done: the room they need,
// and their topics.
func (p *Producer) check(msgs []kafka.Message) (bytes int64, err error) {
	if p.lifecycle.State() != fsm.Started && !p.cfg.StartOnWrite {
		lease, err := p.lifecycle.Acquire()
		if err != nil {
			return 0, refused(err)
		}
		lease.Release()
	}
	bytes = callOverhead
	for i := range msgs {
		if err := p.checkTopic(msgs[i].Topic); err != nil {
			return 0, failed(ErrNotSent, err)
		}
		bytes += size(&msgs[i]) + messageOverhead
	}
	return bytes, nil
}

var (
	errUndeclared = errors.New("not declared in Config.Topic or Config.Topics")
	errNoTopic    = errors.New("the message names no topic, and there is no Config.Topic")
)

func (p *Producer) checkTopic(topic string) error {
	switch {
	case topic == p.cfg.Topic && topic != "":
	case topic == "":
		if p.cfg.Topic == "" {
			return &TopicError{Err: errNoTopic}
		}
	case p.cfg.AnyTopic:
		if !legalTopic(topic) {
			return &TopicError{Topic: topic, Err: kafka.InvalidTopic}
		}
	case !p.isDeclared[topic]:
		return &TopicError{Topic: topic, Err: errUndeclared}
	}
	return nil
}

// reserve waits for room. It returns when the call began, if it
// may have waited.
// No lease is held meanwhile: a Stop does not wait for who has not been let in.
func (p *Producer) reserve(ctx context.Context, bytes int64) (began time.Time, err error) {
	if p.cfg.StartOnWrite && p.lifecycle.State() != fsm.Started {
		began = time.Now()
	}
	a := p.budget.take(bytes)
	if a == nil {
		return began, nil
	}
	began = time.Now()
	timer := time.NewTimer(p.cfg.DeliveryTimeout)
	defer timer.Stop()
	select {
	case <-a.granted:
		return began, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timer.C:
		err = errDeliveryTimeout
	}
	if !p.budget.leave(a) {
		p.budget.give(bytes)
	}
	return began, failed(ErrNotSent, fmt.Errorf("waiting for room among the bytes in flight: %w", err))
}

// acquire holds the session open for a write, and starts it if that is asked for.
func (p *Producer) acquire(ctx context.Context) (lease fsm.Lease[*session], err error) {
	lease, err = p.lifecycle.Acquire()
	if err != nil && p.cfg.StartOnWrite && errors.Is(err, fsm.ErrNotStarted) {
		if err = p.startOnWrite(ctx); err == nil {
			lease, err = p.lifecycle.Acquire()
		}
	}
	if err != nil {
		err = refused(err)
	}
	return
}

// startOnWrite starts a producer that was never stopped: a Stop that comes
// meanwhile takes it back.
func (p *Producer) startOnWrite(ctx context.Context) error {
	if p.neverStopped.Err() != nil {
		return fsm.ErrNotStarted
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.cfg.DeliveryTimeout, errDeliveryTimeout)
	defer cancel()
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	defer context.AfterFunc(p.neverStopped, func() { leave(fsm.ErrNotStarted) })()
	return p.lifecycle.Start(ctx)
}

// refused is the error of a write that is not admitted, and why.
func refused(why error) error {
	switch {
	case errors.Is(why, fsm.ErrClosed):
		return errWriteClosed
	case errors.Is(why, fsm.ErrNotStarted), errors.Is(why, fsm.ErrStopped):
		return errWriteNotStarted
	}
	return failed(ErrNotSent, why)
}

// size is a message's as kafka-go counts it, with which it fills batches.
func size(m *kafka.Message) int64 {
	n := 4 + 1 + 1 + 8 + 4 + len(m.Key) + 4 + len(m.Value) + varint(len(m.Headers))
	for i := range m.Headers {
		h := &m.Headers[i]
		n += varint(len(h.Key)) + len(h.Key) + varint(len(h.Value)) + len(h.Value)
	}
	return int64(n)
}

// varint is how many bytes n takes, zigzag.
func varint(n int) int {
	bytes := 1
	for u := uint64(n) << 1; u >= 0x80; u >>= 7 {
		bytes++
	}
	return bytes
}
