package others

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/IBM/sarama"
	"github.com/rcrowley/go-metrics"
	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/conformance"
)

// conn is a connection without a peer: the hooks open and close it.
type conn struct {
	net.Conn
	h    *conformance.Hooks
	once sync.Once
}

func (c *conn) Close() (err error) {
	c.once.Do(func() {
		c.Conn.Close()
		err = c.h.Release(context.Background())
	})
	return err
}

func dial(ctx context.Context, h *conformance.Hooks) (net.Conn, error) {
	if err := h.Open(ctx); err != nil {
		return nil, err
	}
	here, there := net.Pipe()
	return &conn{Conn: pair{here, there}, h: h}, nil
}

// pair closes both ends.
type pair struct {
	net.Conn
	there net.Conn
}

func (p pair) Close() error {
	p.there.Close()
	return p.Conn.Close()
}

type dialer struct{ h *conformance.Hooks }

func (d dialer) Dial(string, string) (net.Conn, error) { return dial(context.Background(), d.h) }

// newSarama returns sarama's Broker, which its clients open and close.
func newSarama(h *conformance.Hooks) conformance.Lifecycle {
	metrics.UseNilMetrics = true // one goroutine for all meters of the process would count as left
	conf := sarama.NewConfig()
	conf.Net.Proxy.Enable, conf.Net.Proxy.Dialer = true, dialer{h}
	conf.ApiVersionsRequest = false
	b := sarama.NewBroker("127.0.0.1:1")
	return &calls{
		func(context.Context) error {
			if err := b.Open(conf); err != nil {
				return err
			}
			_, err := b.Connected()
			return err
		},
		func(context.Context) error { return b.Close() },
	}
}

// newKafkaGo returns a Conn, because kafka-go's Writer has no start.
func newKafkaGo(h *conformance.Hooks) conformance.Lifecycle {
	d := &kafka.Dialer{DialFunc: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, h) }}
	var c *kafka.Conn
	return &calls{
		func(ctx context.Context) (err error) {
			c, err = d.DialContext(ctx, "tcp", "127.0.0.1:1")
			return err
		},
		func(context.Context) error {
			if c == nil {
				return nil
			}
			return c.Close()
		},
	}
}

// aiokafka is AIOKafkaProducer's start and stop, step by step. Part 0 is the client, part 1 the
// sender's task. The code between two awaits is under the mutex, as asyncio runs it.
type aiokafka struct {
	h               *conformance.Hooks
	flag            bool // as the pull request has it
	mu              sync.Mutex
	closed, started bool
	client, sender  int // open
}

func newAiokafka(h *conformance.Hooks) conformance.Lifecycle { return &aiokafka{h: h} }
func newPR1143(h *conformance.Hooks) conformance.Lifecycle   { return &aiokafka{h: h, flag: true} }

// await is an await: other calls run meanwhile.
func (a *aiokafka) await(f func() error) error {
	a.mu.Unlock()
	defer a.mu.Lock()
	return f()
}

func (a *aiokafka) Start(ctx context.Context) (err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.flag {
		if a.started {
			return nil
		}
		a.started = true
		defer func() { // except Exception: of which CancelledError is none
			if err != nil && ctx.Err() == nil {
				a.started = false
			}
		}()
	}
	if err := a.await(func() error { return a.h.OpenPart(ctx, 0) }); err != nil { // await self.client.bootstrap()
		return err
	}
	a.client++
	if err := a.await(func() error { return a.h.OpenPart(ctx, 1) }); err != nil { // await self._sender.start()
		return err
	}
	a.sender++
	return nil
}

func (a *aiokafka) Stop(ctx context.Context) (err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil
	}
	a.closed = true
	if a.sender > 0 { // await self._sender.close()
		a.sender = 0
		err = a.await(func() error { return a.h.ReleasePart(ctx, 1) })
	}
	if a.client > 0 { // await self.client.close()
		a.client = 0
		err = errors.Join(err, a.await(func() error { return a.h.ReleasePart(ctx, 0) }))
	}
	return err
}
