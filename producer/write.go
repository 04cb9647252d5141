package producer

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
)

// WriteMessages sends the messages and returns when each has its verdict (D1), at the latest
// when the DeliveryTimeout has passed (D6). It takes the place of the method of *kafka.Writer.
// It returns
//
//   - nil if every message was delivered, as Config.Acks defines it;
//   - an error that is ErrNotStarted, or ErrClosed and io.ErrClosedPipe, and
//     ErrNotSent, if the producer is not started (G10);
//   - an error that is a *TopicError and ErrNotSent if a message names a topic
//     that was not declared: then none was sent;
//   - an error that is the cause of ctx and ErrNotSent if ctx ended before
//     anything was admitted, waiting for room (Config.MaxInFlightBytes) included;
//   - a *WriteError otherwise: each message that failed is exactly one of
//     ErrNotSent, ErrMaybeDelivered and ErrRejected. One whose topic cannot be used
//     (Config.AnyTopic) is ErrNotSent and a *TopicError, alone.
//
// When ctx ends, what no request can have carried is withdrawn: it is ErrNotSent, and does not
// come later (D5). Of the rest the verdict is ErrMaybeDelivered.
//
// Without messages it returns at once, and starts nothing: nil if a write would be admitted, with
// Config.StartOnWrite also before the start; else what the write would get.
//
// The messages of one call that go to the same partition stand together there (D4). Their bytes
// are copied: the caller may change them as soon as WriteMessages has returned. A zero Time is that
// of the call; one that Kafka cannot store makes a message ErrRejected (kafka.InvalidTimestamp).
func (p *Producer) WriteMessages(ctx context.Context, msgs ...kafka.Message) error {
	if len(msgs) == 0 {
		return p.admitNothing(ctx)
	}
	began := time.Now()
	lease, err := p.admit(ctx, began, msgs)
	if err != nil {
		return err
	}
	defer lease.Release() // also if a balancer ends the goroutine
	if err := p.engine.Write(ctx, began, msgs...); err != nil {
		return p.told(err)
	}
	return nil
}

// admit is the way in, for WriteMessages and Send alike: the lease that it returns is released
// when each message has its verdict.
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

// admitNothing is admit for a call without messages: it does not wait.
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

// startOnWrite starts a producer that was never stopped: a Stop that comes
// meanwhile takes it back.
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
