package producer

import (
	"context"
	"fmt"

	"github.com/seed3893aba4/surestart/fsm"
)

// Ping reports whether the producer could send now. It returns nil if each partition of the
// declared topics has a leader, and each of these brokers has answered since the call, on a
// connection that writes use. It waits for the answers until ctx ends or Config.ReadTimeout
// passes, so it notices a broker that hangs. It sends one request for metadata, and one request to
// each such broker that has not just answered a write. Concurrent Pings share these requests.
//
// ErrPartial means that some partitions have no leader, which a *TopicError names; other partitions
// can be written to. Any other error is a failure. Before Start it is ErrNotStarted, after Close
// ErrClosed. A Stop does not wait for a Ping, which then returns ErrNotStarted.
func (p *Producer) Ping(ctx context.Context) error {
	ctx = guarded(ctx)
	lease, err := p.lifecycle.Acquire()
	if err != nil {
		return err
	}
	lease.Release()
	if cause := ended(ctx); cause != nil {
		return cause
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.cfg.ReadTimeout, errReadTimeout)
	defer cancel()
	switch err := p.engine.Ping(ctx); err {
	case nil:
		return nil
	case fsm.ErrNotStarted:
		return p.notStarted()
	default:
		return fmt.Errorf("producer: ping: %w", err)
	}
}

var errReadTimeout = fmt.Errorf("no answer within the ReadTimeout: %w", context.DeadlineExceeded)
