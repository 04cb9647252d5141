// Package batch encodes messages as record batches of format v2, the unit that a producer
// sends and a broker appends.
//
// Append fills a Batch, Seal makes it ready, and Stamp writes its producer id, epoch, sequence and
// checksum. Bytes then returns the bytes for a produce request. Keep and Split remove messages
// again. All memory is pooled: Free returns a Batch to the pool.
package batch

import (
	"encoding/binary"
	"hash/crc32"
	"iter"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// Overhead is the size of a batch without records.
const Overhead = 61

// Where fields of the header are. Before the leader's epoch stand the first offset and the length of
// what follows.
const (
	atLeaderEpoch = 12
	atCRC         = 17 // of what follows this field
	atAttributes  = 21
	atProducerID  = 43
	atEpoch       = 51
	atSequence    = 53
	atCount       = 57
)

// A Batch is messages of one partition, in order. Its methods must not be called concurrently.
type Batch struct {
	buf    []byte // room for the header, and the records
	packed []byte // the same, compressed; empty: not compressed
	count  int
	// The records' times are relative to first; latest is the largest of them. In milliseconds.
	first, latest int64
	sealed        bool
}

// keepCapacity is the largest buffer that goes back into the pool.
const keepCapacity = 4 << 20

var pool = sync.Pool{New: func() any { return &Batch{buf: make([]byte, Overhead, 1<<10)} }}

// New returns an empty Batch.
func New() *Batch {
	b := pool.Get().(*Batch)
	*b = Batch{buf: b.buf[:Overhead], packed: b.packed[:0]}
	return b
}

// Free returns the memory to the pool. The Batch, its Bytes and its Records must not be used
// afterwards.
func (b *Batch) Free() {
	if max(cap(b.buf), cap(b.packed)) <= keepCapacity {
		pool.Put(b)
	}
}

// SizeOf is the size of a batch with m alone, uncompressed.
func SizeOf(m *kafka.Message) int {
	n := bodyLen(m, 0, 0)
	return Overhead + varintLen(int64(n)) + n
}

// Append encodes m and copies its bytes. A zero m.Time stands for now, in milliseconds; any other
// must be Storable. If the Batch would become larger than limit bytes, Append returns false and
// appends nothing; an empty Batch takes every message. It panics on a sealed Batch.
func (b *Batch) Append(m *kafka.Message, now int64, limit int) bool {
	if b.sealed {
		panic("batch: Append to a sealed batch")
	}
	at := now
	if !m.Time.IsZero() {
		at = m.Time.UnixMilli()
	}
	if b.count == 0 {
		b.first, b.latest = at, at
	}
	length := bodyLen(m, at-b.first, int64(b.count))
	if b.count > 0 && len(b.buf)+varintLen(int64(length))+length > limit {
		return false
	}
	b.buf = appendRecord(b.buf, m, length, at-b.first, int64(b.count))
	b.latest = max(b.latest, at)
	b.count++
	return true
}

// Len is the number of messages.
func (b *Batch) Len() int { return b.count }

// Size is the size of the Batch, uncompressed.
func (b *Batch) Size() int { return len(b.buf) }

// Memory is how many bytes the Batch holds, including the compressed copy.
func (b *Batch) Memory() int { return cap(b.buf) + cap(b.packed) }

// Records returns the messages, numbered from 0.
func (b *Batch) Records() iter.Seq2[int, Record] {
	return func(yield func(int, Record) bool) {
		at := Overhead
		for i := range b.count {
			r := b.record(at)
			if at = r.end; !yield(i, r) {
				return
			}
		}
	}
}

// record decodes the record that begins there.
func (b *Batch) record(at int) Record {
	in := reader(b.buf[at:])
	length := int(in.varint())
	r := Record{end: len(b.buf) - len(in) + length}
	in = in[1:length] // without the attributes
	r.at = b.first + in.varint()
	r.Time = time.UnixMilli(r.at)
	in.varint() // its offset
	r.rest = in
	r.Key, r.Value = in.bytes(), in.bytes()
	r.headers = in
	return r
}

// appendRest appends the record of another Batch.
func (b *Batch) appendRest(r *Record) {
	if b.count == 0 {
		b.first, b.latest = r.at, r.at
	}
	length := 1 + varintLen(r.at-b.first) + varintLen(int64(b.count)) + len(r.rest)
	b.buf = binary.AppendVarint(b.buf, int64(length))
	b.buf = append(b.buf, 0)
	b.buf = binary.AppendVarint(b.buf, r.at-b.first)
	b.buf = binary.AppendVarint(b.buf, int64(b.count))
	b.buf = append(b.buf, r.rest...)
	b.latest = max(b.latest, r.at)
	b.count++
}

// Keep removes the messages for which keep is false. It encodes the others again with consecutive
// offsets, and unseals the Batch.
func (b *Batch) Keep(keep func(i int) bool) {
	kept := New()
	for i, r := range b.Records() {
		if keep(i) {
			kept.appendRest(&r)
		}
	}
	b.swap(kept).Free()
}

// Split moves the messages from number n on into a new Batch. Both are unsealed.
func (b *Batch) Split(n int) *Batch {
	rest, kept := New(), New()
	for i, r := range b.Records() {
		if i < n {
			kept.appendRest(&r)
		} else {
			rest.appendRest(&r)
		}
	}
	b.swap(kept).Free()
	return rest
}

// swap exchanges the records, unseals b, and returns the other.
func (b *Batch) swap(with *Batch) *Batch {
	*b, *with = Batch{
		buf: with.buf, packed: b.packed[:0], count: with.count, first: with.first, latest: with.latest,
	}, Batch{buf: b.buf, packed: with.packed}
	return with
}

// Seal compresses the records, unless that makes them larger or the codec fails, and writes the
// header, which Stamp completes. It may be called without the locks that protect Append.
func (b *Batch) Seal(c kafka.Compression) {
	if c == 0 || !b.compress(c) {
		b.packed, c = b.packed[:0], 0
	}
	b.sealed = true
	be, size := binary.BigEndian, len(b.Bytes())
	h := be.AppendUint64(b.Bytes()[:0], 0) // the first offset: the broker's
	h = be.AppendUint32(h, uint32(size-atLeaderEpoch))
	h = be.AppendUint32(h, ^uint32(0)) // the leader's epoch: not known
	h = append(h, 2)                   // the format; the checksum follows
	h = be.AppendUint16(h[:atAttributes], uint16(c))
	h = be.AppendUint32(h, uint32(b.count-1))
	h = be.AppendUint64(h, uint64(b.first))
	h = be.AppendUint64(h, uint64(b.latest))
	be.PutUint32(h[atCount:Overhead], uint32(b.count))
}

// Sealed reports whether Seal was called and nothing was removed since.
func (b *Batch) Sealed() bool { return b.sealed }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Stamp writes the producer id, its epoch, the sequence of the first message, and the checksum; -1,
// -1, -1 is not idempotent. It panics on a Batch that is not sealed.
func (b *Batch) Stamp(id int64, epoch int16, sequence int32) {
	if !b.sealed {
		panic("batch: Stamp before Seal")
	}
	h := b.Bytes()
	be := binary.BigEndian
	be.PutUint64(h[atProducerID:], uint64(id))
	be.PutUint16(h[atEpoch:], uint16(epoch))
	be.PutUint32(h[atSequence:], uint32(sequence))
	be.PutUint32(h[atCRC:], crc32.Checksum(h[atAttributes:], castagnoli))
}

// Bytes are the sealed batch for the wire, valid until the Batch is changed or freed.
func (b *Batch) Bytes() []byte {
	if len(b.packed) > 0 {
		return b.packed
	}
	return b.buf
}
