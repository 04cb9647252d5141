package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed3893aba4/surestart/fsm"
)

// ErrPartial says that only some partitions cannot be written to.
var ErrPartial = errors.New("some partitions have no leader")

// Ping reports whether messages could be sent now: each broker that leads a partition of the
// declared topics has answered after the call, and each partition has a leader. If only some
// partitions have none the error is ErrPartial, and names them. ctx bounds it.
func (e *Engine) Ping(ctx context.Context) error {
	s := e.started.Load()
	if s == nil {
		return fsm.ErrNotStarted
	}
	if err := s.cluster.Update(ctx); err != nil {
		if s.stopping.Err() != nil {
			return fsm.ErrNotStarted
		}
		return err
	}
	leaders := make(map[*broker]bool)
	for _, l := range s.leads() {
		leaders[l.broker] = true
	}
	answers := make(chan error, len(leaders))
	for b := range leaders {
		go func() { answers <- b.Ping(ctx) }()
	}
	var errs []error
	for range leaders {
		if err := <-answers; err != nil {
			errs = append(errs, err)
		}
	}
	led, leaderless := s.survey()
	switch {
	case s.stopping.Err() != nil:
		return fsm.ErrNotStarted
	case len(errs) == 0 && len(leaderless) == 0:
		return nil
	case len(errs) == 0 && led > 0:
		return fmt.Errorf("%w: %w", ErrPartial, errors.Join(leaderless...))
	}
	return errors.Join(append(errs, leaderless...)...)
}
