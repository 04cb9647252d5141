package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/producer/internal/connection"
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

// open is Start, part by part. What it waits for ends with the session, and not before: so an
// error says how far it had come.
func (s *session) open() error {
	ctx := context.WithoutCancel(s.ctx)
	s.part("metadata")
	s.cluster.Use(s.e.cfg.Topics...) // so that one question does
	if err := s.cluster.Update(ctx); err != nil {
		return err
	}
	counts, err := s.proveTopics(ctx)
	if err != nil {
		return err
	}
	if err := s.identify(ctx); err != nil {
		return err
	}
	for _, t := range *s.e.topics.Load() { // of an earlier session
		t.idle.Store(!t.declared) // the next write asks for it
	}
	s.part("leaders")
	for _, name := range s.e.cfg.Topics {
		t, err := s.topic(ctx, name)
		if err != nil {
			return err
		}
		s.cut(t, counts[name])
	}
	if err := s.awaitLeaders(ctx); err != nil {
		return err
	}
	reached, err := s.connect()
	if err != nil || !s.e.cfg.CheckPermission {
		return err
	}
	s.part("permission")
	return s.checkPermission(ctx, reached)
}

// proveTopics proves that the declared topics exist, and returns how many partitions each has.
// The error has all that do not exist.
func (s *session) proveTopics(ctx context.Context) (counts map[string]int, err error) {
	counts = make(map[string]int)
	var errs []error
	for _, name := range s.e.cfg.Topics {
		found, err := s.cluster.Topic(ctx, name)
		if err == nil && len(found.Partitions) == 0 {
			err = found.Err
		}
		if err != nil {
			errs = append(errs, &TopicError{Topic: name, Err: err})
			if s.ctx.Err() != nil {
				break
			}
			continue
		}
		counts[name] = len(found.Partitions)
	}
	return counts, errors.Join(errs...)
}

// identify gets a producer id, unless there is one for this cluster. Partitions of another
// cluster are forgotten, once there is one.
func (s *session) identify(ctx context.Context) error {
	e := s.e
	other := e.clusterID != s.cluster.ID()
	if e.cfg.Mode == core.Idempotent && (other || e.ids.IDs == nil) {
		s.part("producer id")
		id, _, err := s.cluster.InitProducerID(ctx)
		if err != nil {
			return err
		}
		e.ids.IDs = core.NewIDs(e.limits, id)
	}
	if other {
		e.topics.Store(&map[string]*topic{})
		e.clusterID = s.cluster.ID()
	}
	return nil
}

// cut forgets the partitions of an earlier session that a topic has no more, because it was
// deleted and created again. What they may have used of a producer id the next session's
// epochs are above.
func (s *session) cut(t *topic, n int) {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if all := t.all(); n < len(all) {
		ids, fewer := (*t.ids.Load())[:n:n], all[:n:n]
		t.partitions.Store(&fewer)
		t.ids.Store(&ids)
	}
}

// awaitLeaders waits until the partitions of the declared topics have leaders.
func (s *session) awaitLeaders(ctx context.Context) error {
	for {
		led, leaderless, _ := s.survey()
		if len(leaderless) == 0 {
			return nil
		}
		if s.e.cfg.AllowPartial && led > 0 {
			s.warn("starting without the partitions that have no leader", errors.Join(leaderless...))
			return nil
		}
		if err := s.cluster.Update(ctx); err != nil {
			return fmt.Errorf("%w: %w", err, errors.Join(leaderless...))
		}
	}
}

// survey returns how many partitions of the declared topics have a leader, those that have
// none, and whether a topic has no leader at all.
func (s *session) survey() (led int, leaderless []error, none bool) {
	all := *s.e.topics.Load()
	for _, name := range s.e.cfg.Topics {
		var without []int
		partitions := all[name].all()
		for _, p := range partitions {
			if p.Led() {
				led++
			} else {
				without = append(without, p.Number())
			}
		}
		if without != nil {
			leaderless = append(leaderless, &TopicError{name, without, kafka.LeaderNotAvailable})
			none = none || len(without) == len(partitions)
		}
	}
	return led, leaderless, none
}

// A lead is what a broker leads of a declared topic.
type lead struct {
	*broker
	id         int32
	topic      string
	partitions []int
}

// leads returns what the brokers lead of the declared topics.
func (s *session) leads() (all []lead) {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	topics := *s.e.topics.Load()
	for _, name := range s.e.cfg.Topics {
		at := make(map[int32]int) // of the topic, in all
		for _, p := range topics[name].all() {
			id, ok := p.Leader()
			if !ok || s.brokers[id] == nil {
				continue
			}
			i, seen := at[id]
			if !seen {
				i = len(all)
				at[id] = i
				all = append(all, lead{s.brokers[id], id, name, nil})
			}
			all[i].partitions = append(all[i].partitions, p.Number())
		}
	}
	return all
}

// connect waits until the leaders are connected, and returns what those lead that are. The
// error names the partitions of the others.
func (s *session) connect() (reached []lead, err error) {
	var errs []error
	for _, l := range s.leads() {
		err := l.Connected()
		if err == nil {
			reached = append(reached, l)
			continue
		}
		errs = append(errs, &TopicError{l.topic, l.partitions, s.advertised(l.id, err)})
	}
	err = errors.Join(errs...)
	if err != nil && len(reached) > 0 && s.e.cfg.AllowPartial && s.ctx.Err() == nil {
		s.warn("starting without leaders that cannot be reached", err)
		err = nil
	}
	return reached, err
}

// advertised adds to the error of a connect where the address is from, unless the user named it,
// or something answers there.
func (s *session) advertised(broker int32, err error) error {
	address, known := s.cluster.Address(broker)
	var code kafka.Error
	var other *connection.NotKafkaError
	if !known || slices.Contains(s.e.cfg.Brokers, address) || errors.As(err, &code) || errors.As(err, &other) {
		return err
	}
	return fmt.Errorf("%w: the cluster gave out this address: see its advertised.listeners", err)
}

func (s *session) warn(message string, err error) {
	if s.e.cfg.Warn != nil {
		s.e.cfg.Warn(message, "", -1, err)
	}
}

// checkPermission asks a leader of each declared topic whether it may be written to. The
// error names all that may not.
func (s *session) checkPermission(ctx context.Context, leads []lead) error {
	var errs []error
	asked := make(map[string]bool)
	for _, l := range leads {
		if asked[l.topic] {
			continue
		}
		asked[l.topic] = true
		err := l.MayWrite(ctx, l.topic, l.partitions[0])
		if err == nil {
			continue
		}
		errs = append(errs, &TopicError{Topic: l.topic, Err: err})
		var code kafka.Error
		if !errors.As(err, &code) { // no answer: the next topic's may take as long to fail
			break
		}
	}
	return errors.Join(errs...)
}
