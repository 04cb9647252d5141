package producer

import (
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// stats adds up what the Writers of all sessions count. A Writer forgets what it
// has told, so it is asked by nobody else.
type stats struct {
	mu          sync.Mutex
	last, total kafka.WriterStats
}

// Stats returns what happened since the last call of Stats, as the Stats of a
// *kafka.Writer does, over all starts.
func (p *Producer) Stats() kafka.WriterStats {
	p.stats.mu.Lock()
	defer p.stats.mu.Unlock()
	p.gatherLocked()
	s := p.stats.last
	p.stats.last = kafka.WriterStats{}
	return p.describe(s)
}

// Totals returns what happened since New, over all starts.
func (p *Producer) Totals() kafka.WriterStats {
	p.stats.mu.Lock()
	defer p.stats.mu.Unlock()
	p.gatherLocked()
	return p.describe(p.stats.total)
}

// InFlightBytes returns what the messages that have no result yet count for, of the
// MaxInFlightBytes that bound it. It never blocks.
func (p *Producer) InFlightBytes() int64 { return p.budget.used.Load() }

func (p *Producer) gatherLocked() {
	if lease, err := p.lifecycle.Acquire(); err == nil {
		p.stats.addLocked(lease.Resource().figures())
		lease.Release()
	}
}

// retire takes the last figures of a session that has been closed.
func (t *stats) retire(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addLocked(s.figures())
}

// figures are the Writer's since they were last taken; how long its batches were
// filled, the lanes know.
func (s *session) figures() kafka.WriterStats {
	s.handing.Lock()
	f := s.writer.Stats()
	s.handing.Unlock()
	f.BatchTime = s.queued.take()
	f.BatchQueueTime = f.BatchTime
	return f
}

// queueTime is how long batches were filled, from the first message to the handing over.
type queueTime struct {
	mu sync.Mutex
	kafka.DurationStats
}

func (w *queueTime) observe(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	addDurations(&w.DurationStats, kafka.DurationStats{Min: d, Max: d, Count: 1, Sum: d})
}

func (w *queueTime) take() kafka.DurationStats {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.DurationStats
	w.DurationStats = kafka.DurationStats{}
	return d
}

func (t *stats) addLocked(s kafka.WriterStats) {
	add(&t.last, s)
	add(&t.total, s)
}

// describe fills in what was configured: the Writer's own settings say how the
// producer uses it.
func (p *Producer) describe(s kafka.WriterStats) kafka.WriterStats {
	c := p.cfg
	s.MaxAttempts = int64(c.MaxAttempts)
	s.WriteBackoffMin, s.WriteBackoffMax = firstPause, longestPause
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
