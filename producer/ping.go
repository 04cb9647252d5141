package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// Ping tells whether the producer could send now: it asks the leader of every
// declared topic's partitions, over the connections that writes use. Nothing is
// answered from a cache, so a broker that hangs is noticed; it then waits until
// ctx ends or Config.ReadTimeout has passed. Concurrent Pings share one round.
// Before Start it returns ErrNotStarted, after Close ErrClosed. A Stop does not
// wait for it.
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
	leaders, bad, leaderless := s.survey(res.(*metadata.Response))
	if !s.cfg.AllowPartial || len(leaders) == 0 {
		bad = append(bad, leaderless...)
	}
	if len(s.p.topics) == 0 { // nobody leads what is not declared: any broker will do
		_, err := s.client().ApiVersions(ctx, &kafka.ApiVersionsRequest{})
		bad = append(bad, err)
	}
	if err := errors.Join(append(bad, s.askAll(ctx, leaders)...)...); err != nil {
		return fmt.Errorf("producer: ping: %w", err)
	}
	return nil
}
