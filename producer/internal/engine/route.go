package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

// sizeOf is how much of the room a message takes: its bytes, and its bookkeeping.
func sizeOf(m *kafka.Message) int32 {
	n := 64 + len(m.Key) + len(m.Value)
	for i := range m.Headers {
		n += 16 + len(m.Headers[i].Key) + len(m.Headers[i].Value)
	}
	return int32(min(n, 1<<31-1))
}

// route chooses the partitions, and takes room for the messages. It refuses those messages alone
// whose topic cannot be used, or whose balancer fails.
func (c *call) route(ctx context.Context, s *session, msgs []kafka.Message, began time.Time) error {
	if cap(c.next) < len(msgs) {
		c.next = make([]int32, len(msgs))
	}
	c.next = c.next[:len(msgs)]
	c.refused = 0
	room := c.extra
	var bad error       // why a topic cannot be used
	var badTopic string // that one
	var t *topic
	var all []*sender.Partition // of t, as they were when the call looked: a start may find fewer
	sticky := int32(-1)         // the partition of those without a key
	for i := range msgs {
		m := &msgs[i]
		name := m.Topic
		if name == "" {
			if len(s.e.cfg.Topics) == 0 {
				return ErrNoTopic
			}
			name = s.e.cfg.Topics[0]
		}
		if bad != nil && name == badTopic {
			c.refuse(i, bad)
			continue
		}
		if t == nil || t.name != name {
			if t = (*s.e.topics.Load())[name]; t == nil || !t.ready() {
				var err error
				t, err = s.firstUse(ctx, name, began)
				if u, ok := err.(unusable); ok {
					bad, badTopic = u.TopicError, name
					c.refuse(i, bad)
					continue
				}
				if err != nil {
					return err
				}
			}
			all, sticky = t.all(), -1
			if now := began.Unix(); t.used.Load() != now {
				t.used.Store(now)
			}
		}
		var at int32
		switch {
		case s.e.cfg.Balancer != nil || m.Key != nil:
			n, err := s.e.balance(t, len(all), m)
			if err != nil {
				c.refuse(i, err)
				continue
			}
			at = int32(n)
		default:
			if sticky < 0 {
				sticky = s.e.sticky(t, all)
			}
			at = sticky
		}
		size := int64(sizeOf(m))
		room += size
		c.link(all[at], int32(i), size)
	}
	if c.refused == len(msgs) {
		c.extra = 0
		return nil
	}
	d := demand{room, c.parts}
	if s.e.room.try(d) {
		return nil
	}
	ctx, cancel := s.patient(ctx, began)
	defer cancel()
	return s.e.room.take(ctx, d)
}

// refuse gives a message its verdict before it is in a part.
func (c *call) refuse(i int, cause error) {
	c.Refuse(int32(i), sender.Failure{Verdict: core.NotSent, Cause: cause})
	c.refused++
}

// link adds a message to the part of the call for a partition.
func (c *call) link(p *sender.Partition, i int32, size int64) {
	c.next[i] = -1
	for k := len(c.parts) - 1; k >= 0; k-- {
		if q := &c.parts[k]; q.p == p {
			c.next[q.last], q.last = i, i
			q.n++
			q.room += size
			return
		}
	}
	c.parts = append(c.parts, part{p: p, first: i, last: i, n: 1, room: size})
}

// patient returns a context that ends with ctx, with a stop, and at the deadline of a call.
func (s *session) patient(ctx context.Context, began time.Time) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(s.e.cfg.DeliveryTimeout-time.Since(began), func() { cancel(ErrDeadline) })
	stop := context.AfterFunc(s.stopping, func() { cancel(ErrStopping) })
	return ctx, func() {
		timer.Stop()
		stop()
		cancel(nil)
	}
}

// firstUse asks for a topic.
func (s *session) firstUse(ctx context.Context, name string, began time.Time) (*topic, error) {
	ctx, cancel := s.patient(ctx, began)
	defer cancel()
	return s.topic(ctx, name)
}

var murmur2 kafka.Murmur2Balancer

// balance asks the balancer, which may panic, and return nonsense.
func (e *Engine) balance(t *topic, partitions int, m *kafka.Message) (n int, err error) {
	ids := *t.ids.Load()
	partitions = min(partitions, len(ids))
	ids = ids[:partitions:partitions]
	if e.cfg.Balancer == nil {
		return murmur2.Balance(*m, ids...), nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %w", ErrBalancer, &fsm.PanicError{Value: v, Stack: debug.Stack()})
		}
	}()
	if n = e.cfg.Balancer.Balance(*m, ids...); n < 0 || n >= partitions {
		return 0, fmt.Errorf("%w: topic %q has no partition %d", ErrBalancer, t.name, n)
	}
	return n, nil
}

// sticky returns where messages without a key go: to one partition until it takes a batch, and then
// to the next that is ready, and has nothing under way if there is such a one. Without one that is ready
// they go to one that has a leader.
func (e *Engine) sticky(t *topic, all []*sender.Partition) int32 {
	n := int32(len(all))
	now := t.current.Load()
	at := int32(uint32(now)) % n
	current := all[at]
	ready := e.ready(current)
	stay := ready && current.Batches() == uint32(now>>32)
	if stay && !current.Busy() {
		return at
	}
	next, led := int32(-1), int32(-1)
	for i := int32(1); i <= n && (i <= probes || next < 0); i++ {
		k := (at + i) % n
		p := all[k]
		if !e.ready(p) {
			if led < 0 && p.Led() {
				led = k
			}
			continue
		}
		if !p.Busy() {
			next, stay = k, false
			break
		}
		if next < 0 {
			next = k
		}
	}
	if next < 0 && !current.Led() {
		next = led
	}
	if stay || next < 0 {
		return at
	}
	if !t.current.CompareAndSwap(now, uint64(all[next].Batches())<<32|uint64(next)) { // together with another call
		return int32(uint32(t.current.Load())) % n
	}
	return next
}

// ready reports whether messages without a key may go to a partition although others may take them.
func (e *Engine) ready(p *sender.Partition) bool { return p.Ready() && !e.room.full(p) }

// probes is how many partitions are looked at for one that has nothing under way.
const probes = 8
