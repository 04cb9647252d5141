package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
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

// route chooses the partitions, and takes room for the messages. It refuses only those messages
// that no batch can hold, whose topic cannot be used, or whose balancer fails. They take no room.
//
// The metadata of a topic that is not known yet may take long, and must not delay messages of other
// topics: late then has the messages of such topics. Admit the others, and call routeLate.
func (c *call) route(ctx context.Context, s *session, msgs []kafka.Message, began time.Time) error {
	if cap(c.next) < len(msgs) {
		c.next = make([]int32, len(msgs))
	}
	c.next = c.next[:len(msgs)]
	c.refused, c.admitted, c.late, c.unknown = 0, 0, nil, nil
	if err := c.choose(ctx, s, msgs, began, nil); err != nil {
		return err
	}
	if len(c.parts) == 0 && c.late != nil { // they delay nothing
		late := c.late
		c.late = nil
		if err := c.choose(ctx, s, msgs, began, late); err != nil {
			return err
		}
	}
	if c.refused == len(msgs) {
		c.extra = 0
		return nil
	}
	return c.take(ctx, s, began, c.extra)
}

// routeLate is route for the late messages. An error refuses them only.
func (c *call) routeLate(ctx context.Context, s *session, msgs []kafka.Message, began time.Time) {
	err := c.choose(ctx, s, msgs, began, c.late)
	if err == nil && len(c.parts) > c.admitted {
		err = c.takeLate(ctx, s, began)
	}
	if errors.Is(err, ErrStopping) {
		err = ErrStopping
	}
	if err != nil {
		c.refuseLate(err)
	}
}

// takeLate takes room for the late messages. A demand larger than the whole room fits when nothing else
// is taken, so extra is given back, and taken again with them.
func (c *call) takeLate(ctx context.Context, s *session, began time.Time) error {
	taken := false
	defer func() {
		if !taken {
			s.e.room.charge(nil, c.extra)
		}
	}()
	s.e.room.charge(nil, -c.extra)
	err := c.take(ctx, s, began, c.extra)
	taken = err == nil
	return err
}

// refuseLate refuses the late messages.
func (c *call) refuseLate(cause error) {
	c.parts, c.refused = c.parts[:c.admitted], 0
	for _, i := range c.late {
		c.refuse(int(i), core.NotSent, cause)
	}
}

// take takes room for the parts that are not admitted yet.
func (c *call) take(ctx context.Context, s *session, began time.Time, extra int64) error {
	d := demand{extra, c.parts[c.admitted:]}
	for i := range d.parts {
		d.n += d.parts[i].room
	}
	if s.e.room.try(d) {
		return nil
	}
	ctx, cancel := s.patient(ctx, began)
	defer cancel()
	return s.e.room.take(ctx, d)
}

// choose chooses the partitions of messages: of the late ones, or, if late is nil, of all whose topic
// is known; then it makes the list of the late ones.
func (c *call) choose(ctx context.Context, s *session, msgs []kafka.Message, began time.Time, late []int32) error {
	n := len(msgs)
	if late != nil {
		n = len(late)
		s.cluster.Use(slices.Collect(maps.Keys(c.unknown))...) // so that one request asks for all of them
	}
	var bad error       // why a topic cannot be used
	var badTopic string // that one
	var t *topic
	var all []*sender.Partition // of t, as they were when the call looked: later there may be fewer
	sticky := int32(-1)         // the partition of those without a key
	for k := range n {
		i := k
		if late != nil {
			i = int(late[k])
		}
		m := &msgs[i]
		if err := s.e.unfit(m); err != nil {
			c.refuse(i, core.Rejected, err)
			continue
		}
		name := m.Topic
		if name == "" {
			if len(s.e.cfg.Topics) == 0 {
				return errNoTopic
			}
			name = s.e.cfg.Topics[0]
		}
		if bad != nil && name == badTopic {
			c.refuse(i, core.NotSent, bad)
			continue
		}
		if t == nil || t.name != name {
			t = (*s.e.topics.Load())[name]
			ready := t != nil && t.ready()
			if late == nil && (!ready || c.unknown[name]) {
				if c.unknown == nil {
					c.unknown = make(map[string]bool)
				}
				c.unknown[name] = true
				c.late, t = append(c.late, int32(i)), nil
				continue
			}
			if !ready {
				var err error
				t, err = s.firstUse(ctx, name, began)
				if u, ok := err.(unusable); ok {
					err = u.TopicError
				} else if err != nil && (len(c.unknown) == 1 || errors.Is(err, ErrStopping)) {
					return err
				}
				if err != nil {
					bad, badTopic = err, name
					c.refuse(i, core.NotSent, bad)
					continue
				}
			}
			all, sticky = t.live(), -1
			if now := began.Unix(); t.used.Load() != now {
				t.used.Store(now)
			}
		}
		var at int32
		switch {
		case s.e.cfg.Balancer != nil || m.Key != nil:
			n, err := s.e.balance(t, len(all), m)
			if err != nil {
				c.refuse(i, core.NotSent, err)
				continue
			}
			at = int32(n)
		default:
			if sticky < 0 {
				sticky = s.e.sticky(t, all)
			}
			at = sticky
		}
		c.link(all[at], int32(i), int64(sizeOf(m)))
	}
	return nil
}

// refuse gives a message its verdict before it is in a part.
func (c *call) refuse(i int, v core.Verdict, cause error) {
	c.Refuse(int32(i), sender.Failure{Verdict: v, Cause: cause})
	c.refused++
}

// link adds a message to the part of the call for a partition.
func (c *call) link(p *sender.Partition, i int32, size int64) {
	c.next[i] = -1
	for k := len(c.parts) - 1; k >= c.admitted; k-- {
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

// balance calls the balancer, which may panic or return an invalid partition.
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

// sticky returns the partition for messages without a key. It is one partition until that takes a
// batch, then the next ready one, preferably one with nothing under way. Without a ready partition
// it is one with a leader.
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

// ready reports whether messages without a key should go to a partition.
func (e *Engine) ready(p *sender.Partition) bool { return p.Ready() && !e.room.full(p) }

// probes is how many partitions are searched for one with nothing under way.
const probes = 8
