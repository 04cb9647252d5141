package engine

import (
	"context"
	"fmt"

	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

// A Forced is the error of a forced Stop. It counts the messages that were cut off.
type Forced struct {
	NotSent, Rejected, Maybe int   // messages, by their verdicts
	Err                      error // why it was forced: the cause of its context
}

// Error counts the messages.
func (f *Forced) Error() string {
	return fmt.Sprintf("%d messages cut off (%d not sent, %d rejected, %d maybe delivered): %v",
		f.NotSent+f.Rejected+f.Maybe, f.NotSent, f.Rejected, f.Maybe, f.Err)
}

// Unwrap returns Err.
func (f *Forced) Unwrap() error { return f.Err }

// Drain ends admission, and sends lingering messages. It does not wait. A Stop follows.
func (e *Engine) Drain() {
	s := e.started.Load()
	if s == nil {
		return
	}
	e.mu.Lock()
	s.stop(ErrStopping) // under the lock: no partition is made after this
	e.mu.Unlock()
	for _, p := range e.partitions() {
		p.Stop()
	}
}

func (e *Engine) partitions() (all []*sender.Partition) {
	for _, t := range *e.topics.Load() {
		all = append(all, t.all()...)
	}
	return all
}

// hurry sends lingering messages, because calls wait for room.
func (e *Engine) hurry() {
	for _, p := range e.partitions() {
		p.Offer()
	}
}

// Stop drains. It waits until every message has its verdict and its Completion has returned. If ctx
// ends first, each message gets its verdict at once, the connections are cut, and the error is a
// *Forced with the counts. The calls may receive these verdicts after Stop has returned; Wait waits
// for them, and for everything else that still ends.
func (e *Engine) Stop(ctx context.Context) error {
	s := e.started.Load()
	if s == nil {
		return nil
	}
	e.Drain()
	e.started.Store(nil)
	partitions := e.partitions()
	err := drain(ctx, partitions)
	if err == nil && e.common.Completer != nil {
		select {
		case <-e.common.Completer.Returned():
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	var forced *Forced
	var resolve []func()
	for _, p := range partitions {
		if err == nil && p.StopEnds() == nil {
			continue
		}
		if forced == nil {
			forced = &Forced{Err: err}
		}
		n, calls := p.Cut(ErrCut)
		forced.NotSent += n.NotSent
		forced.Maybe += n.Maybe
		forced.Rejected += n.Rejected
		resolve = append(resolve, calls)
	}
	s.wg.Go(func() {
		for _, calls := range resolve {
			calls()
		}
	})
	s.end(ErrCut)
	if forced != nil {
		return forced
	}
	return nil
}

// Wait waits until the connections and goroutines of the last stopped session have ended and each
// Completion has returned. If ctx ends first, it returns ctx's cause. After a Stop they end soon,
// unless a Dial ignores its context or a Completion is slow.
func (e *Engine) Wait(ctx context.Context) error {
	if e.ended == nil {
		return nil
	}
	select {
	case <-e.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// drain waits until every message has its verdict.
func drain(ctx context.Context, partitions []*sender.Partition) error {
	for _, p := range partitions {
		done, leave := p.Flush()
		select {
		case <-done:
		default:
			select {
			case <-done:
			case <-ctx.Done():
				leave()
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// Flush sends lingering messages. It waits until the calls have the verdicts of the messages
// admitted before, and Completion has returned for them. If ctx ends first, it returns ctx's cause.
func (e *Engine) Flush(ctx context.Context) error {
	type flush struct {
		done  <-chan struct{}
		leave func()
	}
	var all []flush
	for _, t := range *e.topics.Load() {
		for _, p := range t.all() {
			done, leave := p.Flush()
			all = append(all, flush{done, leave})
		}
	}
	for i, f := range all {
		select {
		case <-f.done:
		case <-ctx.Done():
			for _, f := range all[i:] {
				f.leave()
			}
			return context.Cause(ctx)
		}
	}
	if e.common.Completer == nil {
		return nil
	}
	select {
	case <-e.common.Completer.Returned():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// end ends the session's connections and goroutines. It does not wait.
func (s *session) end(cause error) {
	s.e.started.CompareAndSwap(s, nil)
	s.stop(cause)
	s.cancel(cause)
	go func() {
		s.cluster.Close() // no broker is added after this
		s.e.mu.Lock()
		for _, t := range *s.e.topics.Load() {
			for _, p := range t.all() {
				p.Lead(nil)
			}
		}
		s.e.mu.Unlock()
		s.wg.Wait()
		if c := s.e.common.Completer; c != nil {
			<-c.Returned()
		}
		close(s.ended)
	}()
}
