package sender

import (
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/producer/internal/batch"
)

// A chunk is messages of a partition that are encoded together: a batch, or a future one. The
// partition's mutex guards it. Only the sender that holds the partition seals and stamps the batch,
// without the mutex.
type chunk struct {
	b       *batch.Batch
	slots   []slot     // one for each record
	numbers []core.Run // of the records, in their order
	open    int        // slots whose message has no verdict
	closed  bool       // nothing is appended any more
	stamp   stamp      // of the sealed batch; zero: none
	charged int64      // of the room for messages in flight
	since   time.Time  // when the first message was admitted
	counted bool       // among the batches
}

// A slot is where the verdict of a message goes.
type slot struct {
	call  *Call // nil: it has its verdict
	index int32 // in the call
	size  int32 // its charge
}

// A stamp is the producer id, epoch and sequence in a batch.
type stamp struct {
	set      bool
	id       int64
	epoch    int16
	sequence int32
}

var chunks = sync.Pool{New: func() any { return new(chunk) }}

func newChunk() *chunk {
	ch := chunks.Get().(*chunk)
	ch.b = batch.New()
	return ch
}

// free releases the memory, and returns its charge.
func (ch *chunk) free() int64 {
	charged := ch.charged
	ch.b.Free()
	clear(ch.slots)
	*ch = chunk{slots: ch.slots[:0], numbers: ch.numbers[:0]}
	chunks.Put(ch)
	return charged
}

// append encodes a message. It returns false if the batch would become too large.
func (ch *chunk) append(m *kafka.Message, now int64, limits *Config, number core.Message, s slot) bool {
	if ch.b.Len() >= limits.BatchSize || !ch.b.Append(m, now, limits.BatchBytes) {
		return false
	}
	ch.slots = append(ch.slots, s)
	if last := len(ch.numbers) - 1; last >= 0 && ch.numbers[last].Last+1 == number {
		ch.numbers[last].Last = number
	} else {
		ch.numbers = append(ch.numbers, core.Run{First: number, Last: number})
	}
	ch.open++
	ch.charged += int64(s.size)
	return true
}

// find returns the place of a message; -1 if it is not here.
func (ch *chunk) find(m core.Message) int {
	before := 0
	for _, r := range ch.numbers {
		if m >= r.First && m <= r.Last {
			return before + int(m-r.First)
		}
		before += int(r.Last-r.First) + 1
	}
	return -1
}

// contiguous returns how many messages from a place on, up to n, have consecutive numbers.
func (ch *chunk) contiguous(place, n int) int {
	for _, r := range ch.numbers {
		if count := int(r.Last-r.First) + 1; place >= count {
			place -= count
		} else {
			return min(n, count-place)
		}
	}
	return 0
}

// decide records that n messages from a place on have their verdict. It passes the verdict to the
// calls, unless a completion will. offset is that of the batch, or -1.
func (ch *chunk) decide(place, n int, failure Failure, offset int64, resolve bool) {
	ch.open -= n
	for i := place; i < place+n; {
		c, count := ch.slots[i].call, int64(0) // the messages of a call are counted together
		for ; i < place+n && ch.slots[i].call == c; i++ {
			if resolve && failure.Verdict != 0 {
				c.fail(ch.slots[i].index, failure)
			}
			if c.Offsets != nil && offset >= 0 && failure.Verdict == 0 {
				c.Offsets[ch.slots[i].index].Store(offset + int64(i))
			}
			ch.slots[i].call = nil
			count++
		}
		if resolve {
			c.decided(count)
		}
	}
}

// number returns the number of the message at a place.
func (ch *chunk) number(place int) core.Message {
	for _, r := range ch.numbers {
		if n := int(r.Last-r.First) + 1; place >= n {
			place -= n
			continue
		}
		return r.First + core.Message(place)
	}
	panic("sender: a chunk has fewer messages than records")
}

// shorten removes the messages that have verdicts, and encodes the others again. It returns the
// charge of the removed ones.
func (ch *chunk) shorten() (charged int64) {
	if ch.open == len(ch.slots) {
		return 0
	}
	old := slices.Clone(ch.slots)
	var numbers []core.Run
	ch.slots = ch.slots[:0]
	for i, s := range old {
		if s.call == nil {
			charged += int64(s.size)
			continue
		}
		ch.slots = append(ch.slots, s)
		numbers = appendNumber(numbers, ch.number(i))
	}
	ch.numbers = numbers
	ch.b.Keep(func(i int) bool { return old[i].call != nil })
	ch.stamp = stamp{}
	ch.charged -= charged
	return charged
}

// split moves the messages from place n on into a new chunk.
func (ch *chunk) split(n int) *chunk {
	rest := chunks.Get().(*chunk)
	rest.since = ch.since
	rest.b = ch.b.Split(n)
	for i := n; i < len(ch.slots); i++ {
		s := ch.slots[i]
		rest.slots = append(rest.slots, s)
		rest.numbers = appendNumber(rest.numbers, ch.number(i))
		rest.charged += int64(s.size)
		if s.call != nil {
			rest.open++
		}
	}
	var numbers []core.Run
	for i := range n {
		numbers = appendNumber(numbers, ch.number(i))
	}
	ch.numbers = numbers
	clear(ch.slots[n:])
	ch.slots = ch.slots[:n]
	ch.open -= rest.open
	ch.charged -= rest.charged
	ch.stamp = stamp{}
	rest.closed = true
	return rest
}

func appendNumber(runs []core.Run, m core.Message) []core.Run {
	if last := len(runs) - 1; last >= 0 && runs[last].Last+1 == m {
		runs[last].Last = m
		return runs
	}
	return append(runs, core.Run{First: m, Last: m})
}
