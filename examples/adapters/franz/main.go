// Command franz is a franz-go client as a resource, for transactions, which package producer does
// not have.
//
// Started means that a broker has answered and that the client has a producer id, which idempotence
// needs (G3). With a transactional id, it also means that an older instance of the same id is
// fenced off and its open transaction is aborted. A failed start leaves no client behind (G4). A
// stop waits for the transactions in flight (G9). A transaction that a forced stop cuts off is
// aborted, at the latest by the next start.
//
//	go run ./franz -brokers localhost:9092 -topic orders -id orders-1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed3893aba4/surestart/fsm"
)

// A client is franz-go's, and whose turn it is to have a transaction: it has one at a time.
type client struct {
	*kgo.Client
	turn chan struct{}
}

// lifecycle returns a client that is opened once, however many ask.
func lifecycle(with []kgo.Opt, opts ...fsm.Option) *fsm.Lifecycle[*client] {
	return fsm.New(func(ctx context.Context, s *fsm.Scope) (*client, error) {
		s.Part("client")
		cl, err := kgo.NewClient(with...) // connects to nothing yet, but has goroutines
		if err != nil {
			return nil, err
		}
		s.Defer("client", func(ctx context.Context) error {
			defer cl.Close() // fails what is still buffered, and closes the connections
			if fsm.Forced(ctx) {
				return nil
			}
			return cl.Flush(ctx) // what a use has produced without waiting for it
		})
		// It is deaf to a context while it shakes hands, for up to 10 s: closing it ends that.
		defer context.AfterFunc(ctx, cl.Close)()
		s.Part("broker")
		if err := cl.Ping(ctx); err != nil {
			return nil, err
		}
		s.Part("producer id")
		if _, _, err := cl.ProducerID(ctx); err != nil {
			return nil, err
		}
		return &client{cl, make(chan struct{}, 1)}, nil
	}, opts...)
}

// transact commits what f produces, all of it, or nothing if f fails or is cut off.
func transact(ctx context.Context, l *fsm.Lifecycle[*client], f func(context.Context, *kgo.Client) error) error {
	return l.Use(ctx, func(ctx context.Context, c *client) error {
		select {
		case c.turn <- struct{}{}:
			defer func() { <-c.turn }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := c.BeginTransaction(); err != nil {
			return err
		}
		err := f(ctx, c.Client)
		if err == nil {
			err = c.Flush(ctx)
		}
		// The end of the transaction has time of its own, because ctx may have ended.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err != nil {
			return errors.Join(err, c.AbortBufferedRecords(last), c.EndTransaction(last, kgo.TryAbort))
		}
		return c.EndTransaction(last, kgo.TryCommit)
	})
}

func main() {
	brokers := flag.String("brokers", "localhost:9092", "host:port, separated by commas")
	topic := flag.String("topic", "orders", "send to")
	id := flag.String("id", "", "the transactional id; none: idempotent produce without transactions")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, strings.Split(*brokers, ","), *topic, *id); err != nil {
		fmt.Fprintln(os.Stderr, "franz:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, brokers []string, topic, id string) (err error) {
	opts := []kgo.Opt{kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(topic)}
	if id != "" {
		opts = append(opts, kgo.TransactionalID(id))
	}
	l := lifecycle(opts, fsm.WithStartTimeout(30*time.Second))
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := l.Start(ctx); err != nil {
		return err
	}
	send := func(ctx context.Context, cl *kgo.Client) error {
		return cl.ProduceSync(ctx, kgo.StringRecord("placed"), kgo.StringRecord("paid")).FirstErr()
	}
	if id != "" {
		return transact(ctx, l, send)
	}
	return l.Use(ctx, func(ctx context.Context, c *client) error { return send(ctx, c.Client) })
}
