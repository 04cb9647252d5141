package batch

import (
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/segmentio/kafka-go"
)

// A record of format v2 is the length of its body, and the body: attributes, the
// differences of its time and offset to the batch's, key, value and headers. Numbers are
// zigzag varints. The length of null is -1.

// varintLen is the length of what binary.AppendVarint appends.
func varintLen(n int64) int { return (bits.Len64(uint64(n<<1)^uint64(n>>63)|1) + 6) / 7 }

// bytesLen is the length of what appendBytes appends: the length of null takes a byte, too.
func bytesLen(b []byte) int { return varintLen(int64(len(b))) + len(b) }

func appendBytes(b, field []byte) []byte {
	if field == nil {
		return binary.AppendVarint(b, -1)
	}
	return append(binary.AppendVarint(b, int64(len(field))), field...)
}

// bodyLen is the length of the body of m's record.
func bodyLen(m *kafka.Message, timeDelta, offsetDelta int64) int {
	n := 1 + varintLen(timeDelta) + varintLen(offsetDelta) + bytesLen(m.Key) + bytesLen(m.Value) + varintLen(int64(len(m.Headers)))
	for i := range m.Headers {
		h := &m.Headers[i]
		n += varintLen(int64(len(h.Key))) + len(h.Key) + bytesLen(h.Value)
	}
	return n
}

// appendRecord appends the record of m, whose body has this length.
func appendRecord(b []byte, m *kafka.Message, length int, timeDelta, offsetDelta int64) []byte {
	b = binary.AppendVarint(b, int64(length))
	b = append(b, 0) // attributes: none are defined
	b = binary.AppendVarint(b, timeDelta)
	b = binary.AppendVarint(b, offsetDelta)
	b = appendBytes(b, m.Key)
	b = appendBytes(b, m.Value)
	b = binary.AppendVarint(b, int64(len(m.Headers)))
	for i := range m.Headers {
		h := &m.Headers[i]
		b = binary.AppendVarint(b, int64(len(h.Key)))
		b = append(b, h.Key...)
		b = appendBytes(b, h.Value)
	}
	return b
}

// Storable reports whether the time of a message can be stored: in milliseconds, it must be so far
// within 64 bits that the difference of two of them is, too, and not be -1, which stands for no time.
func Storable(at time.Time) bool {
	const most = 1 << 61 / 1000 // seconds, some 73 million years
	sec := at.Unix()
	return -most < sec && sec < most && at.UnixMilli() != -1
}

// A Record is a message as it stands in a Batch. Its slices point into the Batch.
type Record struct {
	Key, Value []byte
	// Time has the precision of the log, a millisecond.
	Time time.Time

	headers []byte // their number, and they
	at      int64  // Time
	rest    []byte // behind the head of the record, from the key on
	end     int    // where the next record begins
}

// AppendHeaders appends the record's headers, whose values point into the Batch.
func (r *Record) AppendHeaders(to []kafka.Header) []kafka.Header {
	in := reader(r.headers)
	for range in.varint() {
		key := in.bytes()
		to = append(to, kafka.Header{Key: string(key), Value: in.bytes()})
	}
	return to
}

// A reader reads records that this package has written.
type reader []byte

func (r *reader) varint() int64 {
	v, n := binary.Varint(*r)
	*r = (*r)[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.varint()
	if n < 0 {
		return nil
	}
	field := (*r)[:n:n]
	*r = (*r)[n:]
	return field
}
