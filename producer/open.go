package producer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/seed3893aba4/surestart/fsm"
)

// latest is the session of the latest attempt.
type latest struct{ atomic.Pointer[session] }

// open is one try, part by part, and has nothing of the one before. What it acquires it
// registers with the scope at once: if a later part fails, that is what is given back.
func (p *Producer) open(ctx context.Context, scope *fsm.Scope) (*session, error) {
	scope.Part("transport")
	s := p.newSession(ctx)
	p.current.Store(s)
	scope.Defer("transport", s.closeTransport)

	ctx, cancel := context.WithDeadline(ctx, p.openUntil())
	defer cancel()

	for try := 1; ; try++ {
		scope.Part("metadata")
		leaders, err := s.discover(ctx)
		if err == nil {
			scope.Part("leaders")
			err = s.connect(ctx, leaders)
		}
		if err == nil && p.cfg.CheckWritePermission {
			scope.Part("permission")
			err = s.checkPermission(ctx, leaders)
		}
		if err == nil {
			break
		}
		var wait *notYet
		if !errors.As(err, &wait) {
			return nil, err
		}
		select {
		case <-time.After(pause(try + 3)): // from 80 ms
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
				return nil, fmt.Errorf("waited for the StartTimeout: %w", wait.error)
			}
			return nil, context.Cause(ctx)
		}
		s.renewTransport()
	}

	scope.Part("writer")
	s.openWriter()
	scope.Defer("writer", s.closeWriter)
	return s, nil
}

// notYet is what an attempt waits for: a leader that is being elected.
type notYet struct{ error }

func (e *notYet) Unwrap() error { return e.error }

// leader is one partition of each broker that leads any: who reaches them all has
// reached every leader.
type leader struct {
	broker    int32
	topic     string
	partition int
}

// discover proves every declared topic and returns the leaders of the partitions.
func (s *session) discover(ctx context.Context) ([]leader, error) {
	res, err := s.firstAnswer(ctx, &metadata.Request{
		TopicNames:             s.p.topics,
		AllowAutoTopicCreation: s.cfg.AllowAutoTopicCreation,
	})
	if err != nil {
		return nil, fmt.Errorf("ask %v for the topics: %w", s.cfg.Brokers, err)
	}
	m := res.(*metadata.Response)
	leaders, bad, leaderless := s.survey(m)
	for _, t := range m.Topics {
		if t.ErrorCode == 0 && len(t.Partitions) > 0 {
			s.topics.note(t.Name, len(t.Partitions))
		}
	}
	switch {
	case len(bad) > 0:
		return nil, errors.Join(bad...)
	case len(leaderless) > 0 && !(s.cfg.AllowPartial && len(leaders) > 0):
		return nil, &notYet{errors.Join(leaderless...)}
	}
	for _, err := range leaderless {
		s.cfg.Logger.Warn("surestart: starting without the partitions that have no leader", "error", err)
	}
	return leaders, nil
}

// survey sorts what the metadata say of the declared topics: who leads, which
// topics are bad, and where a leader is missing.
func (s *session) survey(m *metadata.Response) (leaders []leader, bad, leaderless []error) {
	brokers := make(map[int32]bool)
	for _, b := range m.Brokers {
		brokers[b.NodeID] = true
	}
	found := make(map[int32]bool)
	for _, t := range m.Topics {
		if !s.p.isDeclared[t.Name] {
			continue
		}
		switch code := kafka.Error(t.ErrorCode); {
		case code == kafka.LeaderNotAvailable, code == kafka.UnknownTopicOrPartition && s.cfg.AllowAutoTopicCreation,
			code == 0 && len(t.Partitions) == 0: // it is being created
			leaderless = append(leaderless, &TopicError{Topic: t.Name, Err: kafka.LeaderNotAvailable})
			continue
		case code != 0:
			bad = append(bad, &TopicError{Topic: t.Name, Err: code})
			continue
		}
		var without []int
		for _, p := range t.Partitions {
			switch {
			case !brokers[p.LeaderID]:
				without = append(without, int(p.PartitionIndex))
			case !found[p.LeaderID]:
				found[p.LeaderID] = true
				leaders = append(leaders, leader{p.LeaderID, t.Name, int(p.PartitionIndex)})
			}
		}
		if without != nil {
			slices.Sort(without)
			leaderless = append(leaderless, &TopicError{t.Name, without, kafka.LeaderNotAvailable})
		}
	}
	return leaders, bad, leaderless
}

// connect asks each leader for an offset: none of it is answered from a cache, and
// the connection that it takes is there for the first write.
func (s *session) connect(ctx context.Context, leaders []leader) error {
	errs := s.askAll(ctx, leaders)
	if s.cfg.AllowPartial && len(errs) < len(leaders) {
		for _, err := range errs {
			s.cfg.Logger.Warn("surestart: starting without a leader that cannot be reached", "error", err)
		}
		return nil
	}
	err := errors.Join(errs...)
	var code kafka.Error
	if errors.As(err, &code) && retryable(err) { // it has moved meanwhile
		return &notYet{err}
	}
	return err
}

// askAll asks all leaders at the same time and returns the errors of those that
// did not answer.
func (s *session) askAll(ctx context.Context, leaders []leader) []error {
	results := make(chan error, len(leaders))
	for _, l := range leaders {
		go func() { results <- s.ask(ctx, l) }()
	}
	var errs []error
	for range leaders {
		if err := <-results; err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// ask asks one leader. One partition a request: kafka-go sends one for each, and
// may dial as many times. (kafka.Client.ListOffsets panics on an answer that has another
// partition.)
func (s *session) ask(ctx context.Context, l leader) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ReadTimeout)
	defer cancel()
	const latest = -1
	res, err := s.transport.RoundTrip(ctx, s.addr, &listoffsets.Request{
		ReplicaID: -1,
		Topics: []listoffsets.RequestTopic{{Topic: l.topic, Partitions: []listoffsets.RequestPartition{
			{Partition: int32(l.partition), CurrentLeaderEpoch: -1, Timestamp: latest},
		}}},
	})
	if err == nil {
		err = offsetOf(res.(*listoffsets.Response), l)
	}
	if err != nil {
		return fmt.Errorf("broker %d: %w", l.broker, &TopicError{l.topic, []int{l.partition}, err})
	}
	return nil
}

// offsetOf returns the error in a leader's answer.
func offsetOf(res *listoffsets.Response, l leader) error {
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			if t.Topic != l.topic || p.Partition != int32(l.partition) {
				continue
			}
			if p.ErrorCode != 0 {
				return kafka.Error(p.ErrorCode)
			}
			return nil
		}
	}
	return errNoPartition
}

// checkPermission asks the leaders to append nothing to each topic. A broker
// checks the permission before it finds fault with that.
func (s *session) checkPermission(ctx context.Context, leaders []leader) error {
	var bad []error
	for _, topic := range s.p.topics {
		partition := 0
		if i := slices.IndexFunc(leaders, func(l leader) bool { return l.topic == topic }); i >= 0 {
			partition = leaders[i].partition
		}
		res, err := s.client().RawProduce(ctx, &kafka.RawProduceRequest{
			Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll,
			RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(make([]byte, 4))}, // empty, not null
		})
		if err == nil {
			err = res.Error
		}
		switch code := kafka.Error(0); {
		case err == nil:
		case !errors.As(err, &code): // no answer
			return err
		case code == kafka.TopicAuthorizationFailed, code == kafka.ClusterAuthorizationFailed:
			bad = append(bad, &TopicError{Topic: topic, Err: err})
		}
	}
	return errors.Join(bad...)
}
