package producer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// topics remembers how many partitions every topic has that was seen to be there. A
// balancer needs no more, and a broker that has just come back, or
// an election, may hide a topic for a moment: no write is to fail by that.
type topics struct {
	mu    sync.Mutex
	known atomic.Pointer[map[string]int] // replaced, never changed
}

func (t *topics) partitions(topic string) int {
	if known := t.known.Load(); known != nil {
		return (*known)[topic]
	}
	return 0
}

func (t *topics) note(topic string, partitions int) {
	if t.partitions(topic) == partitions {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	next := make(map[string]int)
	if known := t.known.Load(); known != nil {
		maps.Copy(next, *known)
	}
	next[topic] = partitions
	t.known.Store(&next)
}

// ask returns how many partitions a topic has, from the Transport's cache nearly
// always. It proves a topic on its first use.
func (c *courier) ask(ctx context.Context, topic string) (partitions int, err error) {
	names := []string{topic}
	res, err := c.next.RoundTrip(ctx, c.s.addr, &metadata.Request{TopicNames: names})
	if err != nil {
		return 0, err
	}
	m := res.(*metadata.Response)
	if len(m.Topics) > 0 && m.Topics[0].ErrorCode == int16(kafka.UnknownTopicOrPartition) {
		switch {
		case c.s.cfg.AllowAutoTopicCreation:
			m, err = c.create(ctx, names)
		case !c.s.p.isDeclared[topic]:
			m, err = c.prove(ctx, names)
		}
		if err != nil {
			return 0, err
		}
	}
	known := c.s.topics.partitions(topic)
	i := slices.IndexFunc(m.Topics, func(t metadata.ResponseTopic) bool { return t.Name == topic })
	if i < 0 { // always there, unless a broker has a bug
		return 0, &TopicError{Topic: topic, Err: kafka.UnknownTopicOrPartition}
	}
	code := kafka.Error(m.Topics[i].ErrorCode)
	if n := len(m.Topics[i].Partitions); code == 0 && n > 0 {
		c.s.topics.note(topic, n)
		return n, nil
	} else if code == 0 {
		code = kafka.LeaderNotAvailable // a balancer would divide by it
	}
	// Nobody has promised that an undeclared topic stays.
	gone := code == kafka.UnknownTopicOrPartition && !c.s.p.isDeclared[topic]
	if known == 0 || gone || !mayPass(code) {
		return 0, &TopicError{Topic: topic, Err: code}
	}
	return known, nil
}

// create asks the brokers to create a topic. It may wait for the topic to appear,
// for as long as its context lasts.
func (c *courier) create(ctx context.Context, topics []string) (*metadata.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.s.cfg.DeliveryTimeout)
	defer cancel()
	defer context.AfterFunc(c.s.ctx, cancel)()
	res, err := c.next.RoundTrip(ctx, c.s.addr, &metadata.Request{TopicNames: topics, AllowAutoTopicCreation: true})
	if err != nil {
		return nil, err
	}
	return res.(*metadata.Response), nil
}

// prove asks the brokers, not the cache, whether a topic exists.
func (c *courier) prove(ctx context.Context, topics []string) (*metadata.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.s.cfg.ReadTimeout)
	defer cancel()
	defer context.AfterFunc(c.s.ctx, cancel)()
	fresh := c.s.newTransport(topics)
	defer fresh.CloseIdleConnections()
	res, err := fresh.RoundTrip(ctx, c.s.addr, &metadata.Request{TopicNames: topics})
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
	_, err = c.next.RoundTrip(ctx, c.s.addr, &metadata.Request{TopicNames: topics, AllowAutoTopicCreation: true})
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
	var e kafka.Error
	return !errors.As(err, &e) || codes[e].moved
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
