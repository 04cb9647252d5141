package producer

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
)

// WriteMessages sends the messages and returns when each has its verdict (D1), within the
// DeliveryTimeout (D6). It has the signature of *kafka.Writer's method. It returns
//
//   - nil if every message was delivered, as Config.Acks defines it;
//   - ErrNotSent with ErrNotStarted, or with ErrClosed and io.ErrClosedPipe, if the
//     producer is not started (G10);
//   - ErrNotSent with fsm.ErrReentrant, at once, if Config.Balancer made the call;
//   - ErrNotSent with a *TopicError if a message names an undeclared topic: then no
//     message was sent;
//   - ErrNotSent with the cause of ctx if ctx ended before any message was admitted, for
//     example while the call waited for room (Config.MaxInFlightBytes);
//   - otherwise a *WriteError: each failed message is exactly one of ErrNotSent,
//     ErrMaybeDelivered and ErrRejected. A message whose topic cannot be used
//     (Config.AnyTopic) fails alone, with ErrNotSent and a *TopicError.
//
// When ctx ends, WriteMessages withdraws every message that no request can have appended: such a
// message is ErrNotSent, and does not reach the log later (D5). The other messages without a
// verdict are ErrMaybeDelivered. WriteMessages then no longer waits for Config.Completion.
//
// Without messages it returns at once and starts nothing. It returns nil if a write would be
// admitted, also before the first start with Config.StartOnWrite. Otherwise it returns the error
// that a write would get.
//
// The messages of one call to the same partition are contiguous there (D4). WriteMessages copies
// the bytes, so the caller may change them after it returns. A zero Time becomes the time of the
// call. A Time that Kafka cannot store makes the message ErrRejected (kafka.InvalidTimestamp).
func (p *Producer) WriteMessages(ctx context.Context, msgs ...kafka.Message) error {
	ctx = guarded(ctx)
	if len(msgs) == 0 {
		return p.admitNothing(ctx)
	}
	leave, err := p.within.balancing(p.cfg.Balancer)
	if err != nil {
		return failed(ErrNotSent, err)
	}
	defer leave()
	began := time.Now()
	lease, err := p.admit(ctx, began, msgs)
	if err != nil {
		return err
	}
	defer lease.Release() // also if a balancer calls runtime.Goexit
	if err := p.engine.Write(ctx, began, msgs...); err != nil {
		return p.asWriteError(err)
	}
	return nil
}

// admit admits a call of WriteMessages or Send. The caller releases the lease when each message
// has its verdict.
func (p *Producer) admit(ctx context.Context, began time.Time, msgs []kafka.Message) (lease fsm.Lease[*session], err error) {
	if p.lifecycle.State() != fsm.Started && !p.cfg.StartOnWrite {
		held, err := p.lifecycle.Acquire()
		if err != nil {
			return fsm.Lease[*session]{}, refused(err)
		}
		held.Release()
	}
	for i := range msgs {
		if err := p.checkTopic(msgs[i].Topic); err != nil {
			return fsm.Lease[*session]{}, failed(ErrNotSent, err)
		}
	}
	if cause := ended(ctx); cause != nil {
		return fsm.Lease[*session]{}, failed(ErrNotSent, cause)
	}
	lease, err = p.lifecycle.Acquire()
	if err != nil && p.cfg.StartOnWrite && errors.Is(err, fsm.ErrNotStarted) {
		if err = p.startOnWrite(ctx, began); err == nil {
			lease, err = p.lifecycle.Acquire()
		}
	}
	if err != nil {
		err = refused(err)
	}
	return
}

// admitNothing is admit for a call without messages. It does not wait.
func (p *Producer) admitNothing(ctx context.Context) error {
	lease, err := p.lifecycle.Acquire()
	if err == nil {
		lease.Release()
	}
	if err != nil && !(p.cfg.StartOnWrite && errors.Is(err, fsm.ErrNotStarted) && p.neverStopped.Err() == nil) {
		return refused(err)
	}
	if cause := ended(ctx); cause != nil {
		return failed(ErrNotSent, cause)
	}
	return nil
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

// startOnWrite starts a producer that was never stopped. A Stop during the start cancels it.
func (p *Producer) startOnWrite(ctx context.Context, began time.Time) error {
	if p.neverStopped.Err() != nil {
		return fsm.ErrNotStarted
	}
	ctx, cancel := context.WithDeadlineCause(ctx, began.Add(p.cfg.DeliveryTimeout), errDeliveryTimeout)
	defer cancel()
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	defer context.AfterFunc(p.neverStopped, func() { leave(fsm.ErrNotStarted) })()
	return p.lifecycle.Start(ctx)
}

// refused is the error of a write that is not admitted.
func refused(why error) error {
	switch {
	case errors.Is(why, fsm.ErrClosed):
		return errWriteClosed
	case errors.Is(why, fsm.ErrNotStarted), errors.Is(why, fsm.ErrStopped):
		return errWriteNotStarted
	}
	return failed(ErrNotSent, why)
}
