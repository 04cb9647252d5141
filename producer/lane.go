package producer

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// A lane is the way to one partition: the messages that wait for it, and what is known
// of the batch under way, of which there is one at most.
//
// kafka-go's Writer fills batches by a timer and makes the memory of a full one for the
// first message of each: either a lone write waits and costs much, or a flood goes in
// small batches, one a round trip. Here a message that finds its lane free is sent at
// once, and what comes while a batch is under way is the next batch. The Writer gets
// each ready-made: full with its last message.
type lane struct {
	s     *session
	topic string
	ctx   *handing

	mu      sync.Mutex
	queue   []*chunk    // in the order in which the messages came; none is empty
	waiting int         // messages in the queue
	bytes   int64       // and their size
	since   time.Time   // when the first of them came
	busy    bool        // a batch is with the Writer, or about to be
	lingers *time.Timer // fires when the queue has waited for long enough

	left atomic.Int64 // messages of the batch under way that have no result

	underway // the batch; only the Writer's goroutine for the lane uses this
}

func (s *session) lane(topic string, partition int) *lane {
	key := laneKey{topic, partition}
	if l, ok := s.lanes.Load(key); ok {
		return l.(*lane)
	}
	answer := &metadata.Response{Topics: []metadata.ResponseTopic{{Name: topic, Partitions: make([]metadata.ResponsePartition, 1)}}}
	l, _ := s.lanes.LoadOrStore(key, &lane{
		s: s, topic: topic,
		ctx:      &handing{context.Background(), answer},
		underway: underway{guard: new(guard)},
	})
	return l.(*lane)
}

type laneKey struct {
	topic     string
	partition int
}

// A chunk is some messages of a queue, those between from and to.
type chunk struct {
	from, to int
	msgs     [64]kafka.Message
}

// A segment is what a batch takes of a chunk.
type segment struct {
	*chunk
	msgs []kafka.Message
	all  bool // that was left of it
}

// put queues those messages of a call at which lanes names this one, and takes the
// name away. They stand together: a call is in order. It reports whether the lane was
// free, and is the caller's now (claimLocked).
func (l *lane) put(c *call, msgs []kafka.Message, lanes []*lane) (claimed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == 0 {
		l.since = time.Now()
	}
	for i := range lanes {
		if lanes[i] != l {
			continue
		}
		lanes[i] = nil
		last := len(l.queue) - 1
		if last < 0 || l.queue[last].to == len(l.queue[last].msgs) {
			l.queue, last = append(l.queue, l.s.newChunk()), last+1
		}
		ch := l.queue[last]
		m := &ch.msgs[ch.to]
		*m = msgs[i]
		m.Topic, m.WriterData = l.topic, &c.slots[i]
		ch.to++
		l.waiting++
		l.bytes += c.slots[i].size
	}
	return l.claimLocked()
}

// claimLocked makes the lane the caller's, who must run it, if it was free.
func (l *lane) claimLocked() bool {
	claimed := !l.busy
	l.busy = true
	return claimed
}

// run hands batches to the Writer until it has one under way or there is none. Whoever
// calls it has claimed the lane.
func (l *lane) run() {
	for {
		batch, n := l.take()
		if n == 0 || l.s.hand(l, batch, n) {
			return
		}
		for _, seg := range batch { // it is being closed
			l.s.conclude(seg.msgs, failed(ErrNotSent, errCutOff))
		}
	}
}

// ended is told that n messages of the batch under way have their results.
func (l *lane) ended(n int) {
	if l.left.Add(-int64(n)) == 0 {
		runtime.Gosched() // who has been told its result may have the next message ready
		l.run()
	}
}

// lingered is told when those that wait have waited for long enough.
func (l *lane) lingered() {
	l.mu.Lock()
	claimed := l.claimLocked()
	l.mu.Unlock()
	if claimed {
		l.run()
	}
}

// take returns the next batch, of n messages. If none is ready n is 0, and the lane
// free.
func (l *lane) take() (batch []segment, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	cfg := l.s.cfg
	if l.busy = l.waiting > 0; !l.busy {
		return nil, 0
	}
	waited := time.Since(l.since)
	if waited < cfg.Linger && l.waiting < cfg.BatchSize && l.bytes < cfg.BatchBytes {
		if l.lingers == nil {
			l.lingers = time.AfterFunc(cfg.Linger-waited, l.lingered)
		} else {
			l.lingers.Reset(cfg.Linger - waited)
		}
		l.busy = false
		return nil, 0
	}
	bytes, used := int64(0), 0
	for _, ch := range l.queue {
		first := ch.from
		for ch.from < ch.to && n < cfg.BatchSize {
			more := ch.msgs[ch.from].WriterData.(*slot).size
			if n > 0 && bytes+more > cfg.BatchBytes {
				break
			}
			ch.from++
			n++
			bytes += more
		}
		if ch.from == first { // it was full with the chunk before
			break
		}
		all := ch.from == ch.to
		batch = append(batch, segment{ch, ch.msgs[first:ch.from], all})
		if !all {
			break
		}
		used++
	}
	l.queue = slices.Delete(l.queue, 0, used)
	l.waiting -= n
	l.bytes -= bytes
	l.s.queued.observe(waited)
	return batch, n
}

// shut fails those that wait: nothing is handed to the Writer any more.
func (l *lane) shut() {
	l.mu.Lock()
	if l.lingers != nil {
		l.lingers.Stop()
	}
	queue := l.queue
	l.queue, l.waiting, l.bytes = nil, 0, 0
	l.mu.Unlock()
	for _, ch := range queue {
		l.s.conclude(ch.msgs[ch.from:ch.to], failed(ErrNotSent, errCutOff))
	}
}

func (s *session) newChunk() *chunk {
	if ch, ok := s.chunks.Get().(*chunk); ok {
		return ch
	}
	return new(chunk)
}

// hand gives the Writer a batch of n messages that is full with the last of them. It
// copies them. The Writer reads its BatchSize within WriteMessages alone, which is
// called once at a time. It returns false if the session is being closed.
func (s *session) hand(l *lane, batch []segment, n int) bool {
	if !s.inside.enter() {
		return false
	}
	defer s.inside.leave()
	s.handing.Lock()
	defer s.handing.Unlock()
	s.writer.BatchSize = n
	l.left.Store(int64(n))
	for _, seg := range batch {
		// Nothing is left to fail: it is not closed before this gate, it has not to ask
		// for the topic, and the sizes are not its business.
		if err := s.writer.WriteMessages(l.ctx, seg.msgs...); err != nil {
			panic("producer: handing a batch over: " + err.Error())
		}
		if seg.all {
			*seg.chunk = chunk{}
			s.chunks.Put(seg.chunk)
		}
	}
	return true
}

// handing is the context of that. It brings the answer to what the Writer asks for each
// message, which does not matter any more: how many partitions the topic has.
type handing struct {
	context.Context
	answer *metadata.Response
}

// chosen is the Writer's balancer: the partition has been chosen.
type chosen struct{}

// Balance implements kafka.Balancer.
func (chosen) Balance(m kafka.Message, _ ...int) int { return m.WriterData.(*slot).partition }
