package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

// TopicError is a topic that cannot be used.
type TopicError struct {
	Topic      string
	Partitions []int // the partitions concerned; nil: the topic as a whole
	Err        error // for what a broker said, a kafka.Error
}

// Error names the topic, and its partitions if only some are concerned.
func (e *TopicError) Error() string {
	if len(e.Partitions) == 0 {
		return fmt.Sprintf("topic %q: %v", e.Topic, e.Err)
	}
	return fmt.Sprintf("topic %q, partitions %v: %v", e.Topic, e.Partitions, e.Err)
}

// Unwrap returns Err.
func (e *TopicError) Unwrap() error { return e.Err }

// open is Start, part by part.
func (s *session) open(ctx context.Context) error {
	s.part("metadata")
	s.cluster.Use(s.e.cfg.Topics...) // so that one question does
	if err := s.cluster.Update(ctx); err != nil {
		return err
	}
	if err := s.identify(ctx); err != nil {
		return err
	}
	s.e.mu.Lock()
	s.e.session = s
	for name, t := range *s.e.topics.Load() { // of an earlier session
		if !t.idle.Load() {
			s.cluster.Use(name)
		}
	}
	s.e.mu.Unlock()
	s.part("leaders")
	if err := s.findTopics(ctx); err != nil {
		return err
	}
	if err := s.awaitLeaders(ctx); err != nil {
		return err
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	if !s.e.cfg.CheckPermission {
		return nil
	}
	s.part("permission")
	return s.checkPermission(ctx)
}

// identify gets a producer id, unless there is one for this cluster. Partitions of another
// cluster are forgotten.
func (s *session) identify(ctx context.Context) error {
	e := s.e
	other := e.clusterID != s.cluster.ID()
	if other {
		e.topics.Store(&map[string]*topic{})
	}
	if e.cfg.Mode == core.Idempotent && (other || e.ids.IDs == nil) {
		s.part("producer id")
		id, _, err := s.cluster.InitProducerID(ctx)
		if err != nil {
			return err
		}
		e.ids.IDs = core.NewIDs(e.limits, id)
	}
	e.clusterID = s.cluster.ID()
	return nil
}

// findTopics proves that the declared topics exist. The error has all that do not.
func (s *session) findTopics(ctx context.Context) error {
	var errs []error
	for _, name := range s.e.cfg.Topics {
		if _, err := s.topic(ctx, name); err != nil {
			errs = append(errs, err)
			if ctx.Err() != nil {
				break
			}
		}
	}
	return errors.Join(errs...)
}

// awaitLeaders waits until the partitions of the declared topics have leaders.
func (s *session) awaitLeaders(ctx context.Context) error {
	for {
		led, leaderless := s.survey()
		if len(leaderless) == 0 {
			return nil
		}
		if s.e.cfg.AllowPartial && led > 0 {
			s.warn("starting without the partitions that have no leader", errors.Join(leaderless...))
			return nil
		}
		if err := s.cluster.Update(ctx); err != nil {
			return errors.Join(append([]error{err}, leaderless...)...)
		}
	}
}

// survey returns how many partitions of the declared topics have a leader, and those that
// have none.
func (s *session) survey() (led int, leaderless []error) {
	all := *s.e.topics.Load()
	for _, name := range s.e.cfg.Topics {
		var without []int
		for _, p := range all[name].all() {
			if p.Led() {
				led++
			} else {
				without = append(without, p.Number())
			}
		}
		if without != nil {
			leaderless = append(leaderless, &TopicError{name, without, kafka.LeaderNotAvailable})
		}
	}
	return led, leaderless
}

// leaders returns the brokers that lead partitions of the declared topics, and one of these
// for each topic and broker.
func (s *session) leaders() map[*broker][]*sender.Partition {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	found := make(map[*broker][]*sender.Partition)
	all := *s.e.topics.Load()
	for _, name := range s.e.cfg.Topics {
		seen := make(map[int32]bool)
		for _, p := range all[name].all() {
			if id, ok := p.Leader(); ok && !seen[id] && s.brokers[id] != nil {
				seen[id] = true
				found[s.brokers[id]] = append(found[s.brokers[id]], p)
			}
		}
	}
	return found
}

// connect waits until the leaders are connected to.
func (s *session) connect(ctx context.Context) error {
	var errs []error
	leaders := s.leaders()
	for b := range leaders {
		if err := b.Connected(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 && len(errs) < len(leaders) && s.e.cfg.AllowPartial {
		s.warn("starting without leaders that cannot be reached", errors.Join(errs...))
		return nil
	}
	return errors.Join(errs...)
}

func (s *session) warn(message string, err error) {
	if s.e.cfg.Warn != nil {
		s.e.cfg.Warn(message, "", -1, err)
	}
}

// checkPermission asks a leader of each declared topic whether it may be written to. The
// error names all that may not.
func (s *session) checkPermission(ctx context.Context) error {
	var errs []error
	seen := make(map[string]bool)
	for b, partitions := range s.leaders() {
		for _, p := range partitions {
			if seen[p.Topic()] {
				continue
			}
			seen[p.Topic()] = true
			if err := b.MayWrite(ctx, p.Topic(), p.Number()); err != nil {
				errs = append(errs, &TopicError{Topic: p.Topic(), Err: err})
			}
		}
	}
	return errors.Join(errs...)
}
