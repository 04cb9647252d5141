package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// Ping tells whether the producer could send now: it asks each broker that leads
// partitions of the declared topics, once, over the connections that writes use.
// That is answered from no cache, so a broker that hangs is noticed; it then waits
// until ctx ends or Config.ReadTimeout has passed. Concurrent Pings share one round.
//
// An error that is ErrPartial says that only some partitions cannot be written to,
// because they have no leader, and names them (*TopicError). Any other is a failure:
// of a broker that leads, of a topic as a whole, or of all. Before Start it is
// ErrNotStarted, after Close ErrClosed. A Stop does not wait for it.
func (p *Producer) Ping(ctx context.Context) error {
	lease, err := p.lifecycle.Acquire()
	if err != nil {
		return err
	}
	s := lease.Resource()
	entered := s.probes.enter()
	lease.Release()
	if !entered {
		return ErrNotStarted
	}
	defer s.probes.leave()
	return s.ping.join(ctx, s)
}

// A flight is a round of a Ping, shared by those who ask while it is under way.
type flight struct {
	mu      sync.Mutex
	current *round
}

type round struct {
	waiters int
	cancel  context.CancelFunc
	done    chan struct{}
	err     error
}

func (f *flight) join(ctx context.Context, s *session) error {
	if cause := ended(ctx); cause != nil {
		return cause
	}
	f.mu.Lock()
	r := f.current
	if r == nil {
		r = f.beginLocked(ctx, s)
	}
	r.waiters++
	f.mu.Unlock()

	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.waiters--; r.waiters == 0 {
		r.cancel()
		if f.current == r {
			f.current = nil // whoever comes now does not join what was cancelled
		}
	}
	return context.Cause(ctx)
}

func (f *flight) beginLocked(ctx context.Context, s *session) *round {
	r := &round{done: make(chan struct{})}
	ctx, r.cancel = context.WithTimeout(context.WithoutCancel(ctx), s.cfg.ReadTimeout)
	f.current = r
	s.probes.enter() // there is one inside already: it cannot fail
	go func() {
		defer s.probes.leave()
		defer r.cancel()
		defer context.AfterFunc(s.ctx, r.cancel)()
		if r.err = s.probe(ctx); r.err != nil && s.ctx.Err() != nil {
			r.err = ErrNotStarted // stopped meanwhile
		}
		f.mu.Lock()
		if f.current == r {
			f.current = nil
		}
		f.mu.Unlock()
		close(r.done)
	}()
	return r
}

// probe is one round: the leaders as they are known now, each asked.
func (s *session) probe(ctx context.Context) error {
	res, err := s.transport.RoundTrip(ctx, s.addr, &metadata.Request{TopicNames: s.p.topics})
	if err != nil {
		return fmt.Errorf("producer: ping: %w", err)
	}
	m := res.(*metadata.Response)
	leaders, bad, leaderless := s.survey(m)
	if len(s.p.topics) == 0 { // nobody leads what is not declared: any broker will do
		_, err := s.client().ApiVersions(ctx, &kafka.ApiVersionsRequest{})
		bad = append(bad, err)
	}
	failed := errors.Join(append(bad, s.askAll(ctx, leaders)...)...)
	without := errors.Join(leaderless...)
	if failed == nil && without == nil {
		return nil
	}
	if moved(errors.Join(failed, without)) {
		s.courier.lookAgain() // so that the next Ping asks who leads by then
	}
	switch {
	case failed == nil && led(m, leaderless):
		return fmt.Errorf("producer: ping: %w: %w", ErrPartial, without)
	}
	return fmt.Errorf("producer: ping: %w", errors.Join(failed, without))
}

// led tells whether each topic that lacks a leader has one for other partitions.
func led(m *metadata.Response, leaderless []error) bool {
	partitions := make(map[string]int)
	for _, t := range m.Topics {
		partitions[t.Name] = len(t.Partitions)
	}
	for _, err := range leaderless {
		if e := err.(*TopicError); len(e.Partitions) == 0 || len(e.Partitions) == partitions[e.Topic] {
			return false
		}
	}
	return true
}
