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

// A topic was written to, or is declared.
type topic struct {
	name       string
	partitions atomic.Pointer[[]*sender.Partition]
	// ids are the numbers of the partitions that the topic has, for a balancer. partitions are more
	// if it was created again with fewer.
	ids atomic.Pointer[[]int]
	// current is where messages without a key go: the partition in the lower half, how many
	// batches it had taken by then in the upper one.
	current  atomic.Uint64
	offset   int // spreads partitions over the senders
	declared bool
	used     atomic.Int64 // when it was last written to, in Unix seconds
	idle     atomic.Bool  // its leaders are not asked for
	err      error        // of the topic as a whole, in the latest answer; under the Engine's mu
}

// unusable is the error of a topic that a broker refuses.
type unusable struct{ *TopicError }

func (e unusable) Unwrap() error { return e.TopicError }

// topic returns a topic, and asks for its metadata on its first use. The error is unusable, or the
// cause that ended the wait.
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
	case s.stopping.Err() != nil: // also if the end of the session came first, in err
		return nil, &TopicError{Topic: name, Err: context.Cause(s.stopping)}
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

// ready reports whether the topic may be written to without a question.
func (t *topic) ready() bool { return len(t.all()) > 0 && !t.idle.Load() }

// idleAfter is how long an undeclared topic is asked for after its last write.
const idleAfter = 5 * time.Minute

// sweepTopics releases topics without a recent write. Their partitions free the state of their
// cores, except the producer id. The next write asks for their leaders.
func (s *session) sweepTopics() {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	for name, t := range *s.e.topics.Load() {
		if t.declared || t.idle.Load() || len(t.all()) == 0 || time.Since(time.Unix(t.used.Load(), 0)) < idleAfter {
			continue
		}
		// Later writes ask for the topic again. Rest detects an earlier write, or that write finds
		// its partition without a leader (see reuse).
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

// reuse asks for the leaders of a topic that was released while a message came.
func (s *session) reuse(name string) {
	if t := (*s.e.topics.Load())[name]; t != nil && t.idle.Load() {
		s.cluster.Use(name)
		t.idle.Store(false)
		s.cluster.Refresh()
	}
}

// forget drops a topic that does not exist.
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

// live returns the partitions that the topic has. Only they get messages.
func (t *topic) live() []*sender.Partition {
	all := t.all()
	if len(all) == 0 {
		return nil
	}
	return all[:min(len(all), len(*t.ids.Load()))]
}

// changed stores the leaders of topics.
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

// applyLocked makes the new partitions of a topic, unless a stop has begun, and gives each
// partition the sender of its leader. Partitions that the topic no longer has keep their messages
// and get no more.
func (s *session) applyLocked(t *topic, found *cluster.Topic) {
	t.err = found.Err
	all := t.all()
	if n := len(found.Partitions); n > 0 && n != len(t.live()) && s.stopping.Err() == nil {
		all = slices.Clone(all)
		for i := len(all); i < n; i++ {
			all = append(all, sender.NewPartition(&s.e.common, t.name, int32(i)))
		}
		ids := make([]int, n)
		for i := range ids {
			ids[i] = i
		}
		t.ids.Store(&ids) // first: a caller that sees a partition must see its number
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

// broker returns a broker, and connects to it. The caller holds the Engine's mu.
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

// sweepBrokers closes the connections to brokers that have led nothing for a while, or lead nothing
// and have left the cluster.
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
