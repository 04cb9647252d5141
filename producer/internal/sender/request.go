package sender

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/producer/internal/connection"
)

// An item is a batch in a request.
type item struct {
	p        *Partition
	bytes    []byte // nil once it has its answer
	answered bool
}

// A request is a produce request. Its memory is reused.
type request struct {
	items []item
	head  []byte
	cuts  []int // where head is cut to put the batches in
	frame net.Buffers
}

// encode lays out the request for a connection.
func (r *request) encode(c *connection.Conn, version int16, acks int16, timeout time.Duration) {
	slices.SortStableFunc(r.items, func(a, b item) int { return cmp.Compare(a.p.topic, b.p.topic) })
	be := binary.BigEndian
	h := c.AppendHeader(r.head[:0], protocol.Produce, version)
	h = be.AppendUint16(h, math.MaxUint16) // no transaction
	h = be.AppendUint16(h, uint16(acks))
	h = be.AppendUint32(h, uint32(min(timeout.Milliseconds(), math.MaxInt32)))
	topics := uint32(0)
	for i := range r.items {
		if i == 0 || r.items[i].p.topic != r.items[i-1].p.topic {
			topics++
		}
	}
	h = be.AppendUint32(h, topics)
	r.cuts = r.cuts[:0]
	for i := range r.items {
		it := &r.items[i]
		if i == 0 || it.p.topic != r.items[i-1].p.topic {
			n := uint32(1)
			for j := i + 1; j < len(r.items) && r.items[j].p.topic == it.p.topic; j++ {
				n++
			}
			h = be.AppendUint16(h, uint16(len(it.p.topic)))
			h = append(h, it.p.topic...)
			h = be.AppendUint32(h, n)
		}
		h = be.AppendUint32(h, uint32(it.p.number))
		h = be.AppendUint32(h, uint32(len(it.bytes)))
		r.cuts = append(r.cuts, len(h))
	}
	r.head = h
	r.frame = r.frame[:0]
	at := 0
	for i, cut := range r.cuts {
		r.frame = append(r.frame, h[at:cut], r.items[i].bytes)
		at = cut
	}
}

// reset drops the batches.
func (r *request) reset() {
	clear(r.items)
	clear(r.frame)
	r.items, r.frame = r.items[:0], r.frame[:0]
}

// An answer is the answer for a batch.
type answer struct {
	code    kafka.Error
	offset  int64
	records []int32 // that are refused, by their places in the batch
	message string
}

var errShort = errors.New("the answer to a produce request claims to have more than its bytes")

// decode calls each with the answer for every partition. each must not keep its arguments, so that
// a broker cannot make the client hold memory. It must ignore a partition that is not in the
// request.
func decode(version int16, b []byte, each func(topic []byte, partition int32, a answer)) (throttle time.Duration, err error) {
	in := reader{b: b}
	for range in.count(2 + 4) {
		topic := in.text()
		for range in.count(4 + 2 + 8 + 8 + 8) {
			partition := in.int32()
			a := answer{code: kafka.Error(in.int16()), offset: in.int64()}
			in.int64() // the time of the append
			in.int64() // where the log begins
			if version >= 8 {
				for range in.count(4 + 2) {
					a.records = append(a.records, in.int32())
					in.text()
				}
				a.message = string(in.text())
			}
			if in.short {
				return 0, errShort
			}
			each(topic, partition, a)
		}
	}
	throttle = time.Duration(in.int32()) * time.Millisecond
	if in.short {
		return 0, errShort
	}
	return throttle, nil
}

// A reader reads from bytes. If there are too few, it is short, and reads zeros.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.b, r.short = nil, true
		return make([]byte, n)
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) int16() int16 { return int16(binary.BigEndian.Uint16(r.take(2))) }
func (r *reader) int32() int32 { return int32(binary.BigEndian.Uint32(r.take(4))) }
func (r *reader) int64() int64 { return int64(binary.BigEndian.Uint64(r.take(8))) }

// text reads a string; nil if it is null.
func (r *reader) text() []byte {
	if n := int(r.int16()); n >= 0 && n <= len(r.b) {
		return r.take(n)
	} else if n > 0 {
		r.b, r.short = nil, true
	}
	return nil
}

// count reads the number of elements of an array. Each element takes at least least bytes.
func (r *reader) count(least int) int {
	n := int(r.int32())
	if n > len(r.b)/least {
		r.b, r.short = nil, true
		return 0
	}
	return max(n, 0)
}

// error is why a batch was not acknowledged; nil if it was.
func (a *answer) error() error {
	switch {
	case core.AnswerOf(a.code) == core.Ok:
		return nil
	case a.message != "":
		return fmt.Errorf("%w: %s", a.code, a.message)
	}
	return a.code
}
