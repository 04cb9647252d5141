package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

// ErrPartial is the error when only some partitions cannot be written to.
var ErrPartial error = partial("some partitions have no leader")

// partial is an error that handlers of readiness recognize by its method Partial.
type partial string

func (e partial) Error() string { return string(e) }

// Partial returns true: the producer works in part.
func (partial) Partial() bool { return true }

// Ping reports whether messages could be sent now. A broker has answered for the metadata since the
// call, and so has each broker that leads a partition of the declared topics. Each topic exists,
// and each partition has a leader. If only some partitions have none, the error is ErrPartial and
// names them. Pings that come during a request share the next one. ctx bounds Ping. When a stop
// begins, it returns fsm.ErrNotStarted.
func (e *Engine) Ping(ctx context.Context) error {
	s := e.started.Load()
	if s == nil {
		return fsm.ErrNotStarted
	}
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	defer context.AfterFunc(s.stopping, func() { leave(fsm.ErrNotStarted) })()
	err := s.ping(ctx)
	if s.stopping.Err() != nil {
		return fsm.ErrNotStarted
	}
	return err
}

func (s *session) ping(ctx context.Context) error {
	if err := s.cluster.Update(ctx); err != nil {
		return err
	}
	var jobs []*sender.Job
	asked := make(map[*broker]bool)
	for _, l := range s.leads() {
		if !asked[l.broker] {
			asked[l.broker] = true
			jobs = append(jobs, l.Ping())
		}
	}
	errs := s.topicErrors()
	for _, j := range jobs {
		if err := j.Wait(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	_, leaderless, none := s.survey()
	switch {
	case len(errs) == 0 && len(leaderless) == 0:
		return nil
	case len(errs) == 0 && !none:
		return fmt.Errorf("%w: %w", ErrPartial, errors.Join(leaderless...))
	}
	return errors.Join(append(errs, leaderless...)...)
}

// topicErrors returns the errors of declared topics as a whole, by the latest metadata.
func (s *session) topicErrors() (errs []error) {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	all := *s.e.topics.Load()
	for _, name := range s.e.cfg.Topics {
		if err := all[name].err; err != nil {
			errs = append(errs, &TopicError{Topic: name, Err: err})
		}
	}
	return errs
}
