package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
)

const partitions = 3

// A cluster is what the storm rages over: the embedded broker whose listening
// socket is a gate, or a real cluster with a gate in front of each broker.
type cluster struct {
	brokers []string // for the producers, by dial
	direct  []string // for the read-back, by an ordinary dial
	topic   string
	about   string // where it is, in a line
	created bool   // the topic, by us, on a real cluster

	embedded *kfake.Cluster

	mu     sync.Mutex
	mode   mode
	gates  map[string]*gate // by the address that a producer dials
	ctx    context.Context  // of the forwarders
	cancel context.CancelFunc
	over   bool
}

func embedded(topic string) (*cluster, error) {
	g, err := newGate()
	if err != nil {
		return nil, err
	}
	if err := g.set(down); err != nil {
		return nil, err
	}
	fake, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.SeedTopics(partitions, topic),
		kfake.ListenFn(func(_, _ string) (net.Listener, error) { return g, nil }),
	)
	if err != nil {
		g.Close()
		return nil, fmt.Errorf("the embedded broker: %w", err)
	}
	return &cluster{
		brokers: []string{g.address}, direct: []string{g.address}, topic: topic,
		about:    fmt.Sprintf("Broker: embedded (kfake) on %s, topic %s, %d partitions.", g.address, topic, partitions),
		embedded: fake, gates: map[string]*gate{g.address: g},
	}, nil
}

// real prepares a cluster elsewhere. Without a topic one is created, and removed by close.
func real(ctx context.Context, brokers []string, topic, run string) (*cluster, error) {
	c := &cluster{brokers: brokers, direct: brokers, topic: topic, gates: make(map[string]*gate)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if err := reachable(ctx, brokers); err != nil {
		return nil, err
	}
	note := ""
	if topic == "" {
		c.topic, c.created = "surestart-demo-"+run, true
		if err := c.createTopic(ctx); err != nil {
			return nil, err
		}
		note = " (made for this run, removed at its end)"
	}
	if err := c.awaitTopic(ctx); err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.about = fmt.Sprintf("Cluster: %s, topic %s%s.\nA proxy of ours in front of each broker is what goes down, hangs, is killed, and counts.",
		strings.Join(brokers, ","), c.topic, note)
	return c, nil
}

// reachable says plainly what a client would wrap in much else.
func reachable(ctx context.Context, brokers []string) error {
	d := net.Dialer{Timeout: 5 * time.Second}
	var failures []error
	for _, b := range brokers {
		conn, err := d.DialContext(ctx, "tcp", b)
		if err == nil {
			return conn.Close()
		}
		failures = append(failures, fmt.Errorf("no broker at %s: %w", b, err))
	}
	return errors.Join(failures...)
}

func (c *cluster) client() (*kafka.Client, func()) {
	transport := &kafka.Transport{ClientID: "surestart-demo"}
	return &kafka.Client{Addr: kafka.TCP(c.direct...), Transport: transport}, transport.CloseIdleConnections
}

func (c *cluster) createTopic(ctx context.Context) error {
	client, done := c.client()
	defer done()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	res, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
		{Topic: c.topic, NumPartitions: partitions, ReplicationFactor: -1}, // -1: as the cluster is configured
	}})
	if err == nil {
		err = res.Errors[c.topic]
	}
	if err != nil {
		return fmt.Errorf("creating topic %s on %s: %w", c.topic, c.direct[0], err)
	}
	return nil
}

// awaitTopic returns when every partition of the topic has a leader. A topic that
// we created may take a moment; any other has to exist.
func (c *cluster) awaitTopic(ctx context.Context) error {
	client, done := c.client()
	defer done()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		res, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{c.topic}})
		if err == nil {
			err = topicError(res, c.topic)
		}
		if err == nil {
			return nil
		}
		final := !c.created || !errors.Is(err, kafka.UnknownTopicOrPartition) && !errors.Is(err, kafka.LeaderNotAvailable)
		if final || ctx.Err() != nil {
			return fmt.Errorf("topic %s on %s: %w", c.topic, c.direct[0], err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func topicError(res *kafka.MetadataResponse, topic string) error {
	for _, t := range res.Topics {
		if t.Name != topic {
			continue
		}
		for _, p := range t.Partitions {
			if t.Error == nil && p.Error != nil {
				return p.Error
			}
		}
		return t.Error
	}
	return kafka.UnknownTopicOrPartition
}

// dial is how a producer reaches a broker: on a real cluster through its gate.
func (c *cluster) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c.mu.Lock()
	if c.over { // what a naive producer left behind goes on dialling
		c.mu.Unlock()
		return nil, net.ErrClosed
	}
	g, ok := c.gates[address]
	if !ok && c.embedded == nil {
		var err error
		if g, err = newGate(); err == nil {
			err = g.set(c.mode)
		}
		if err != nil {
			c.mu.Unlock()
			return nil, err
		}
		c.gates[address] = g
		go g.forward(c.ctx, address)
	}
	c.mu.Unlock()
	if g != nil {
		address = g.address
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

func (c *cluster) set(m mode) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mode = m
	for _, g := range c.gates {
		if err := g.set(m); err != nil {
			return err
		}
	}
	return nil
}

// counts adds up what the gates have seen since they were made: opened is the number of
// openings, answered the number of requests of such that got an answer. For metadata an opening
// asks one broker; for offsets it asks each leader once, so the busiest broker's count is theirs.
func (c *cluster) counts(key uint16) (opened, answered int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.gates {
		n := g.tally.asked[key].Load()
		if key == keyMetadata {
			opened += n
		} else {
			opened = max(opened, n)
		}
		answered += g.tally.answered[key].Load()
	}
	return opened, answered
}

// open is the number of connections that are established with the brokers.
func (c *cluster) open() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.gates {
		n += g.open()
	}
	return n
}

// close ends the gates and the embedded broker, or removes the topic that was created.
func (c *cluster) close() error {
	c.mu.Lock()
	c.over = true
	for _, g := range c.gates {
		g.Close()
	}
	c.mu.Unlock()
	if c.embedded != nil {
		c.embedded.Close()
		return nil
	}
	c.cancel()
	if !c.created {
		return nil
	}
	client, done := c.client()
	defer done()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	res, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{c.topic}})
	if err == nil {
		err = res.Errors[c.topic]
	}
	if err != nil {
		return fmt.Errorf("removing topic %s: %w", c.topic, err)
	}
	return nil
}
