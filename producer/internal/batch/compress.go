package batch

import (
	"fmt"
	"runtime/debug"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/compress/snappy"
)

// rawSnappy writes one raw block. kafka-go's own setting frames blocks as the first Java
// clients did: that costs 1.4 times the CPU, and brokers take both.
var rawSnappy = &snappy.Codec{Framing: snappy.Unframed, Compression: snappy.FasterCompression}

func codec(c kafka.Compression) compress.Codec {
	if c == kafka.Snappy {
		return rawSnappy
	}
	return c.Codec()
}

// compress fills packed, or leaves it empty if compressing does not pay.
func (b *Batch) compress(c kafka.Compression) (err error) {
	codec := codec(c)
	if codec == nil {
		return fmt.Errorf("batch: unknown compression %d", c)
	}
	defer func() { // a codec that was replaced in kafka-go's table
		if v := recover(); v != nil {
			err = fmt.Errorf("batch: compression %v panicked: %v\n%s", c, v, debug.Stack())
		}
		if err != nil {
			b.packed = b.packed[:0]
		}
	}()
	if cap(b.packed) < Overhead {
		b.packed = make([]byte, 0, Overhead+len(b.buf)/2)
	}
	b.packed = b.packed[:Overhead]
	w := codec.NewWriter((*appender)(&b.packed))
	if _, err := w.Write(b.buf[Overhead:]); err != nil {
		w.Close()
		return fmt.Errorf("batch: compression %v: %w", c, err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("batch: compression %v: %w", c, err)
	}
	if len(b.packed) >= len(b.buf) {
		b.packed = b.packed[:0]
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
