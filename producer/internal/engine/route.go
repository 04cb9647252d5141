package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
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

// route chooses the partitions, and takes room for the messages. Messages that are too large
// get their verdict.
func (c *call) route(ctx context.Context, s *session, msgs []kafka.Message, began time.Time) error {
	if cap(c.next) < len(msgs) {
		c.next = make([]int32, len(msgs))
	}
	c.next = c.next[:len(msgs)]
	room := c.extra
	var t *topic
	sticky := int32(-1) // the partition of those without a key
	for i := range msgs {
		m := &msgs[i]
		name := m.Topic
		if name == "" {
			if len(s.e.cfg.Topics) == 0 {
				return ErrNoTopic
			}
			name = s.e.cfg.Topics[0]
		}
		if t == nil || t.name != name {
			if t = (*s.e.topics.Load())[name]; t == nil || !t.ready() {
				var err error
				if t, err = s.firstUse(ctx, name, began); err != nil {
					return err
				}
			}
			sticky = -1
			if now := began.Unix(); t.used.Load() != now {
				t.used.Store(now)
			}
		}
		room += int64(sizeOf(m))
		var at int32
		switch {
		case s.e.cfg.Balancer != nil || m.Key != nil:
			n, err := s.e.balance(t, m)
			if err != nil {
				return err
			}
			at = int32(n)
		default:
			if sticky < 0 {
				sticky = t.sticky()
			}
			at = sticky
		}
		c.link(t.all()[at], int32(i))
	}
	if s.e.room.try(room) {
		return nil
	}
	ctx, cancel := s.patient(ctx, began)
	defer cancel()
	return s.e.room.take(ctx, room)
}

// link adds a message to the part of the call for a partition.
func (c *call) link(p *sender.Partition, i int32) {
	c.next[i] = -1
	for k := len(c.parts) - 1; k >= 0; k-- {
		if q := &c.parts[k]; q.p == p {
			c.next[q.last], q.last = i, i
			q.n++
			return
		}
	}
	c.parts = append(c.parts, part{p: p, first: i, last: i, n: 1})
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
func (e *Engine) balance(t *topic, m *kafka.Message) (n int, err error) {
	ids := *t.ids.Load()
	ids = ids[:len(ids):len(ids)]
	if e.cfg.Balancer == nil {
		return murmur2.Balance(*m, ids...), nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %w", ErrBalancer, &fsm.PanicError{Value: v, Stack: debug.Stack()})
		}
	}()
	if n = e.cfg.Balancer.Balance(*m, ids...); n < 0 || n >= len(t.all()) {
		return 0, fmt.Errorf("%w: topic %q has no partition %d", ErrBalancer, t.name, n)
	}
	return n, nil
}

// sticky returns where messages without a key go: to the same partition until its batch is
// under way, and then to another that has a leader, and nothing under way if there is one.
func (t *topic) sticky() int32 {
	all := t.all()
	n := int32(len(all))
	at := t.current.Load() % n
	if p := all[at]; p.Led() && !p.Busy() {
		return at
	}
	led := int32(-1)
	for i := int32(1); i <= n && (i <= probes || led < 0); i++ {
		next := (at + i) % n
		if p := all[next]; p.Led() {
			if !p.Busy() {
				t.current.Store(next)
				return next
			}
			if led < 0 {
				led = next
			}
		}
	}
	if all[at].Led() || led < 0 {
		return at
	}
	t.current.Store(led)
	return led
}

// probes is how many partitions are looked at for one that has nothing under way.
const probes = 8
