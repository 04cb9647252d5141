// Package shop is code that uses the library: a resource of its own and a producer. Its tests
// need no server and wait for no clock; docs/testing.md explains them.
package shop

import (
	"context"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/producer"
	"github.com/seed3893aba4/surestart/resilience"
)

// A Store is a connection to a server that knows the prices.
type Store interface {
	Price(ctx context.Context, item string) (int64, error)
	Close(ctx context.Context) error
}

// Dial connects to the server. It calls lost, once, if the connection breaks later.
type Dial func(ctx context.Context, lost func(error)) (Store, error)

// open returns a lifecycle of the connection that dial makes.
func open(dial Dial, opts ...fsm.Option) *fsm.Lifecycle[Store] {
	return fsm.New(func(ctx context.Context, s *fsm.Scope) (Store, error) {
		s.Part("connection")
		store, err := dial(ctx, s.Fail)
		if err != nil {
			return nil, err
		}
		s.Defer("connection", store.Close)
		return store, nil
	}, opts...)
}

// patient returns the options of a connection that is tried again each second, and made again
// once it is lost.
func patient() []fsm.Option {
	pauses := func() *resilience.Retry {
		return resilience.NewRetry(resilience.RetryConfig{Pauses: backoff.NewConstantBackOff(time.Second)})
	}
	return []fsm.Option{fsm.WithStartTimeout(time.Minute), fsm.WithRetry(pauses()), fsm.WithRestart(pauses())}
}

// A Shop takes orders.
type Shop struct {
	store  *fsm.Lifecycle[Store]
	orders *producer.Producer
}

// Order sends an order with the item's price.
func (s *Shop) Order(ctx context.Context, item string) error {
	return s.store.Use(ctx, func(ctx context.Context, store Store) error {
		price, err := store.Price(ctx, item)
		if err != nil {
			return err
		}
		return s.orders.WriteMessages(ctx, kafka.Message{Key: []byte(item), Value: strconv.AppendInt(nil, price, 10)})
	})
}
