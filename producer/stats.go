package producer

import (
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

// stats sums the engine's counts.
type stats struct {
	mu          sync.Mutex
	seen        kafka.WriterStats // the engine's counts at the last call
	last, total kafka.WriterStats
}

// Stats returns the counts since its last call, over all starts, as Stats of a *kafka.Writer does.
// All callers share one "last call". It does not wait for the network.
//
// A batch counts once, with its messages and bytes, when it is first sent. Writes counts attempts
// to send a batch, Errors failed attempts, and Retries attempts after the first. BatchTime and
// BatchQueueTime are how long the first message of a batch waited. WriteTime is the duration of a
// request. WaitTime is the time for which brokers throttled the producer. Async, Dials, DialTime,
// Rebalances, RebalanceInterval, QueueLength and QueueCapacity are always zero. The other fields
// repeat the configuration.
func (p *Producer) Stats() kafka.WriterStats {
	p.stats.mu.Lock()
	defer p.stats.mu.Unlock()
	p.stats.gatherLocked(p.engine.Counters())
	s := p.stats.last
	p.stats.last = kafka.WriterStats{}
	return p.describe(s)
}

// Totals returns the counts since New, over all starts, in the same fields as Stats. It does not
// reset Stats.
func (p *Producer) Totals() kafka.WriterStats {
	p.stats.mu.Lock()
	defer p.stats.mu.Unlock()
	p.stats.gatherLocked(p.engine.Counters())
	return p.describe(p.stats.total)
}

// InFlightBytes returns how much of Config.MaxInFlightBytes is in use. The bytes of a message are
// free again shortly after its verdict. InFlightBytes never blocks.
func (p *Producer) InFlightBytes() int64 { return p.engine.InFlight() }

// Counters are counts since New, over all starts, and present values that Stats does not have.
type Counters struct {
	// Admitted counts the messages that calls put into the queues. Each also counts by its verdict
	// once it has one.
	Admitted                            int64
	Delivered, NotSent, Rejected, Maybe int64
	// Withdrawn counts those of the NotSent and Maybe messages whose caller left or whose
	// DeliveryTimeout passed.
	Withdrawn int64

	Requests  int64         // produce requests
	Throttled time.Duration // how long brokers throttled the producer

	Connects        int64 // connections made to leaders
	ConnectFailures int64
	Connections     int64 // open to leaders now

	// Epochs counts the epochs that partitions started, including the first.
	Epochs int64
	// LostByCluster counts answers that show that the log lost acknowledged messages, or that the
	// cluster lost its state for this producer. Each such answer is logged.
	LostByCluster int64

	// Leaderless is the number of partitions without a leader now, of declared topics and of topics
	// written to in the last five minutes. It is 0 unless the producer is started.
	Leaderless int64
	// Waiting is the number of calls that wait for room (Config.MaxInFlightBytes).
	Waiting int64
	// Oldest is how long ago the oldest message without a verdict was sent by its caller; 0 if there
	// is none.
	Oldest time.Duration
}

// Counters returns the current counts.
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
		c.Oldest = max(0, time.Since(oldest).Truncate(time.Millisecond)) // by the wall clock, which may be set back
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

// describe fills in the configured values.
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
