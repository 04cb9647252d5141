package producer

import (
	"context"
	"fmt"

	"github.com/seed3893aba4/surestart/fsm"
)

// Ping reports whether the producer could send now: each broker that leads partitions of the
// declared topics has answered after the call, over a connection that writes use, and each of
// these partitions has a leader. Ping notices a broker that hangs: it waits for the answer
// until ctx ends or Config.ReadTimeout has passed. It sends one request for metadata, and one to
// each of those brokers unless it has just answered a write; concurrent Pings share them.
//
// An error that is ErrPartial says that only some partitions cannot be written to,
// because they have no leader, and names them (*TopicError). Any other is a failure:
// of a broker that leads, of a topic as a whole, or of all. Before Start it is
// ErrNotStarted, after Close ErrClosed. A Stop does not wait for a Ping, which returns ErrNotStarted then.
func (p *Producer) Ping(ctx context.Context) error {
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
