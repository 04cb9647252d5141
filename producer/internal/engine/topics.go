package engine

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed3893aba4/surestart/producer/internal/cluster"
	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

type broker struct {
	*sender.Broker
	cancel context.CancelFunc
	unused time.Time // since when it leads nothing; zero: it does
}

// A topic is one that was written to, or is declared.
type topic struct {
	name       string
	partitions atomic.Pointer[[]*sender.Partition]
	ids        atomic.Pointer[[]int] // of the partitions, for a balancer
	// current is where messages without a key go: the partition in the lower half, how many
	// batches it had taken by then in the upper one.
	current  atomic.Uint64
	offset   int // spreads partitions over the senders
	declared bool
	used     atomic.Int64 // when it was last written to, in Unix seconds
	idle     atomic.Bool  // its leaders are not asked for
	err      error        // of the topic as a whole, in the latest answer; under the Engine's mu
}

// unusable is the error of a topic that a broker says cannot be used.
type unusable struct{ *TopicError }

func (e unusable) Unwrap() error { return e.TopicError }

// topic returns a topic, which it asks for if it was not used before. The error is unusable, or the
// cause of what has ended the wait.
func (s *session) topic(ctx context.Context, name string) (*topic, error) {
	e := s.e
	if t := (*e.topics.Load())[name]; t != nil && t.ready() {
		return t, nil
	}
	e.mu.Lock()
	t := (*e.topics.Load())[name]
	if t == nil { // it is there before the answer is
		all := maps.Clone(*e.topics.Load())
		t = &topic{name: name, offset: len(all), declared: slices.Contains(e.cfg.Topics, name)}
		all[name] = t
		e.topics.Store(&all)
	}
	e.mu.Unlock()
	found, err := s.cluster.Topic(ctx, name)
	switch {
	case err != nil:
		return nil, &TopicError{Topic: name, Err: err}
	case len(found.Partitions) == 0:
		e.forget(t)
		return nil, unusable{&TopicError{Topic: name, Err: found.Err}}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.stopping.Err() != nil {
		return nil, &TopicError{Topic: name, Err: context.Cause(s.stopping)}
	}
	if !t.ready() { // the answer came before the topic was there
		s.applyLocked(t, found)
	}
	t.used.Store(time.Now().Unix())
	t.idle.Store(false)
	return t, nil
}

// ready reports whether the topic may be written to without asking for it.
func (t *topic) ready() bool { return len(t.all()) > 0 && !t.idle.Load() }

// idleAfter is after how long without a write a topic is not asked for any more, unless it
// is declared.
const idleAfter = 5 * time.Minute

// sweepTopics lets topics go that were not written to for a while. Their partitions free what their
// cores know, except the producer id; the next write asks for their leaders.
func (s *session) sweepTopics() {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	for name, t := range *s.e.topics.Load() {
		if t.declared || t.idle.Load() || len(t.all()) == 0 || time.Since(time.Unix(t.used.Load(), 0)) < idleAfter {
			continue
		}
		// A write that comes from now on asks; one that came before is seen by Rest, or sees
		// that its partition has no leader (see reuse).
		t.idle.Store(true)
		s.cluster.Forget(name)
		for _, p := range t.all() {
			if !p.Rest() {
				s.cluster.Use(name)
				t.idle.Store(false)
			}
		}
	}
}

// reuse asks for the leaders of a topic that was let go while a message came.
func (s *session) reuse(name string) {
	if t := (*s.e.topics.Load())[name]; t != nil && t.idle.Load() {
		s.cluster.Use(name)
		t.idle.Store(false)
		s.cluster.Refresh()
	}
}

// forget forgets a topic that does not exist.
func (e *Engine) forget(t *topic) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if all := *e.topics.Load(); all[t.name] == t && len(t.all()) == 0 {
		fewer := maps.Clone(all)
		delete(fewer, t.name)
		e.topics.Store(&fewer)
	}
}

func (t *topic) all() []*sender.Partition {
	if all := t.partitions.Load(); all != nil {
		return *all
	}
	return nil
}

// changed takes over the leaders of topics.
func (s *session) changed(topics []*cluster.Topic) {
	e := s.e
	e.mu.Lock()
	defer e.mu.Unlock()
	known := *e.topics.Load()
	for _, found := range topics {
		if t := known[found.Name]; t != nil {
			s.applyLocked(t, found)
		}
	}
	s.sweepBrokers()
}

// applyLocked makes the partitions of a topic that are new, unless a stop has begun, and
// gives each the sender of its leader.
func (s *session) applyLocked(t *topic, found *cluster.Topic) {
	t.err = found.Err
	all := t.all()
	if len(found.Partitions) > len(all) && s.stopping.Err() == nil {
		all = slices.Clone(all)
		for i := len(all); i < len(found.Partitions); i++ {
			all = append(all, sender.NewPartition(&s.e.common, t.name, int32(i)))
		}
		ids := make([]int, len(all))
		for i := range ids {
			ids[i] = i
		}
		t.ids.Store(&ids) // first: who sees a partition has its number
		t.partitions.Store(&all)
	}
	if len(all) > 1 || len(*s.e.topics.Load()) > 1 {
		s.e.room.shared.Store(true)
	}
	for i, p := range all {
		if i >= len(found.Partitions) || found.Partitions[i].Leader == cluster.NoLeader {
			p.Lead(nil)
		} else {
			p.Lead(s.broker(found.Partitions[i].Leader).Sender(t.offset + i))
		}
	}
}

// broker returns a broker, and connects to it. The Engine's mu is held.
func (s *session) broker(id int32) *broker {
	b := s.brokers[id]
	if b == nil {
		ctx, cancel := context.WithCancel(s.ctx)
		b = &broker{sender.NewBroker(ctx, &s.e.common, s.e.cfg.Connection, s.cluster, id, s.e.cfg.ConnectionsPerBroker), cancel, time.Time{}}
		s.brokers[id] = b
		s.wg.Go(b.Wait)
	}
	b.unused = time.Time{}
	return b
}

// sweepBrokers ends the connections to brokers that have led nothing for a while, or that lead
// nothing and are gone.
func (s *session) sweepBrokers() {
	leads := make(map[int32]bool)
	for _, t := range *s.e.topics.Load() {
		for _, p := range t.all() {
			if id, ok := p.Leader(); ok {
				leads[id] = true
			}
		}
	}
	now := time.Now()
	for id, b := range s.brokers {
		if leads[id] {
			continue
		}
		if b.unused.IsZero() {
			b.unused = now
		}
		if _, known := s.cluster.Address(id); !known || now.Sub(b.unused) > s.e.cfg.IdleTimeout {
			b.cancel()
			delete(s.brokers, id)
		}
	}
}
