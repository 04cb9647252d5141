package others

import (
	"context"
	"net"
	"testing"
	"testing/synctest"

	"github.com/IBM/sarama"
	"github.com/rcrowley/go-metrics"
	"github.com/segmentio/kafka-go"
)

// plainConn is a connection without a peer.
type plainConn struct {
	net.Conn
	*resource
}

func (c plainConn) Close() error { c.resource.close(); return c.Conn.Close() }

func (r *resource) dial() (net.Conn, error) {
	if err := r.open(); err != nil {
		return nil, err
	}
	here, there := net.Pipe()
	there.Close()
	return plainConn{here, r}, nil
}

func (r *resource) Dial(string, string) (net.Conn, error) { return r.dial() }

func plainSarama(r *resource) (*sarama.Broker, *sarama.Config) {
	metrics.UseNilMetrics = true // its meters' goroutine would outlive the test
	conf := sarama.NewConfig()
	conf.Net.Proxy.Enable, conf.Net.Proxy.Dialer = true, r
	conf.ApiVersionsRequest = false
	return sarama.NewBroker("127.0.0.1:1"), conf
}

// Open takes no context.
func saramaOpensForNobody(t *testing.T) {
	r := &resource{}
	b, conf := plainSarama(r)
	start := func(context.Context) error {
		b.Open(conf)
		_, err := b.Connected()
		return err
	}
	err := start(ended)
	expect(t, err == nil && r.held == 1, "Start: %v, %d held", err, r.held)
	b.Close()
}

// A Close waits for the connection, and closes it then: it cancels nothing.
func saramaStopWaits(t *testing.T) {
	r := &resource{gate: make(chan struct{})}
	b, conf := plainSarama(r)
	b.Open(conf) // goes on in the background
	closed := make(chan error, 1)
	go func() { closed <- b.Close() }()
	waitsForLock("sarama.(*Broker).Close")
	close(r.gate)
	err := <-closed
	expect(t, err == nil && r.opened == 1 && r.held == 0, "Close: %v, opened %d times, %d held", err, r.opened, r.held)
}

func plainKafkaGo(r *resource) *kafka.Dialer {
	return &kafka.Dialer{DialFunc: func(context.Context, string, string) (net.Conn, error) { return r.dial() }}
}

func dialled(d *kafka.Dialer, ctx context.Context) (*kafka.Conn, error) {
	return d.DialContext(ctx, "tcp", "127.0.0.1:1")
}

// Two Dials at once are two connections.
func kafkaGoOpensTwice(t *testing.T) {
	r := &resource{gate: make(chan struct{})}
	d := plainKafkaGo(r)
	dial := func() error { _, err := dialled(d, context.Background()); return err }
	one := async(dial)
	two := async(dial)
	expect(t, r.opened == 2 && rests(one) && rests(two), "opened %d times", r.opened)
	close(r.gate)
	<-one
	<-two
}

// A Dial after a Dial is a second connection.
func kafkaGoOpensAgain(t *testing.T) {
	r := &resource{}
	d := plainKafkaGo(r)
	dialled(d, context.Background())
	dialled(d, context.Background())
	expect(t, r.held == 2, "%d are held", r.held)
}

// It dials for a caller whose context has ended.
func kafkaGoOpensForNobody(t *testing.T) {
	r := &resource{}
	_, err := dialled(plainKafkaGo(r), ended)
	expect(t, r.opened == 1, "Dial: %v, opened %d times", err, r.opened)
}

// Who stops while the second Dial runs has only the first Conn, closed already, and the second comes up.
func kafkaGoStopSeesNothing(t *testing.T) {
	r := &resource{}
	d := plainKafkaGo(r)
	c, _ := dialled(d, context.Background())
	c.Close()
	r.gate = make(chan struct{})
	var second *kafka.Conn
	dial := async(func() (err error) { second, err = dialled(d, context.Background()); return err })
	nothing := second == nil // to close
	close(r.gate)
	err := <-dial
	synctest.Wait()
	expect(t, nothing && err == nil && r.held == 1, "Dial: %v, %d held", err, r.held)
}
