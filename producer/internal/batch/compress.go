package batch

import (
	"slices"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/segmentio/kafka-go"
)

// sampleSize is how many bytes of a large batch are compressed first.
const sampleSize = 16 << 10

// compress fills packed, and reports whether that made the records smaller.
func (b *Batch) compress(c kafka.Compression) bool {
	if c == kafka.Snappy { // our own
		return b.shrink(c)
	}
	smaller := false
	var wg sync.WaitGroup
	wg.Go(func() { // a codec that was replaced in kafka-go's table may panic, or end the goroutine
		defer func() { _ = recover() }()
		smaller = b.shrink(c)
	})
	wg.Wait()
	return smaller
}

// shrink is compress. A large batch is not compressed at all if its first bytes do not become
// smaller.
func (b *Batch) shrink(c kafka.Compression) bool {
	records := b.buf[Overhead:]
	if len(records) >= 4*sampleSize && (!b.pack(c, records[:sampleSize]) || len(b.packed) > sampleSize*63/64) {
		return false
	}
	return b.pack(c, records) && len(b.packed) < len(b.buf)
}

// pack makes packed of compressed records, and reports whether the codec succeeded.
func (b *Batch) pack(c kafka.Compression, records []byte) bool {
	b.packed = append(b.packed[:0], b.buf[:Overhead]...)
	if c == kafka.Snappy {
		// One raw block. kafka-go's codec needs two more copies for it, or frames blocks as the
		// first Java clients did; brokers take both.
		b.packed = slices.Grow(b.packed, s2.MaxEncodedLen(len(records)))
		b.packed = b.packed[:Overhead+len(s2.EncodeSnappy(b.packed[Overhead:cap(b.packed)], records))]
		return true
	}
	w := c.Codec().NewWriter((*appender)(&b.packed))
	_, err := w.Write(records)
	return w.Close() == nil && err == nil
}

// An appender is a slice to write to.
type appender []byte

// Write appends p.
func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}
