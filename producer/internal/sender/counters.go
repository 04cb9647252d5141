package sender

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed3893aba4/surestart/internal/core"
)

// Counters count events over all partitions, brokers and starts.
type Counters struct {
	Requests  atomic.Int64 // produce requests
	Batches   atomic.Int64 // taken from a queue, to be sent
	Messages  atomic.Int64 // in them
	Bytes     atomic.Int64 // of these batches, as they were sent first
	Errors    atomic.Int64 // attempts that failed, of a batch
	Retries   atomic.Int64 // attempts after the first, of a batch
	Throttled atomic.Int64 // nanoseconds for which brokers wanted no request

	Admitted atomic.Int64 // messages, taken into a queue

	// Messages, by their verdicts.
	Delivered, NotSent, Rejected, Maybe atomic.Int64
	Withdrawn                           atomic.Int64 // of these, because a caller left or a deadline passed

	Connects        atomic.Int64 // connections to leaders
	ConnectFailures atomic.Int64
	Open            atomic.Int64 // connections now
	Epochs          atomic.Int64 // that partitions began
	Sequences       atomic.Int64 // answers by which the log lost acknowledged messages, or a producer id

	BatchMessages Summary
	BatchBytes    Summary
	Queued        Summary // nanoseconds from the first message of a batch to its first request
	RequestTime   Summary // nanoseconds until an answer, or until there was none
	Waits         Summary // nanoseconds, of each time that a broker wanted no request
}

// batch counts a batch that is sent for the first time.
func (c *Counters) batch(messages, bytes, queued int64) {
	c.Batches.Add(1)
	c.Messages.Add(messages)
	c.Bytes.Add(bytes)
	c.BatchMessages.observe(messages)
	c.BatchBytes.observe(bytes)
	c.Queued.observe(queued)
}

// Counts are numbers of messages, by their verdicts.
type Counts struct{ Delivered, NotSent, Rejected, Maybe int }

// count counts verdicts, and returns the number of each.
func (c *Counters) count(decided []core.Decided) (n Counts) {
	for _, d := range decided {
		of := &n.Delivered
		switch d.Verdict {
		case core.NotSent:
			of = &n.NotSent
		case core.Rejected:
			of = &n.Rejected
		case core.Maybe:
			of = &n.Maybe
		}
		*of += int(d.Last-d.First) + 1
	}
	c.Delivered.Add(int64(n.Delivered))
	c.NotSent.Add(int64(n.NotSent))
	c.Rejected.Add(int64(n.Rejected))
	c.Maybe.Add(int64(n.Maybe))
	return n
}

// A Summary is the minimum, the maximum, the sum and the number of values.
type Summary struct {
	mu sync.Mutex
	Values
}

// Values are the content of a Summary.
type Values struct{ Min, Max, Sum, Count int64 }

func (s *Summary) observe(v int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Count == 0 || v < s.Min {
		s.Min = v
	}
	s.Max = max(s.Max, v)
	s.Sum += v
	s.Count++
}

// Take returns the values since the last call.
func (s *Summary) Take() Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.Values
	s.Values = Values{}
	return v
}

// maxThrottle limits how long a broker may throttle. Kafka's own limit is the quota window, 11
// seconds by default.
const maxThrottle = time.Minute

// Throttle counts that a broker throttles for d, and returns how long to wait.
func (c *Counters) Throttle(d time.Duration) time.Duration {
	d = min(d, maxThrottle)
	c.Throttled.Add(int64(d))
	c.Waits.observe(int64(d))
	return d
}
