package producer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// topics remembers the partitions of every topic that was seen to be there. The
// Writer needs no more than their number, and a broker that has just come back, or
// an election, may hide a topic for a moment: no write is to fail by that.
type topics struct {
	mu    sync.Mutex
	known atomic.Pointer[map[string][]metadata.ResponsePartition] // replaced, never changed
}

func (t *topics) partitions(topic string) []metadata.ResponsePartition {
	if known := t.known.Load(); known != nil {
		return (*known)[topic]
	}
	return nil
}

func (t *topics) note(topic string, partitions []metadata.ResponsePartition) {
	if len(t.partitions(topic)) == len(partitions) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	next := make(map[string][]metadata.ResponsePartition)
	if known := t.known.Load(); known != nil {
		maps.Copy(next, *known)
	}
	next[topic] = partitions
	t.known.Store(&next)
}

// An inquiry is the context of one handing over of messages, and what the Writer has
// learnt of their topic meanwhile. It asks for each message, and each answer is a copy
// of the Transport's cache: a fifth of what a message costs. Within one call the
// answer of the first is good for the rest.
type inquiry struct {
	context.Context
	topic  string // that was asked for last
	answer *metadata.Response
}

// metadata answers what the Writer asks before it chooses a partition, from the
// Transport's cache nearly always.
func (c *courier) metadata(ctx context.Context, addr net.Addr, req *metadata.Request) (kafka.Response, error) {
	q := ctx.(*inquiry) // kafka-go asks within WriteMessages only, and passes it on
	if topic := req.TopicNames[0]; q.answer == nil || q.topic != topic {
		m, err := c.ask(q.Context, addr, req)
		if err != nil {
			return nil, err
		}
		q.topic, q.answer = topic, m
	}
	return q.answer, nil
}

func (c *courier) ask(ctx context.Context, addr net.Addr, req *metadata.Request) (*metadata.Response, error) {
	create := req.AllowAutoTopicCreation
	req.AllowAutoTopicCreation = false // so that the answer is the cache's
	res, err := c.next.RoundTrip(ctx, addr, req)
	if err != nil {
		return nil, err
	}
	m := res.(*metadata.Response)
	if len(m.Topics) > 0 && m.Topics[0].ErrorCode == int16(kafka.UnknownTopicOrPartition) {
		switch {
		case create:
			m, err = c.create(ctx, addr, req.TopicNames)
		case !c.s.p.isDeclared[m.Topics[0].Name]:
			m, err = c.prove(ctx, addr, req.TopicNames)
		}
		if err != nil {
			return nil, err
		}
	}
	for i := range m.Topics {
		t := &m.Topics[i]
		code := kafka.Error(t.ErrorCode)
		if code == 0 && len(t.Partitions) == 0 {
			code = kafka.LeaderNotAvailable // a balancer would divide by it
		}
		if code == 0 {
			c.s.topics.note(t.Name, t.Partitions)
			continue
		}
		known := c.s.topics.partitions(t.Name)
		// Nobody has promised that an undeclared topic stays.
		gone := code == kafka.UnknownTopicOrPartition && !c.s.p.isDeclared[t.Name]
		if known == nil || gone || !code.Temporary() {
			return nil, &TopicError{Topic: t.Name, Err: code}
		}
		t.ErrorCode, t.Partitions = 0, known
	}
	return m, nil
}

// create asks the brokers to create a topic. It may wait for the topic to appear,
// for as long as its context lasts.
func (c *courier) create(ctx context.Context, addr net.Addr, topics []string) (*metadata.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.s.cfg.DeliveryTimeout)
	defer cancel()
	defer context.AfterFunc(c.s.ctx, cancel)()
	res, err := c.next.RoundTrip(ctx, addr, &metadata.Request{TopicNames: topics, AllowAutoTopicCreation: true})
	if err != nil {
		return nil, err
	}
	return res.(*metadata.Response), nil
}

// prove asks the brokers, not the cache, whether a topic exists.
func (c *courier) prove(ctx context.Context, addr net.Addr, topics []string) (*metadata.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.s.cfg.ReadTimeout)
	defer cancel()
	defer context.AfterFunc(c.s.ctx, cancel)()
	fresh := c.s.newTransport(topics)
	defer fresh.CloseIdleConnections()
	res, err := fresh.RoundTrip(ctx, addr, &metadata.Request{TopicNames: topics})
	if err != nil {
		return nil, err
	}
	m := res.(*metadata.Response)
	if m.Topics[0].ErrorCode != 0 {
		return m, nil
	}
	// It is there, but the Transport does not know its leaders before it looks
	// again, seconds later. To be asked to create it is all that makes it look now;
	// since the topic is there, nothing is created.
	_, err = c.next.RoundTrip(ctx, addr, &metadata.Request{TopicNames: topics, AllowAutoTopicCreation: true})
	return m, err
}

// look is when the Transport was last told to look at the cluster.
type look struct {
	mu   sync.Mutex
	busy bool
	last time.Time
}

// lookPause is the least between two looks, however many batches ask for one.
const lookPause = 100 * time.Millisecond

// lookAgain makes the Transport ask who leads what, in the background. By itself it
// does so every few seconds; until then it would send to a leader that has moved.
func (c *courier) lookAgain() {
	l := &c.look
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy || time.Since(l.last) < lookPause || !c.s.probes.enter() {
		return
	}
	l.busy, l.last = true, time.Now()
	go func() {
		defer c.s.probes.leave()
		ctx, cancel := context.WithTimeout(c.s.ctx, c.s.cfg.ReadTimeout)
		defer cancel()
		// What makes it look is the answer to a request to create a topic that it
		// does not know. No topic can have this name: none is created.
		c.next.RoundTrip(ctx, c.s.addr, &metadata.Request{TopicNames: []string{"."}, AllowAutoTopicCreation: true})
		l.mu.Lock()
		defer l.mu.Unlock()
		l.busy = false
	}()
}

// moved tells whether an attempt failed as one that went to the wrong broker would,
// or to one that is gone.
func moved(err error) bool {
	var code kafka.Error
	if !errors.As(err, &code) {
		return true
	}
	switch code {
	case kafka.UnknownTopicOrPartition, kafka.LeaderNotAvailable, kafka.NotLeaderForPartition, kafka.BrokerNotAvailable,
		kafka.FencedLeaderEpoch, kafka.UnknownLeaderEpoch, kafka.KafkaStorageError:
		return true
	}
	return false
}

// coded gives kafka-go's own errors, of a partition that it knows no way to, the
// codes that a broker would use.
func coded(err error) error {
	switch {
	case errors.Is(err, protocol.ErrNoTopic), errors.Is(err, protocol.ErrNoPartition):
		return fmt.Errorf("%w: %w", kafka.UnknownTopicOrPartition, err)
	case errors.Is(err, protocol.ErrNoLeader):
		return fmt.Errorf("%w: %w", kafka.LeaderNotAvailable, err)
	}
	return err
}
