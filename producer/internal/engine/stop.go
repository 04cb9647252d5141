package engine

import (
	"context"
	"fmt"
	"time"

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

// Stop admits nothing more, sends at once what lingers, and waits until every message has
// its verdict, or ctx ends: then each message gets its verdict now, and the error is a
// *Forced that counts them. It returns within 50 ms of ctx's end.
func (e *Engine) Stop(ctx context.Context) error {
	s := e.started.Load()
	if s == nil {
		return nil
	}
	e.started.Store(nil)
	e.mu.Lock()
	s.stop(ErrStopping)
	e.mu.Unlock()
	var partitions []*sender.Partition
	for _, t := range *e.topics.Load() {
		partitions = append(partitions, t.all()...)
	}
	for _, p := range partitions {
		p.Stop()
	}
	err := drain(ctx, partitions)
	if err == nil && e.common.Completer != nil {
		select {
		case <-e.common.Completer.Idle():
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	var forced *Forced
	for _, p := range partitions {
		if err == nil && p.StopEnds() == nil {
			continue
		}
		if forced == nil {
			forced = &Forced{Err: err}
		}
		notSent, maybe, rejected := p.Cut(ErrCut)
		forced.NotSent += notSent
		forced.Maybe += maybe
		forced.Rejected += rejected
	}
	s.end(ErrCut)
	patience := time.NewTimer(patience)
	defer patience.Stop()
	select {
	case <-s.ended:
	case <-patience.C: // a Dial that does not heed its context
	}
	if forced != nil {
		return forced
	}
	return nil
}

// patience is how long Stop waits for goroutines.
const patience = 40 * time.Millisecond

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

// Flush sends what lingers, and waits for the verdicts of what was admitted before the call,
// or until ctx ends, and returns its cause.
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
	return nil
}

// end ends the session's connections and goroutines. It does not wait.
func (s *session) end(cause error) {
	s.e.started.CompareAndSwap(s, nil)
	s.stop(cause)
	s.cancel(cause)
	go func() {
		s.cluster.Close() // no broker is added after this
		s.e.mu.Lock()
		if s.e.session == s {
			s.e.session = nil
		}
		for _, t := range *s.e.topics.Load() {
			for _, p := range t.all() {
				p.Lead(nil)
			}
		}
		s.e.mu.Unlock()
		s.wg.Wait()
		close(s.ended)
	}()
}
