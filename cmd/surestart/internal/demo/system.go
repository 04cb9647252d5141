package demo

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/cmd/surestart/internal/demo/naive"
	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/producer"
)

// A system is what the storm is let loose on.
type system interface {
	Start(context.Context) error
	WriteMessages(context.Context, ...kafka.Message) error
	Stop(context.Context) error
	Shutdown(context.Context) error
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// naiveSystem: its Stop knows no context, and no final one either.
type naiveSystem struct{ *naive.Producer }

func newNaive(c *cluster) system {
	return naiveSystem{&naive.Producer{Brokers: c.brokers, Topic: c.topic, Dial: c.dial}}
}

func (n naiveSystem) Stop(context.Context) error     { return n.Producer.Stop() }
func (n naiveSystem) Shutdown(context.Context) error { return n.Producer.Stop() }

func newProducer(c *cluster, dial dialFunc, observe func(fsm.Transition)) (*producer.Producer, error) {
	return producer.New(producer.Config{
		Brokers:   c.brokers,
		ClientID:  "surestart-demo",
		Topic:     c.topic,
		Dial:      dial,
		Logger:    slog.New(slog.DiscardHandler),
		Lifecycle: []fsm.Option{fsm.WithObserver(observe)},
	})
}

// Break is a promise that is broken on purpose, to see that the demo notices.
type Break string

// What can be broken.
const (
	BreakNothing   Break = ""
	BreakStartOnce Break = "start-once" // every caller of Start opens a producer of its own
	BreakLose      Break = "lose"       // a few writes are acknowledged, and not sent
	BreakLeak      Break = "leak"       // a connection is opened, and never closed
	BreakTwice     Break = "twice"      // the messages of the first write are sent twice
)

// Breaks lists them.
func Breaks() []Break { return []Break{BreakStartOnce, BreakLose, BreakLeak, BreakTwice} }

func newSurestart(c *cluster, b Break, observe func(fsm.Transition)) (system, error) {
	dial := c.dial
	if b == BreakLeak {
		dial = leaking(dial)
	}
	if b == BreakStartOnce {
		return &everyStart{make: func() (*producer.Producer, error) { return newProducer(c, dial, observe) }}, nil
	}
	p, err := newProducer(c, dial, observe)
	if err != nil {
		return nil, fmt.Errorf("the producer: %w", err)
	}
	switch b {
	case BreakLose:
		return &losing{system: p}, nil
	case BreakTwice:
		return &twice{system: p}, nil
	}
	return p, nil
}

// twice sends the messages of the first write twice.
type twice struct {
	system
	once sync.Once
}

func (t *twice) WriteMessages(ctx context.Context, msgs ...kafka.Message) error {
	t.once.Do(func() { t.system.WriteMessages(ctx, msgs...) })
	return t.system.WriteMessages(ctx, msgs...)
}

// leaking opens one connection that nobody closes.
func leaking(dial dialFunc) dialFunc {
	var once sync.Once
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err == nil {
			once.Do(func() {
				if extra, err := dial(ctx, network, address); err == nil {
					leaked.Store(extra, true)
				}
			})
		}
		return conn, err
	}
}

// leaked keeps the collector from closing what was leaked.
var leaked sync.Map

// losing acknowledges the 21st to 28th write, and sends none of them.
type losing struct {
	system
	writes atomic.Int64
}

func (l *losing) WriteMessages(ctx context.Context, msgs ...kafka.Message) error {
	if n := l.writes.Add(1); n > 20 && n <= 20+writers {
		return nil
	}
	return l.system.WriteMessages(ctx, msgs...)
}

// everyStart has one producer for each caller that found it not started.
type everyStart struct {
	make func() (*producer.Producer, error)

	mu      sync.Mutex
	started []*producer.Producer
}

func (e *everyStart) Start(ctx context.Context) error {
	if e.latest() != nil {
		return nil
	}
	p, err := e.make()
	if err == nil {
		err = p.Start(ctx)
	}
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.started = append(e.started, p)
	return nil
}

func (e *everyStart) latest() *producer.Producer {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.started) == 0 {
		return nil
	}
	return e.started[len(e.started)-1]
}

func (e *everyStart) WriteMessages(ctx context.Context, msgs ...kafka.Message) error {
	if p := e.latest(); p != nil {
		return p.WriteMessages(ctx, msgs...)
	}
	return producer.ErrNotStarted
}

func (e *everyStart) Stop(ctx context.Context) error {
	e.mu.Lock()
	all := e.started
	e.started = nil
	e.mu.Unlock()
	results := make(chan error, len(all))
	for _, p := range all {
		go func() { results <- p.Stop(ctx) }()
	}
	var first error
	for range all {
		if err := <-results; first == nil {
			first = err
		}
	}
	return first
}

func (e *everyStart) Shutdown(ctx context.Context) error { return e.Stop(ctx) }
