package producer

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
)

// A call is one WriteMessages, or one Send. Lanes and Writer are asynchronous; the
// call waits for its messages itself, and so knows the result of each, lets its
// caller leave, and holds the lease and the bytes until the last one has its result.
type call struct {
	s     *session
	lease fsm.Lease[*session]
	bytes int64  // of the budget
	slots []slot // one for each message of the call

	left   atomic.Int64  // messages without a result
	state  atomic.Uint32 // waiting, finished or abandoned
	failed atomic.Bool

	sent  *Delivery     // a Send's; nil: a WriteMessages waits, on
	done  chan struct{} // which receives once when finished
	timer *time.Timer
}

const (
	waiting = iota
	finished
	abandoned
)

// A slot is where the result of one message goes; the message carries it as its
// WriterData.
type slot struct {
	call      *call
	data      any   // the user's WriterData
	size      int64 // of the message
	partition int   // -1: none was chosen
	offset    int64 // -1: not known; fixed when has is set
	err       error // the same
	has       atomic.Bool
}

// keep is how large a call may be that is kept for the next one.
const keep = 4096

func (s *session) newCall() *call {
	if c, ok := s.calls.Get().(*call); ok {
		return c
	}
	return &call{s: s, done: make(chan struct{}, 1)}
}

// A route is where the messages of a call go.
type route struct {
	lanes   []*lane // of each message; nil: none
	claimed []*lane // of them, those that were free
	topic   string  // of the latest message
	latest  []*lane // those of that topic, by partition
}

// submit takes the messages over: it queues them in their lanes. It reports whether
// any was: else each has its result. The caller's slice is left as it is.
func (c *call) submit(ctx context.Context, msgs []kafka.Message) (accepted bool) {
	s := c.s // c may have ended when this returns
	n := c.fill(msgs)
	if n == 0 {
		c.left.Store(1)
		c.settle(1)
		return false
	}
	c.left.Store(n)
	if !s.inside.enter() {
		c.failAll(errCutOff)
		return false
	}
	defer s.inside.leave()
	s.pending.Add(n)
	r, ok := s.routes.Get().(*route)
	if !ok {
		r = new(route)
	}
	err := errBalancer
	defer func() { // a balancer may panic
		if !accepted {
			s.fell(n, 0)
			c.failAll(err)
		}
		if cap(r.lanes) <= keep {
			clear(r.latest)
			*r = route{lanes: r.lanes[:0], claimed: r.claimed[:0], latest: r.latest[:0]}
			s.routes.Put(r)
		}
	}()
	if err = c.choose(ctx, r, msgs); err != nil {
		return false
	}
	accepted = true
	for _, l := range r.lanes {
		if l != nil && l.put(c, msgs, r.lanes) {
			r.claimed = append(r.claimed, l)
		}
	}
	if len(r.claimed) > 0 {
		runtime.Gosched() // who is about to write too does it first, and shares the batch
	}
	for _, l := range r.claimed {
		l.run()
	}
	return true
}

// fill makes a slot for each message, and returns how many are to be sent.
func (c *call) fill(msgs []kafka.Message) (n int64) {
	if cap(c.slots) < len(msgs) {
		c.slots = make([]slot, len(msgs))
	}
	c.slots = c.slots[:len(msgs)]
	for i := range msgs {
		m, slot := &msgs[i], &c.slots[i]
		slot.call, slot.data, slot.size, slot.partition, slot.offset = c, m.WriterData, size(m), -1, -1
		if slot.size > c.s.cfg.BatchBytes {
			slot.fail(failed(ErrRejected, kafka.MessageTooLargeError{Message: *m}))
			continue
		}
		n++
	}
	return n
}

// choose asks the balancer for the partition of each message that is to be sent.
func (c *call) choose(ctx context.Context, r *route, msgs []kafka.Message) error {
	s := c.s
	for i := range msgs {
		m, slot := &msgs[i], &c.slots[i]
		if slot.has.Load() {
			r.lanes = append(r.lanes, nil)
			continue
		}
		topic := m.Topic
		if topic == "" {
			topic = s.cfg.Topic
		}
		if topic != r.topic {
			n, err := s.courier.ask(ctx, topic)
			if err != nil {
				return err
			}
			clear(r.latest)
			r.topic, r.latest = topic, slices.Grow(r.latest[:0], n)[:n]
		}
		p := s.cfg.Balancer.Balance(*m, s.ids.partitions(len(r.latest))...)
		slot.partition = p
		if p < 0 || p >= len(r.latest) { // of a balancer with a mind of its own: a broker will refuse it
			r.lanes = append(r.lanes, s.lane(topic, p))
			continue
		}
		if r.latest[p] == nil {
			r.latest[p] = s.lane(topic, p)
		}
		r.lanes = append(r.lanes, r.latest[p])
	}
	return nil
}

// failAll ends every message that was to be sent: none was.
func (c *call) failAll(cause error) {
	err, n := failed(ErrNotSent, cause), int64(0)
	for i := range c.slots {
		if !c.slots[i].has.Load() {
			c.slots[i].fail(err)
			n++
		}
	}
	c.settle(n)
}

func (s *slot) fail(err error) {
	s.err = err
	s.call.failed.Store(true)
	s.has.Store(true)
}

