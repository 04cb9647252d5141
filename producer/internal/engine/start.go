package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/producer/internal/cluster"
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

// open is Start, part by part. Its waits end only with the session, so that an error shows how far
// Start got.
func (s *session) open() error {
	ctx := context.WithoutCancel(s.ctx)
	s.part("metadata")
	s.cluster.Use(s.e.cfg.Topics...) // so that one request asks for all of them
	if err := s.cluster.Update(ctx); err != nil {
		return err
	}
	found, err := s.proveTopics(ctx)
	if err != nil {
		return err
	}
	if err := s.identify(ctx, found); err != nil {
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
		s.cut(t, len(found[name].Partitions))
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

// proveTopics checks that the declared topics exist, and returns them. The error has all that do not
// exist.
func (s *session) proveTopics(ctx context.Context) (exist map[string]*cluster.Topic, err error) {
	exist = make(map[string]*cluster.Topic)
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
		exist[name] = found
	}
	return exist, errors.Join(errs...)
}

// identify gets a producer id, unless there is one for this cluster. Meanwhile it connects to the
// leaders of the topics. Then it drops the partitions of another cluster.
func (s *session) identify(ctx context.Context, topics map[string]*cluster.Topic) error {
	e := s.e
	other := e.clusterID != s.cluster.ID()
	if e.cfg.Mode == core.Idempotent && (other || e.ids.IDs == nil) {
		s.part("producer id")
		s.reach(topics)
		id, _, err := s.cluster.InitProducerID(ctx)
		if err != nil {
			return err
		}
		s.dropUnreached()
		e.ids.IDs = core.NewIDs(e.limits, id)
	}
	if other {
		e.topics.Store(&map[string]*topic{})
		e.clusterID = s.cluster.ID()
	}
	return nil
}

// reach begins to connect to the leaders of topics.
func (s *session) reach(topics map[string]*cluster.Topic) {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	for _, t := range topics {
		for _, p := range t.Partitions {
			if p.Leader != cluster.NoLeader {
				s.broker(p.Leader)
			}
		}
	}
}

// dropUnreached drops the brokers to which a connect has failed, so that Start connects to them
// again. A cluster that has just started gives no producer id for a while, and its leaders may
// become reachable meanwhile.
func (s *session) dropUnreached() {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	for id, b := range s.brokers {
		if b.Down() {
			b.cancel()
			delete(s.brokers, id)
		}
	}
}

// cut drops the partitions of an earlier session that a topic no longer has, because it was deleted
// and created again. The next session's epochs are above all that these partitions used.
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

// survey returns how many partitions of the declared topics have a leader, those without, and
// whether a topic has no leader at all.
func (s *session) survey() (led int, leaderless []error, none bool) {
	all := *s.e.topics.Load()
	for _, name := range s.e.cfg.Topics {
		var without []int
		partitions := all[name].live()
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

// A lead is a topic's partitions that one broker leads.
type lead struct {
	*broker
	id         int32
	topic      string
	partitions []int
}

// leads returns the partitions of the declared topics, by their leaders.
func (s *session) leads() (all []lead) {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	topics := *s.e.topics.Load()
	for _, name := range s.e.cfg.Topics {
		at := make(map[int32]int) // of the topic, in all
		for _, p := range topics[name].live() {
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

// connect waits for the connections to the leaders, and returns the leads with a connection. The
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

// advertised adds the origin of the address to the error of a connect, unless the configuration has
// the address, or something answers there.
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

// checkPermission asks a leader of each declared topic for the permission to write. The error names
// all topics without. With AllowPartial, a leader that does not answer is asked once, and then
// another leader of the topic.
func (s *session) checkPermission(ctx context.Context, leads []lead) error {
	var errs []error
	answered := make(map[string]bool)
	silent := make(map[int32]error)
	for _, l := range leads {
		if answered[l.topic] {
			continue
		}
		err := silent[l.id]
		if err == nil {
			err = l.MayWrite(ctx, l.topic, l.partitions[0])
		}
		var code kafka.Error
		if err == nil || errors.As(err, &code) {
			answered[l.topic] = true
			if err != nil {
				errs = append(errs, &TopicError{Topic: l.topic, Err: err})
			}
			continue
		}
		silent[l.id] = err
		if !s.e.cfg.AllowPartial {
			return errors.Join(append(errs, &TopicError{Topic: l.topic, Err: err})...) // the next topic's leader may take as long
		}
	}
	for _, l := range leads {
		if err := silent[l.id]; err != nil && !answered[l.topic] {
			errs = append(errs, &TopicError{Topic: l.topic, Err: err})
		}
	}
	if err := errors.Join(errs...); err != nil || len(silent) == 0 {
		return err
	}
	s.warn("starting without leaders that do not answer", errors.Join(slices.Collect(maps.Values(silent))...))
	return nil
}
