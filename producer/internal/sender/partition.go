package sender

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/record"
)

// Config configures partitions and senders. It must not change.
type Config struct {
	Mode         core.Mode
	Acks         int16 // as the protocol has them: -1, 1 or 0
	Compression  kafka.Compression
	BatchSize    int           // messages in a batch
	BatchBytes   int           // bytes in a batch, uncompressed
	RequestBytes int           // bytes in a request, if it has several batches
	Linger       time.Duration // for which a message waits for others
	// Hurry, if not nil, reports whether lingering is suspended. It must not block.
	Hurry        func() bool
	MaxAttempts  int           // requests with a batch; 0: as many as there is time for
	WriteTimeout time.Duration // of a request
	// Charge counts memory of a partition beyond the charge of its messages at admission. A
	// negative number gives memory back. Charge must not block. It may call no method of the
	// Partition except Hold and Held.
	Charge func(p *Partition, bytes int64)
	// Due is called when another producer id is due, possibly repeatedly, under the same rules as
	// Charge.
	Due func()
	// Counters must not be nil.
	Counters *Counters
	// Warn, if not nil, receives problems that no caller gets as an error, under the same rules as
	// Charge.
	Warn func(message, topic string, partition int, err error)
	// Completer receives every message with its verdict; it may be nil.
	Completer *Completer
	// IDs are the producer ids, nil without idempotence. Their lock guards them.
	IDs *IDs
	// Record, if not nil, receives the events of the cores: see record.Hook.
	Record func(record.Event)
}

// IDs are the core's producer ids, with the lock that partitions share. The zero IDs have none.
type IDs struct {
	sync.Mutex
	*core.IDs
}

// A Partition is the queue of a partition and its batch under way. Its core decides the verdicts.
// The Partition has the bytes, the waiting calls, and the times.
//
// At most one sender holds it (inHand): it is on that sender's list, or its batch is in that
// sender's request.
type Partition struct {
	cfg    *Config
	topic  string
	number int32

	mu     sync.Mutex
	core   recorded
	chunks []*chunk // in order; the first is the batch, if the core has one
	sender *Sender  // of its leader; nil: it has none
	inHand bool     // a sender or timer holds it
	using  *chunk   // the chunk that a sender encodes or sends without the lock
	// paused: timer holds it, and lists it when the pause after a failed attempt is over.
	paused  bool
	timer   *time.Timer
	linger  *time.Timer // lists it when the first message of the queue has lingered
	due     time.Time   // when linger fires; zero: it does not
	flushes int         // waiting calls of Flush: nothing lingers
	waiters []waiter

	epoch     int16         // of the last batch, for the count
	completed []*completion // run when the lock is released

	lead    atomic.Pointer[Sender] // sender, for readers without the lock
	busy    atomic.Bool            // it has a batch
	failing atomic.Bool            // attempts > 0, with a batch
	held    atomic.Int64           // of the room
	// batches is how many were taken from the queue.
	batches atomic.Uint32

	attempts int   // failed attempts of the batch
	again    bool  // the batch returned to the queue, to be taken again
	cause    error // why the last one failed
	// alone: the next one has a request of its own. The last one timed out, and would delay others. Or
	// it was lost and not the first to fail: the broker may end the connection at large requests
	// (socket.request.max.bytes).
	alone bool
}

// NewPartition returns a partition without a leader, with a new core.
func NewPartition(cfg *Config, topic string, number int32) *Partition {
	p := &Partition{cfg: cfg, topic: topic, number: number}
	p.locked(func() { p.core = recorded{core.New(cfg.Mode, p.ids()), p} })
	return p
}

func (p *Partition) ids() *core.IDs {
	if p.cfg.IDs == nil {
		return nil
	}
	return p.cfg.IDs.IDs
}

// locked calls f with the lock that all partitions share.
func (p *Partition) locked(f func()) {
	if p.cfg.IDs != nil {
		p.cfg.IDs.Lock()
		defer p.cfg.IDs.Unlock()
	}
	f()
}

// Start restarts the partitions after a stop. It needs all partitions of the IDs. Partitions made
// since are started already.
func Start(cfg *Config, ids *IDs, partitions []*Partition) error {
	var stopped []*core.Partition
	for _, p := range partitions {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.core.State() == core.Stopped {
			stopped = append(stopped, p.core.Partition)
			p.attempts, p.alone, p.again, p.cause = 0, false, false, nil
			p.notBusy()
		}
	}
	ids.Lock()
	defer ids.Unlock()
	err := ids.IDs.Start(stopped...)
	if err == nil && cfg.Record != nil {
		cfg.Record(record.Event{Kind: core.EventStart})
	}
	return err
}

// Led reports whether the partition has a leader.
func (p *Partition) Led() bool { return p.lead.Load() != nil }

// Ready reports whether the leader of the partition is connected and the last attempt to send to it
// did not fail.
func (p *Partition) Ready() bool {
	s := p.lead.Load()
	return s != nil && s.up.Load() && !p.failing.Load()
}

func (p *Partition) notBusy() {
	p.busy.Store(false)
	p.failing.Store(false)
}

// Busy reports whether a batch is under way, so that new messages wait for the next one.
func (p *Partition) Busy() bool { return p.busy.Load() }

// Batches returns a number that changes with each batch taken from the queue.
func (p *Partition) Batches() uint32 { return p.batches.Load() }

// Leader returns the broker that leads the partition; false if none does.
func (p *Partition) Leader() (broker int32, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sender == nil {
		return 0, false
	}
	return p.sender.b.id, true
}

// Topic is the name of the topic.
func (p *Partition) Topic() string { return p.topic }

