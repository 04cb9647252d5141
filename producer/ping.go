package producer

import (
	"context"
	"fmt"
)

// Ping tells whether the producer could send now: each broker that leads partitions of the
// declared topics has answered after the call, over a connection that writes use, and each of
// these partitions has a leader. A broker that hangs is noticed; Ping then waits
// until ctx ends or Config.ReadTimeout has passed. Concurrent Pings share what they ask.
//
// An error that is ErrPartial says that only some partitions cannot be written to,
// because they have no leader, and names them (*TopicError). Any other is a failure:
// of a broker that leads, of a topic as a whole, or of all. Before Start it is
// ErrNotStarted, after Close ErrClosed. A Stop does not wait for it.
func (p *Producer) Ping(ctx context.Context) error {
	lease, err := p.lifecycle.Acquire()
	if err != nil {
		return err
	}
	lease.Release()
	if cause := ended(ctx); cause != nil {
		return cause
	}
	limited, cancel := context.WithTimeout(ctx, p.cfg.ReadTimeout)
	defer cancel()
	switch err := p.engine.Ping(limited); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		return fmt.Errorf("producer: ping: %w", err)
	}
}
