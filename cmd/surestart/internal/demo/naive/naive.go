// Package naive is a Kafka producer as people write it: a kafka.Writer and a
// "started" flag. The demo runs it through the same storm as surestart, and
// docs/why-a-flag-is-not-enough.md explains what goes wrong with it. The race detector finds
// nothing to complain about.
package naive

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
)

// Producer sends to one topic.
type Producer struct {
	Brokers []string
	Topic   string
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)

	started atomic.Bool
	writer  atomic.Pointer[kafka.Writer]
}

// Start connects. It may be called any number of times: the flag sees to that.
func (p *Producer) Start(ctx context.Context) error {
	if p.started.Load() {
		return nil
	}
	conn, err := p.Dial(ctx, "tcp", p.Brokers[0]) // is there a broker?
	if err != nil {
		return err
	}
	conn.Close()

	transport := &kafka.Transport{Dial: p.Dial}
	p.writer.Store(&kafka.Writer{
		Addr:         kafka.TCP(p.Brokers...),
		Topic:        p.Topic,
		Balancer:     &kafka.LeastBytes{},
		RequiredAcks: kafka.RequireAll,
		BatchTimeout: 5 * time.Millisecond,
		Transport:    transport,
	})
	p.started.Store(true)

	// Warm up: the first write should not have to connect.
	client := &kafka.Client{Addr: kafka.TCP(p.Brokers...), Transport: transport}
	_, err = client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{p.Topic: {kafka.LastOffsetOf(0)}},
	})
	return err
}

// WriteMessages sends, once Start has been called.
func (p *Producer) WriteMessages(ctx context.Context, msgs ...kafka.Message) error {
	if !p.started.Load() {
		return errors.New("not started")
	}
	return p.writer.Load().WriteMessages(ctx, msgs...)
}

// Stop flushes and closes.
func (p *Producer) Stop() error {
	if !p.started.CompareAndSwap(true, false) {
		return nil
	}
	return p.writer.Load().Close()
}