// Number is the number of the partition in its topic.
func (p *Partition) Number() int { return int(p.number) }

// Admit puts n messages of a call into the queue: msgs[first], and those that next links to it. It
// copies their bytes. It returns the number of the first message, and the sender to wake, or nil.
// The caller has charged the sizes. The error is the core's, when it admits nothing any more.
func (p *Partition) Admit(c *Call, msgs []kafka.Message, next []int32, first int32, n int, now time.Time, size func(*kafka.Message) int32) (core.Message, *Sender, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	number, err := p.core.Admit(n)
	if err != nil {
		return 0, nil, err
	}
	p.core.admitted(number, msgs, next, first)
	p.cfg.Counters.Admitted.Add(int64(n))
	var tail *chunk
	if last := len(p.chunks) - 1; last >= 0 && !p.chunks[last].closed {
		tail = p.chunks[last]
	}
	at := number
	for i := first; i >= 0; i = next[i] {
		s := slot{c, i, size(&msgs[i])}
		if tail == nil || !tail.append(&msgs[i], c.Began, p.cfg, at, s) {
			if tail != nil {
				tail.closed = true
			}
			tail = newChunk()
			tail.since = now
			tail.append(&msgs[i], c.Began, p.cfg, at, s)
			p.chunks = append(p.chunks, tail)
		}
		at++
	}
	return number, p.offerLocked(now), nil
}

// offerLocked lists the partition with its sender if there is something to send and no sender holds
// it. It returns the sender to wake.
func (p *Partition) offerLocked(now time.Time) *Sender {
	if p.inHand || p.sender == nil || len(p.chunks) == 0 {
		return nil
	}
	if p.lingersLocked(now) {
		return nil
	}
	p.inHand = true
	p.sender.list(p)
	return p.sender
}

// lingersLocked reports whether the queue waits for more messages. The wait begins with its first
// message.
func (p *Partition) lingersLocked(now time.Time) bool {
	if p.cfg.Linger <= 0 || p.flushes > 0 || p.core.State() != core.Empty || len(p.chunks) > 1 || p.chunks[0].closed ||
		p.chunks[0].b.Len() >= p.cfg.BatchSize || p.cfg.Hurry != nil && p.cfg.Hurry() {
		p.due = time.Time{}
		return false
	}
	due := p.chunks[0].since.Add(p.cfg.Linger)
	if !now.Before(due) {
		p.due = time.Time{}
		return false
	}
	if !p.due.Equal(due) {
		p.due = due
		if p.linger == nil {
			p.linger = time.AfterFunc(due.Sub(now), p.lingered)
		} else {
			p.linger.Reset(due.Sub(now))
		}
	}
	return true
}

func (p *Partition) lingered() {
	p.mu.Lock()
	p.due = time.Time{}
	s := p.offerLocked(time.Now())
	p.mu.Unlock()
	wake(s)
}

// Offer sends the queue if it no longer lingers.
func (p *Partition) Offer() {
	p.mu.Lock()
	s := p.offerLocked(time.Now())
	p.mu.Unlock()
	wake(s)
}

// Lead sets the sender of the partition's leader; nil: it has no leader.
func (p *Partition) Lead(s *Sender) {
	p.mu.Lock()
	old := p.sender
	p.sender = s
	p.lead.Store(s)
	switch {
	case old == s:
		s = nil
	case p.inHand && p.paused && s != nil && p.timer.Stop(): // it need not wait any longer
		p.paused = false
		s.list(p)
	case p.inHand && !p.paused && old != nil && old.unlist(p):
		p.inHand = false
		s = p.offerLocked(time.Now())
	default:
		s = p.offerLocked(time.Now()) // unless it is under way: its sender hands it over
	}
	p.mu.Unlock()
	wake(s)
}

func wake(s *Sender) {
	if s != nil {
		s.signal()
	}
}

// sweepLocked frees the chunks whose messages all have verdicts, except the one in use.
func (p *Partition) sweepLocked() {
	for i := len(p.chunks) - 1; i >= 0; i-- {
		if ch := p.chunks[i]; ch.open == 0 && ch != p.using {
			p.freeLocked(i)
		}
	}
	if p.core.State() == core.Empty && p.using == nil {
		p.notBusy()
	}
}

func (p *Partition) freeLocked(i int) {
	p.charge(-p.chunks[i].free())
	p.chunks = slices.Delete(p.chunks, i, i+1)
}

func (p *Partition) charge(n int64) {
	if n != 0 && p.cfg.Charge != nil {
		p.cfg.Charge(p, n)
	}
}

// Hold adds n bytes to what the partition holds of the room, and returns the sum.
func (p *Partition) Hold(n int64) int64 { return p.held.Add(n) }

// Held is how many bytes the partition holds of the room.
func (p *Partition) Held() int64 { return p.held.Load() }

// Oldest is when the call of the oldest message without a verdict began; zero if there is none.
func (p *Partition) Oldest() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, ch := range p.chunks {
		for _, s := range ch.slots {
			if s.call != nil {
				return time.UnixMilli(s.call.Began)
			}
		}
	}
	return time.Time{}
}

// Rest frees the memory of a partition that is not written to, and removes its leader until the
// next Lead. It does nothing and returns false if there are messages.
func (p *Partition) Rest() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.core.Undecided() > 0 || p.inHand || len(p.chunks) > 0 {
		return false
	}
	p.locked(func() { _ = p.core.Free() }) // refused if there is nothing to free
	p.chunks, p.waiters, p.completed, p.timer, p.linger = nil, nil, nil, nil, nil
	p.sender = nil
	p.lead.Store(nil)
	return true
}

var errAttempts = errors.New("gave up after MaxAttempts")
