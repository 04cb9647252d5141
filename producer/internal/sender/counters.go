package sender

import (
	"sync/atomic"

	"github.com/seed3893aba4/surestart/internal/core"
)

// Counters count what happens, over all partitions, brokers and starts.
type Counters struct {
	Requests  atomic.Int64 // produce requests
	Batches   atomic.Int64 // taken from a queue, to be sent
	Messages  atomic.Int64 // in them
	Bytes     atomic.Int64 // of these batches, as they were sent first
	Retries   atomic.Int64 // attempts after the first, of a batch
	Throttled atomic.Int64 // nanoseconds for which brokers wanted no request

	// Messages, by their verdicts.
	Delivered, NotSent, Rejected, Maybe atomic.Int64
	Withdrawn                           atomic.Int64 // of these, because a caller left or a deadline passed

	Connects        atomic.Int64 // connections to leaders
	ConnectFailures atomic.Int64
	Open            atomic.Int64 // connections now
	Epochs          atomic.Int64 // that partitions began
	Sequences       atomic.Int64 // answers by which the log lost acknowledged messages, or a producer id
}

func (c *Counters) count(d core.Decided) {
	n := int64(d.Last-d.First) + 1
	switch d.Verdict {
	case core.Delivered:
		c.Delivered.Add(n)
	case core.NotSent:
		c.NotSent.Add(n)
	case core.Rejected:
		c.Rejected.Add(n)
	case core.Maybe:
		c.Maybe.Add(n)
	}
}
