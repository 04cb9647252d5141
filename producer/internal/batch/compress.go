package batch

import (
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/klauspost/compress/s2"
	"github.com/segmentio/kafka-go"
)

// sampleSize is how many bytes of a large batch are compressed first.
const sampleSize = 16 << 10

// compress fills packed, or leaves it empty if compressing does not pay or fails.
func (b *Batch) compress(c kafka.Compression) error {
	if c == kafka.Snappy { // our own
		return b.shrink(c)
	}
	err := fmt.Errorf("batch: compression %v called runtime.Goexit", c)
	ended := make(chan struct{})
	go func() { // a codec that was replaced in kafka-go's table may end it
		defer close(ended)
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("batch: compression %v panicked: %v\n%s", c, v, debug.Stack())
			}
		}()
		err = b.shrink(c)
	}()
	<-ended
	if err != nil {
		b.packed = b.packed[:0]
	}
	return err
}

// shrink fills packed, or leaves it empty if compressing does not pay. A large batch is not
// compressed at all if its first bytes do not become smaller.
func (b *Batch) shrink(c kafka.Compression) error {
	records := b.buf[Overhead:]
	if len(records) >= 4*sampleSize {
		if err := b.pack(c, records[:sampleSize]); err != nil {
			return err
		}
		if len(b.packed)-Overhead > sampleSize*63/64 {
			b.packed = b.packed[:0]
			return nil
		}
	}
	if err := b.pack(c, records); err != nil {
		return err
	}
	if len(b.packed) >= len(b.buf) {
		b.packed = b.packed[:0]
	}
	return nil
}

// pack makes packed of compressed records.
func (b *Batch) pack(c kafka.Compression, records []byte) error {
	if c == kafka.Snappy {
		// One raw block. kafka-go's codec needs two more copies for it, or frames blocks as the
		// first Java clients did; brokers take both.
		b.packed = slices.Grow(b.packed[:0], Overhead+s2.MaxEncodedLen(len(records)))
		b.packed = b.packed[:Overhead+len(s2.EncodeSnappy(b.packed[Overhead:cap(b.packed)], records))]
		return nil
	}
	codec := c.Codec()
	if codec == nil {
		return fmt.Errorf("batch: unknown compression %d", c)
	}
	b.packed = slices.Grow(b.packed[:0], Overhead+len(records)/2)[:Overhead]
	w := codec.NewWriter((*appender)(&b.packed))
	if _, err := w.Write(records); err != nil {
		w.Close()
		return fmt.Errorf("batch: compression %v: %w", c, err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("batch: compression %v: %w", c, err)
	}
	return nil
}

// An appender is a slice to write to.
type appender []byte

// Write appends p.
func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}
