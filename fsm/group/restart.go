package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed3893aba4/surestart/internal/oneline"
)

// steady is how long a member has to run before its restarts are counted from 1 again.
const steady = time.Minute

// takeDown bounds the drains of the members that are stopped for a restart.
const takeDown = 10 * time.Second

// died is called when held, the context of an opening of p, has ended.
func (s *session) died(p *part, held context.Context) {
	s.mu.Lock()
	if p.held != held { // the group has released it
		s.mu.Unlock()
		return
	}
	cause := context.Cause(held)
	if !s.opened || p.Restart == nil {
		s.mu.Unlock()
		s.fail(p, cause)
		return
	}
	p.cause, p.due = cause, time.Time{}
	if time.Since(p.since) >= steady {
		p.restarts = 0
	}
	p.restarts++
	for _, q := range s.parts {
		if (q == p || p.above[q.node]) && !slices.Contains(s.torn, q) {
			s.torn = append(s.torn, q)
		}
	}
	if s.tell != nil {
		s.tell() // under the lock: later, the round might already have ended as the last one
		s.mu.Unlock()
		return
	}
	ended := make(chan struct{})
	s.ended, s.tell, s.cutOff = ended, func() {}, func() {}
	s.mu.Unlock()
	defer close(ended) // also if a Backoff calls runtime.Goexit
	for s.round() {
	}
}

// fail reports the death of the group.
func (s *session) fail(p *part, cause error) { s.scope.Fail(&DiedError{p.Name, cause}) }

// round stops the torn parts, and starts them again. It returns true if another round
// follows, because another member has died meanwhile.
func (s *session) round() bool {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	drain, cutOff := context.WithTimeout(context.WithoutCancel(ctx), takeDown)
	defer cutOff()
	s.mu.Lock()
	if ctx.Err() != nil {
		s.mu.Unlock()
		return false
	}
	s.tell, s.cutOff = cancel, cutOff
	torn := slices.Clone(s.torn)
	var dead []*part
	for _, p := range torn {
		if p.cause != nil {
			dead = append(dead, p)
		}
	}
	s.mu.Unlock()

	inOrder(torn, func(p *part) []*node { return p.neededBy }, func(p *part) { p.stop(drain) })()
	var failures []error // of these stops; callers get them only if the group is stopped
	for _, p := range torn {
		if p.stopErr != nil {
			failures = append(failures, fmt.Errorf("group: %s: %w", oneline.Escape(p.Name), p.stopErr))
		}
	}

	var due time.Time
	for _, p := range dead {
		if p.due.IsZero() {
			if failures != nil {
				p.cause = errors.Join(append([]error{p.cause}, failures...)...)
			}
			if !p.next() {
				return false
			}
		}
		if p.due.After(due) {
			due = p.due
		}
	}
	select {
	case <-time.After(time.Until(due)):
	case <-ctx.Done():
	}
	failed, err := s.start(ctx, torn)

	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ctx.Err() != nil: // the group's release, or another death
		return s.ctx.Err() == nil
	case err != nil:
		s.scope.Fail(&DiedError{failed.Name, err})
		return false
	}
	s.tell = nil
	return false
}

// next asks the Backoff when p is due. If it gives up, panics or exits, next reports the death
// of the group.
func (p *part) next() (ok bool) {
	err := errExited
	defer func() {
		if err != nil {
			p.cause = errors.Join(p.cause, fmt.Errorf("group: the Backoff of %s: %w", oneline.Escape(p.Name), err))
		}
		if !ok {
			p.s.fail(p, p.cause)
		}
	}()
	err = contain(func() error {
		wait, again := p.Restart.Next(p.restarts, p.cause)
		p.due, ok = time.Now().Add(wait), again
		return nil
	})
	return ok
}
