package batch

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
)

// What does not compress is sent as it is.
func TestCompressingThatDoesNotPay(t *testing.T) {
	for _, c := range codecs {
		b := New()
		b.Append(&kafka.Message{Value: []byte{1}}, now, 1<<20)
		b.Seal(c)
		if len(b.Bytes()) != b.Size() || b.Bytes()[atAttributes+1] != 0 {
			t.Errorf("%v: a message of a byte takes %d bytes, %d uncompressed", c, len(b.Bytes()), b.Size())
		}
		b.Free()

		b = New()
		b.Append(&kafka.Message{Value: make([]byte, 1000)}, now, 1<<20)
		b.Seal(c)
		if c != 0 && len(b.Bytes()) > 200 {
			t.Errorf("%v: a thousand zeros take %d bytes", c, len(b.Bytes()))
		}
		b.Free()
	}
}

// A batch is compressed as soon as that saves a byte: here, fewer than the header has.
func TestCompressingThatPaysALittle(t *testing.T) {
	b, value := New(), make([]byte, 130)
	defer b.Free()
	_, _ = rand.NewChaCha8([32]byte{}).Read(value[:100])
	b.Append(&kafka.Message{Value: value}, now, 1<<20)
	b.Seal(kafka.Snappy)
	if saved := b.Size() - len(b.Bytes()); saved <= 0 || saved >= Overhead {
		t.Errorf("%d bytes are saved", saved)
	}
}

// A batch is large from 64 KiB on: then it is not compressed if its first 16 KiB do not become smaller.
func TestFromWhereOnABatchIsLarge(t *testing.T) {
	for _, size := range []int{4*sampleSize - 1, 4 * sampleSize} {
		b, value := New(), make([]byte, size)
		value = value[:2*size-(SizeOf(&kafka.Message{Value: value})-Overhead)]
		_, _ = rand.NewChaCha8([32]byte{}).Read(value[:sampleSize])
		b.Append(&kafka.Message{Value: value}, now, 1<<20)
		b.Seal(kafka.Snappy)
		if b.Size() != Overhead+size || (len(b.Bytes()) == b.Size()) != (size == 4*sampleSize) {
			t.Errorf("%d bytes of records: %d of %d bytes", size, len(b.Bytes()), b.Size())
		}
		b.Free()
	}
}

// A large batch is compressed as a whole, or not at all if its first bytes do not become smaller. It is
// read back either way.
func TestLargeBatches(t *testing.T) {
	r := rand.NewChaCha8([32]byte{})
	filled := func(random, zeros int) (b *Batch, msgs []kafka.Message) {
		b = New()
		for i := range random + zeros {
			m := kafka.Message{Value: make([]byte, 1000)}
			if i < random {
				_, _ = r.Read(m.Value)
			}
			if !b.Append(&m, now, 1<<20) {
				t.Fatal("the batch is full")
			}
			msgs = append(msgs, m)
		}
		return b, msgs
	}
	for _, c := range codecs[1:] {
		for _, x := range []struct {
			random, zeros int
			smaller       bool
		}{{0, 200, true}, {200, 0, false}, {20, 180, false}, {10, 190, true}, {20, 30, true}} {
			b, msgs := filled(x.random, x.zeros)
			check(t, b, msgs, c)
			if smaller := len(b.Bytes()) < b.Size(); smaller != x.smaller {
				t.Errorf("%v: %d messages of random bytes, then %d of zeros: %d of %d bytes", c, x.random, x.zeros, len(b.Bytes()), b.Size())
			}
			b.Free()
		}
	}
}

// Snappy is one raw block, without the framing of the first Java clients.
func TestSnappyIsARawBlock(t *testing.T) {
	b := New()
	defer b.Free()
	b.Append(&kafka.Message{Value: make([]byte, 100<<10)}, now, 1<<20)
	b.Seal(kafka.Snappy)
	if bytes.HasPrefix(b.Bytes()[Overhead:], []byte{130, 'S', 'N', 'A', 'P', 'P', 'Y', 0}) {
		t.Error("the block is framed")
	}
}

// A codec that was replaced in kafka-go's table may fail in any way, also only with a sample, and one
// may be missing. The messages are sent uncompressed then (D1).
func TestD1CodecThatFails(t *testing.T) {
	old := compress.Codecs[kafka.Zstd]
	defer func() { compress.Codecs[kafka.Zstd] = old }()
	for name, codec := range map[string]*failing{
		"is missing":              nil,
		"panics":                  {begin: func() { panic("boom") }},
		"exits":                   {begin: runtime.Goexit},
		"takes no bytes":          {write: io.ErrShortWrite},
		"does not end":            {end: io.ErrShortWrite},
		"first takes no bytes":    {write: io.ErrShortWrite, once: true},
		"does not end the sample": {end: io.ErrShortWrite, once: true},
	} {
		for _, size := range []int{1000, 100 << 10} {
			if codec != nil && codec.once && size < 4*sampleSize {
				continue
			}
			compress.Codecs[kafka.Zstd] = nil
			if codec != nil {
				one := *codec
				one.Codec = old
				compress.Codecs[kafka.Zstd] = &one
			}
			b, m := New(), kafka.Message{Value: make([]byte, size)}
			b.Append(&m, now, 1<<20)
			check(t, b, []kafka.Message{m}, kafka.Zstd)
			if len(b.Bytes()) != b.Size() {
				t.Errorf("a codec that %s: %d bytes, want %d", name, len(b.Bytes()), b.Size())
			}
			b.Free()
		}
	}
}

// A failing codec begins with a call of begin, and has errors for its writers, or for the first alone.
type failing struct {
	compress.Codec
	begin      func()
	write, end error
	once       bool
}

func (f *failing) NewWriter(to io.Writer) io.WriteCloser {
	if f.begin != nil {
		f.begin()
	}
	w := &failingWriter{f.Codec.NewWriter(to), f.write, f.end}
	if f.once {
		f.write, f.end = nil, nil
	}
	return w
}

type failingWriter struct {
	io.WriteCloser
	write, end error
}

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.write != nil {
		return 0, w.write
	}
	return w.WriteCloser.Write(b)
}

func (w *failingWriter) Close() error { return errors.Join(w.WriteCloser.Close(), w.end) }
