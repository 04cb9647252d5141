package demo

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/cmd/surestart/internal/demo/naive"
	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/producer"
)

// A system is what goes through the storm.
type system interface {
	Start(context.Context) error
	WriteMessages(context.Context, ...kafka.Message) error
	Stop(context.Context) error
	Shutdown(context.Context) error
}

// naiveSystem has a Stop without a context, and no final one.
type naiveSystem struct{ *naive.Producer }

func (n naiveSystem) Stop(context.Context) error     { return n.Producer.Stop() }
func (n naiveSystem) Shutdown(context.Context) error { return n.Producer.Stop() }

func newProducer(c *cluster, observe func(fsm.Transition)) (*producer.Producer, error) {
	return producer.New(producer.Config{
		Brokers: c.brokers, ClientID: "surestart-demo", Topic: c.topic, Dial: c.dial,
		Logger:    slog.New(slog.DiscardHandler),
		Lifecycle: []fsm.Option{fsm.WithObserver(observe)},
	})
}

// A broken producer breaks the promise that is named in Breaks, or none.
type broken struct {
	*producer.Producer
	cl            *cluster
	what          string
	starts, calls atomic.Int64
}

func (b *broken) Start(ctx context.Context) error {
	if b.what == "start-once" && b.starts.Add(1)%10 == 1 {
		if extra, err := newProducer(b.cl, func(fsm.Transition) {}); err == nil {
			extra.Start(ctx)
			extra.Close()
		}
	}
	return b.Producer.Start(ctx)
}

func (b *broken) WriteMessages(ctx context.Context, msgs ...kafka.Message) error {
	switch n := b.calls.Add(1); {
	case b.what == "lose" && n > 20 && n <= 20+writers:
		return nil
	case b.what == "twice" && n == 1:
		b.Producer.WriteMessages(ctx, msgs...)
	case b.what == "leak" && n == 1:
		b.cl.dial(ctx, "tcp", b.cl.brokers[0])
	}
	return b.Producer.WriteMessages(ctx, msgs...)
}
