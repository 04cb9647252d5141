package producer

import (
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

// stats adds up what the engine counts.
type stats struct {
	mu          sync.Mutex
	seen        kafka.WriterStats // its counts, at the last look
	last, total kafka.WriterStats
}

// Stats returns what happened since the last call of Stats, as the Stats of a
// *kafka.Writer does, over all starts.
//
// A batch counts with its messages and bytes, as they are sent, when it is sent first; Writes
// are the attempts to send one, Errors those that failed, Retries those after the first.
// BatchTime and BatchQueueTime are how long the first message of a batch has waited, WriteTime
// is a request's, WaitTime is how long brokers wanted no request. Async, Dials, DialTime,
// Rebalances, RebalanceInterval, QueueLength and QueueCapacity are always zero; the rest is
// what was configured. It may be called at any time; callers share what "since" means.
func (p *Producer) Stats() kafka.WriterStats {
	p.stats.mu.Lock()
	defer p.stats.mu.Unlock()
	p.stats.gatherLocked(p.engine.Counters())
	s := p.stats.last
	p.stats.last = kafka.WriterStats{}
	return p.describe(s)
}

// Totals returns what happened since New, over all starts, in the same fields. It may be called at
// any time, and does not reset what Stats counts.
func (p *Producer) Totals() kafka.WriterStats {
	p.stats.mu.Lock()
	defer p.stats.mu.Unlock()
	p.stats.gatherLocked(p.engine.Counters())
	return p.describe(p.stats.total)
}

// InFlightBytes returns what the messages that have no verdict yet count for, of the
// MaxInFlightBytes that bound it. It never blocks.
func (p *Producer) InFlightBytes() int64 { return p.engine.InFlight() }

// Counters count what happened since New, over all starts, beyond what Stats have a field for.
type Counters struct {
	// Admitted are the messages that calls took into the queues; each of them is counted by its verdict,
	// too, or has none yet.
	Admitted                            int64
	Delivered, NotSent, Rejected, Maybe int64
	// Withdrawn are those of NotSent and Maybe whose caller has left, or whose DeliveryTimeout has passed.
	Withdrawn int64

	Requests  int64         // produce requests
	Throttled time.Duration // for which brokers wanted no request

	Connects        int64 // connections that were made to leaders
	ConnectFailures int64
	Connections     int64 // that are open to leaders now

	// Epochs are those that partitions began, the first included.
	Epochs int64
	// LostByCluster are the answers that say that the log has lost acknowledged messages, or
	// the cluster what it knew of this producer. Each is logged.
	LostByCluster int64

	// Leaderless are the partitions that have no leader now, of the declared topics and of those
	// written to in the last five minutes. It is 0 unless the producer is started.
	Leaderless int64
	// Waiting are the calls that wait for room among the MaxInFlightBytes.
	Waiting int64
	// Oldest is the age of the oldest message without a verdict; 0: there is none.
	Oldest time.Duration
}

// Counters returns the counts as they are now. It may be called at any time.
func (p *Producer) Counters() Counters {
	e := p.engine.Counters()
	c := Counters{
		Admitted:  e.Admitted.Load(),
		Delivered: e.Delivered.Load(), NotSent: e.NotSent.Load(), Rejected: e.Rejected.Load(), Maybe: e.Maybe.Load(),
		Withdrawn: e.Withdrawn.Load(),
		Requests:  e.Requests.Load(), Throttled: time.Duration(e.Throttled.Load()),
		Connects: e.Connects.Load(), ConnectFailures: e.ConnectFailures.Load(), Connections: e.Open.Load(),
		Epochs: e.Epochs.Load(), LostByCluster: e.Sequences.Load(),
		Leaderless: p.engine.Leaderless(), Waiting: p.engine.Waiting(),
	}
	if oldest := p.engine.Oldest(); !oldest.IsZero() {
		c.Oldest = time.Since(oldest)
	}
	return c
}

func (t *stats) gatherLocked(c *sender.Counters) {
	now := kafka.WriterStats{
		Writes:   c.Batches.Load() + c.Retries.Load(),
		Messages: c.Messages.Load(),
		Bytes:    c.Bytes.Load(),
		Errors:   c.Errors.Load(),
		Retries:  c.Retries.Load(),
	}
	since := kafka.WriterStats{
		Writes:   now.Writes - t.seen.Writes,
		Messages: now.Messages - t.seen.Messages,
		Bytes:    now.Bytes - t.seen.Bytes,
		Errors:   now.Errors - t.seen.Errors,
		Retries:  now.Retries - t.seen.Retries,

		BatchTime:  durations(c.Queued.Take()),
		WriteTime:  durations(c.RequestTime.Take()),
		WaitTime:   durations(c.Waits.Take()),
		BatchSize:  summary(c.BatchMessages.Take()),
		BatchBytes: summary(c.BatchBytes.Take()),
	}
	since.BatchQueueTime = since.BatchTime
	t.seen = now
	add(&t.last, since)
	add(&t.total, since)
}

func durations(v sender.Values) kafka.DurationStats {
	return kafka.DurationStats{Min: time.Duration(v.Min), Max: time.Duration(v.Max), Sum: time.Duration(v.Sum), Count: v.Count}
}

func summary(v sender.Values) kafka.SummaryStats {
	return kafka.SummaryStats{Min: v.Min, Max: v.Max, Sum: v.Sum, Count: v.Count}
}

// describe fills in what was configured.
func (p *Producer) describe(s kafka.WriterStats) kafka.WriterStats {
	c := p.cfg
	s.MaxAttempts = int64(c.MaxAttempts)
	s.WriteBackoffMin, s.WriteBackoffMax = sender.FirstPause, sender.LongestPause
	s.MaxBatchSize = int64(c.BatchSize)
	s.BatchTimeout, s.ReadTimeout, s.WriteTimeout = c.Linger, c.ReadTimeout, c.WriteTimeout
	s.RequiredAcks = int64(c.Acks.required())
	s.Topic, s.ClientID = c.Topic, c.ClientID
	return s
}

// add adds the counts of b to a.
func add(a *kafka.WriterStats, b kafka.WriterStats) {
	a.Writes += b.Writes
	a.Messages += b.Messages
	a.Bytes += b.Bytes
	a.Errors += b.Errors
	a.Retries += b.Retries
	addDurations(&a.BatchTime, b.BatchTime)
	addDurations(&a.BatchQueueTime, b.BatchQueueTime)
	addDurations(&a.WriteTime, b.WriteTime)
	addDurations(&a.WaitTime, b.WaitTime)
	addSummary(&a.BatchSize, b.BatchSize)
	addSummary(&a.BatchBytes, b.BatchBytes)
}

func addDurations(a *kafka.DurationStats, b kafka.DurationStats) {
	if b.Count == 0 {
		return
	}
	if a.Count == 0 || b.Min < a.Min {
		a.Min = b.Min
	}
	a.Max = max(a.Max, b.Max)
	a.Count += b.Count
	a.Sum += b.Sum
	a.Avg = a.Sum / time.Duration(a.Count)
}

func addSummary(a *kafka.SummaryStats, b kafka.SummaryStats) {
	if b.Count == 0 {
		return
	}
	if a.Count == 0 || b.Min < a.Min {
		a.Min = b.Min
	}
	a.Max = max(a.Max, b.Max)
	a.Count += b.Count
	a.Sum += b.Sum
	a.Avg = a.Sum / a.Count
}