// settle notes that n more messages have their results. The call may belong to
// another caller once it returns.
func (c *call) settle(n int64) {
	if c.left.Add(-n) > 0 {
		return
	}
	c.lease.Release()
	c.s.p.budget.give(c.bytes)
	switch finished := c.state.CompareAndSwap(waiting, finished); {
	case c.sent != nil:
		c.sent.settled(finished)
	case finished:
		c.done <- struct{}{}
	default:
		c.recycle()
	}
}

// wait waits for the results, or leaves.
func (c *call) wait(ctx context.Context, began time.Time) error {
	limit := c.s.cfg.DeliveryTimeout
	if !began.IsZero() {
		limit -= time.Since(began)
	}
	if c.timer == nil {
		c.timer = time.NewTimer(limit)
	} else {
		c.timer.Reset(limit)
	}
	var cause error
	select {
	case <-c.done:
		return c.result()
	case <-ctx.Done():
		cause = context.Cause(ctx)
	case <-c.timer.C:
		cause = errDeliveryTimeout
	}
	return c.abandon(cause)
}

func (c *call) result() error {
	var err error
	if c.failed.Load() {
		err = c.writeError(nil)
	}
	c.timer.Stop()
	c.recycle()
	return err
}

// abandon lets the caller leave. The call lives on until its last message has its
// result.
func (c *call) abandon(cause error) error {
	c.timer.Stop()
	err := c.writeError(failed(ErrMaybeDelivered, cause))
	if c.state.CompareAndSwap(waiting, abandoned) {
		return err
	}
	<-c.done // it finished first
	return c.result()
}

// writeError collects the results; unknown is the error of those that have none.
func (c *call) writeError(unknown error) *WriteError {
	errs := make(kafka.WriteErrors, len(c.slots))
	for i := range c.slots {
		if slot := &c.slots[i]; slot.has.Load() {
			errs[i] = slot.err
		} else {
			errs[i] = unknown
		}
	}
	return &WriteError{errs}
}

// recycle keeps the call for the next one, if it is not too large to keep.
func (c *call) recycle() {
	if cap(c.slots) > keep {
		return
	}
	for i := range c.slots {
		slot := &c.slots[i]
		slot.call, slot.data, slot.err = nil, nil, nil
		slot.has.Store(false)
	}
	c.slots = c.slots[:0]
	c.lease = fsm.Lease[*session]{}
	c.failed.Store(false)
	c.state.Store(waiting)
	c.s.calls.Put(c)
}

// completed is the Writer's Completion: it gives the messages of a batch their
// results, part by part if it was sent in parts.
func (s *session) completed(msgs []kafka.Message, err error) {
	defer s.lane(msgs[0].Topic, msgs[0].WriterData.(*slot).partition).ended(len(msgs))
	var v *verdict
	switch {
	case err == nil:
	case !errors.As(err, &v):
		// What does not come from the courier comes from kafka-go's reading of an
		// answer: the request was sent.
		err = failed(ErrMaybeDelivered, err)
	case v.parts == nil:
		err = &v.failure
	default:
		for i := range v.parts {
			p := &v.parts[i]
			batch := msgs[p.from:p.to]
			if p.err == nil {
				p.place(batch)
			}
			s.conclude(batch, p.err)
		}
		return
	}
	s.conclude(msgs, err)
}

// conclude gives messages their results, the user's Completion first.
func (s *session) conclude(msgs []kafka.Message, err error) {
	if n := int64(len(msgs)); err == nil {
		s.pending.Add(-n)
	} else {
		left := int64(0)
		for i := range msgs {
			if msgs[i].WriterData.(*slot).call.state.Load() == abandoned {
				left++
			}
		}
		s.fell(n, left)
	}
	if err == nil && s.cfg.Acks != AcksNone {
		for i := range msgs {
			msgs[i].WriterData.(*slot).offset = msgs[i].Offset
		}
	}
	if s.cfg.Completion == nil {
		settle(len(msgs), func(i int) *slot { return msgs[i].WriterData.(*slot) }, err)
		return
	}
	slots := make([]*slot, len(msgs))
	for i := range msgs {
		m := &msgs[i]
		slots[i] = m.WriterData.(*slot)
		m.WriterData = slots[i].data
		// As kafka-go does it for what was delivered whole.
		m.Partition = slots[i].partition
	}
	s.cfg.Completion(msgs, err)
	settle(len(msgs), func(i int) *slot { return slots[i] }, err)
}

// settle gives n messages their result, call by call: a call whose last message
// has its result must not be touched any more.
func settle(n int, at func(int) *slot, err error) {
	for i := 0; i < n; {
		c, run := at(i).call, int64(0)
		for ; i < n && at(i).call == c; i++ {
			if err != nil {
				at(i).fail(err)
			} else {
				at(i).has.Store(true)
			}
			run++
		}
		c.settle(run)
	}
}

// fell takes n messages that have failed out of those without a result; the callers of
// left of them had left. Once the session is cut they count as lost by that.
func (s *session) fell(n, left int64) {
	s.losing.Lock()
	defer s.losing.Unlock()
	s.pending.Add(-n)
	if s.isCut.Load() {
		s.lost += n
		s.lostAbandoned += left
	}
}
