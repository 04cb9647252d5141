package demo

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/cmd/surestart/internal/reader"
)

// mode is what the brokers do.
type mode uint8

const (
	down    mode = iota // connections are refused, open ones end
	hanging             // connections are accepted, and nothing is answered, as of a frozen process
	working
)

// A cluster is the embedded broker or a real cluster, with a topic for one storm. The producer
// reaches it through dial: a proxy that refuses, hangs, or passes requests on, which it counts, and
// answers.
type cluster struct {
	brokers []string
	topic   string         // "": not created yet
	client  *kgo.Client    // independent of the producer
	fake    *kfake.Cluster // nil: a real cluster

	key    kmsg.Key     // of the request by which openings are counted
	opened atomic.Int64 // such requests
	open   atomic.Int64 // connections that the producer has not closed

	mu      sync.Mutex
	mode    mode
	changed sync.Cond         // of mode, and of alive
	alive   map[net.Conn]bool // the proxy's ends of the connections
}

func newProxy(key kmsg.Key) *cluster {
	c := &cluster{key: key, alive: make(map[net.Conn]bool)}
	c.changed.L = &c.mu
	return c
}

// newCluster creates the topic. Without addresses it starts the embedded broker. It returns the
// cluster with an error too, to be closed.
func newCluster(ctx context.Context, brokers []string, key kmsg.Key) (c *cluster, err error) {
	c = newProxy(key)
	if c.brokers = brokers; len(brokers) == 0 {
		if c.fake, err = kfake.NewCluster(kfake.NumBrokers(1)); err != nil {
			return c, fmt.Errorf("the embedded broker: %w", err)
		}
		c.brokers = c.fake.ListenAddrs()
	}
	if c.client, err = kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.RequestRetries(3)); err != nil {
		return c, err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "surestart-demo-"+strings.ToLower(rand.Text()[:10]), 3, -1 // -1: as the cluster is configured
	res, err := (&kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{topic}, TimeoutMillis: 10_000}).RequestWith(ctx, c.client)
	if err == nil {
		err = kerr.ErrorForCode(res.Topics[0].ErrorCode)
	}
	if err != nil {
		return c, fmt.Errorf("creating topic %s: %w", topic.Topic, err)
	}
	c.topic = topic.Topic
	within(15*time.Second, func() bool { // its leaders take a moment
		_, _, err = reader.Offsets(ctx, c.client, c.topic)
		return err == nil || ctx.Err() != nil
	})
	return c, err
}

// close ends the connections and the embedded broker, and removes the topic.
func (c *cluster) close() (err error) {
	c.set(down)
	if c.topic != "" {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		res, failure := (&kmsg.DeleteTopicsRequest{TopicNames: []string{c.topic}, TimeoutMillis: 10_000,
			Topics: []kmsg.DeleteTopicsRequestTopic{{Topic: &c.topic}}}).RequestWith(ctx, c.client)
		if failure == nil {
			failure = kerr.ErrorForCode(res.Topics[0].ErrorCode)
		}
		if failure != nil {
			err = fmt.Errorf("removing topic %s: %w", c.topic, failure)
		}
	}
	if c.client != nil {
		c.client.Close()
	}
	if c.fake != nil {
		c.fake.Close()
	}
	return err
}

// set makes the brokers do m from now on.
func (c *cluster) set(m mode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m == down {
		for conn := range c.alive {
			conn.Close()
		}
		clear(c.alive)
	}
	c.mode = m
	c.changed.Broadcast()
}

func (c *cluster) is(m mode) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mode == m
}

// A counted connection is open until its owner closes it.
type counted struct {
	net.Conn
	close func() error
}

func (c counted) Close() error { return c.close() }

// dial is how a producer reaches a broker.
func (c *cluster) dial(ctx context.Context, network, address string) (net.Conn, error) {
	broker, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mode == down {
		broker.Close()
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	near, far := net.Pipe()
	c.alive[far] = true
	go c.pump(far, broker, true)
	go c.pump(far, broker, false)
	c.open.Add(1)
	return counted{near, sync.OnceValue(func() error { c.open.Add(-1); return near.Close() })}, nil
}

// pass waits while the brokers hang, and reports whether the connection has outlived that.
func (c *cluster) pass(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.mode == hanging && c.alive[conn] {
		c.changed.Wait()
	}
	return c.alive[conn]
}

// pump passes the frames of one direction on: four bytes of size, then as many bytes. A request
// begins with its API key. When one direction ends, the connection ends.
func (c *cluster) pump(conn, broker net.Conn, requests bool) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.alive, conn)
		conn.Close()
		broker.Close()
	}()
	from, to := broker, conn
	if requests {
		from, to = conn, broker
	}
	r := bufio.NewReader(from)
	for {
		size, err := r.Peek(4)
		if err != nil {
			return
		}
		frame := make([]byte, 4+binary.BigEndian.Uint32(size))
		if _, err := io.ReadFull(r, frame); err != nil || !c.pass(conn) {
			return
		}
		if requests && int16(binary.BigEndian.Uint16(frame[4:])) == c.key.Int16() {
			c.opened.Add(1)
		}
		if _, err := to.Write(frame); err != nil {
			return
		}
	}
}

// value is the value of the n-th message: the number, padded to 100 bytes.
func value(n int) []byte { return fmt.Appendf(nil, "%-100d", n) }

func number(value []byte) (n int, ok bool) {
	n, err := strconv.Atoi(strings.TrimSpace(string(value)))
	return n, err == nil
}

// copies returns how many times each of the messages 0 to total-1 is in the log.
func (c *cluster) copies(ctx context.Context, total int) ([]int, error) {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	starts, ends, err := reader.Offsets(ctx, c.client, c.topic)
	if err != nil {
		return nil, err
	}
	copies := make([]int, total)
	err = reader.Read(ctx, c.topic, starts, ends, []kgo.Opt{kgo.SeedBrokers(c.brokers...)}, func(r *kgo.Record) bool {
		if n, ok := number(r.Value); ok && n >= 0 && n < total {
			copies[n]++
		}
		return true
	})
	return copies, err
}
