package batch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

var codecs = []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd}

const now = int64(1_700_000_000_123)

// franz-go reads from a batch what was appended and kept, whatever was taken out and split off,
// with consecutive offsets and every compression.
func TestReadBackByFranzGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, want := New(), []kafka.Message(nil)
		defer func() { b.Free() }()
		for _, m := range rapid.SliceOfN(message, 1, 30).Draw(t, "messages") {
			if b.Append(&m, now, rapid.IntRange(0, 2000).Draw(t, "limit")) {
				want = append(want, m)
			}
		}
		if rapid.Bool().Draw(t, "sealed before it is changed") {
			b.Seal(rapid.SampledFrom(codecs).Draw(t, "first codec"))
		}
		if rapid.Bool().Draw(t, "keep") {
			keep := rapid.SliceOfN(rapid.Bool(), len(want), len(want)).Draw(t, "kept")
			b.Keep(func(i int) bool { return keep[i] })
			var kept []kafka.Message
			for i, m := range want {
				if keep[i] {
					kept = append(kept, m)
				}
			}
			want = kept
		}
		if len(want) > 1 && rapid.Bool().Draw(t, "split") {
			n := rapid.IntRange(1, len(want)-1).Draw(t, "at")
			rest := b.Split(n)
			check(t, rest, want[n:], rapid.SampledFrom(codecs).Draw(t, "codec of the rest"))
			rest.Free()
			want = want[:n]
		}
		if len(want) > 0 {
			check(t, b, want, rapid.SampledFrom(codecs).Draw(t, "codec"))
		}
	})
}

var (
	field   = rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 300), rapid.Just(make([]byte, 500)))
	message = rapid.Custom(func(t *rapid.T) kafka.Message {
		m := kafka.Message{Key: field.Draw(t, "key"), Value: field.Draw(t, "value")}
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			m.Headers = append(m.Headers, kafka.Header{Key: rapid.String().Draw(t, "name"), Value: field.Draw(t, "header")})
		}
		switch rapid.IntRange(0, 3).Draw(t, "time") {
		case 0: // of the call
		case 1:
			m.Time = time.UnixMilli(now + rapid.Int64Range(-1000, 1000).Draw(t, "ago"))
		default: // far outside what fits into nanoseconds
			m.Time = time.UnixMilli(rapid.Int64Range(math.MinInt64/4, math.MaxInt64/4).Draw(t, "at"))
		}
		return m
	})
)

// A failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// check seals the batch, and compares its content as this package and franz-go read it.
func check(t failer, b *Batch, want []kafka.Message, c kafka.Compression) {
	t.Helper()
	b.Seal(c)
	b.Stamp(77, 5, 1000)
	if b.Len() != len(want) {
		t.Fatalf("Len is %d, want %d", b.Len(), len(want))
	}
	for i, r := range b.Records() {
		if err := differs(&want[i], r.Key, r.Value, r.AppendHeaders(nil), r.Time); err != "" {
			t.Fatalf("record %d: %s", i, err)
		}
	}
	if !b.Sealed() {
		t.Fatalf("the batch is not sealed")
	}
	var head kmsg.RecordBatch
	if err := head.ReadFrom(b.Bytes()); err != nil {
		t.Fatalf("kmsg: %v", err)
	}
	if head.FirstOffset != 0 || head.PartitionLeaderEpoch != -1 || head.ProducerID != 77 || head.ProducerEpoch != 5 || head.FirstSequence != 1000 || int(head.NumRecords) != len(want) ||
		int(head.LastOffsetDelta) != len(want)-1 || int(head.Length) != len(b.Bytes())-12 || head.FirstTimestamp != millis(&want[0]) {
		t.Fatalf("the header is %+v", head)
	}
	latest := int64(math.MinInt64)
	for i := range want {
		latest = max(latest, millis(&want[i]))
	}
	if head.MaxTimestamp != latest {
		t.Fatalf("the latest time is %d, want %d", head.MaxTimestamp, latest)
	}
	if head.Attributes == 0 { // not compressed: what franz-go does not return is checked as it is written
		raw := head.Records
		for i := range want {
			length, n := binary.Varint(raw)
			var r kmsg.Record
			if err := r.ReadFrom(raw[:n+int(length)]); err != nil {
				t.Fatalf("kmsg: record %d: %v", i, err)
			}
			if at := head.FirstTimestamp + r.TimestampDelta64; at != millis(&want[i]) || r.Attributes != 0 {
				t.Fatalf("record %d: the time is %d, want %d; the attributes are %d", i, at, millis(&want[i]), r.Attributes)
			}
			raw = raw[n+int(length):]
		}
	}
	got, err := readBack(b.Bytes())
	if err != nil || len(got) != len(want) {
		t.Fatalf("franz-go read %d of %d records: %v", len(got), len(want), err)
	}
	for i, r := range got {
		var headers []kafka.Header
		for _, h := range r.Headers {
			headers = append(headers, kafka.Header{Key: h.Key, Value: h.Value})
		}
		at := r.Timestamp
		if m := &want[i]; !m.Time.IsZero() && (m.Time.Year() < 1680 || m.Time.Year() > 2260) {
			at = m.Time // franz-go counts nanoseconds
		}
		if err := differs(&want[i], r.Key, r.Value, headers, at); err != "" || r.Offset != int64(i) || r.ProducerID != 77 || r.ProducerEpoch != 5 {
			t.Fatalf("record %d: %s (offset %d, producer %d, epoch %d)", i, err, r.Offset, r.ProducerID, r.ProducerEpoch)
		}
	}
}

func readBack(b []byte) ([]*kgo.Record, error) {
	p, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{}, &kmsg.FetchResponseTopicPartition{RecordBatches: b}, kgo.DefaultDecompressor(), nil)
	return p.Records, p.Err
}

func millis(m *kafka.Message) int64 {
	if m.Time.IsZero() {
		return now
	}
	return m.Time.UnixMilli()
}

func differs(m *kafka.Message, key, value []byte, headers []kafka.Header, at time.Time) string {
	same := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
	switch {
	case !same(m.Key, key):
		return fmt.Sprintf("the key is %q, want %q", key, m.Key)
	case !same(m.Value, value):
		return fmt.Sprintf("the value is %q, want %q", value, m.Value)
	case at.UnixMilli() != millis(m):
		return fmt.Sprintf("the time is %d, want %d", at.UnixMilli(), millis(m))
	case !slices.EqualFunc(m.Headers, headers, func(a, b kafka.Header) bool { return a.Key == b.Key && same(a.Value, b.Value) }):
		return fmt.Sprintf("the headers are %v, want %v", headers, m.Headers)
	}
	return ""
}

// kafka-go's own decoder agrees.
func TestReadBackByKafkaGo(t *testing.T) {
	for _, c := range codecs {
		b := New()
		for i := range 100 {
			b.Append(&kafka.Message{Key: []byte("k"), Value: fmt.Appendf(nil, "value number %d", i)}, now, 1<<20)
		}
		b.Seal(c)
		b.Stamp(-1, -1, -1)
		var set protocol.RecordSet
		if _, err := set.ReadFrom(bytes.NewReader(append(binary.BigEndian.AppendUint32(nil, uint32(len(b.Bytes()))), b.Bytes()...))); err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		for i := range 100 {
			r, err := set.Records.ReadRecord()
			if err != nil {
				t.Fatalf("%v: record %d: %v", c, i, err)
			}
			value, _ := protocol.ReadAll(r.Value)
			if string(value) != fmt.Sprintf("value number %d", i) || r.Offset != int64(i) || r.Time.UnixMilli() != now {
				t.Errorf("%v: record %d is %+v, %q", c, i, r, value)
			}
		}
		b.Free()
	}
}

// What is stamped twice alike is the same bytes: a retry is recognised as such.
func TestD3RetrySendsTheSameBytes(t *testing.T) {
	b := New()
	b.Append(&kafka.Message{Value: []byte("v")}, now, 1<<20)
	b.Seal(kafka.Zstd)
	b.Stamp(1, 2, 3)
	first := bytes.Clone(b.Bytes())
	b.Stamp(9, 9, 9)
	if bytes.Equal(first, b.Bytes()) {
		t.Error("another producer id leaves the bytes alone")
	}
	b.Stamp(1, 2, 3)
	if !bytes.Equal(first, b.Bytes()) {
		t.Error("the same stamp makes other bytes")
	}
}

func TestLimit(t *testing.T) {
	b := New()
	defer b.Free()
	m := &kafka.Message{Key: make([]byte, 10), Value: make([]byte, 100), Headers: []kafka.Header{{Key: "h", Value: []byte("v")}}}
	if !b.Append(m, now, 1) {
		t.Error("an empty batch does not take a message that is too large")
	}
	if b.Size() != SizeOf(m) {
		t.Errorf("Size is %d, SizeOf said %d", b.Size(), SizeOf(m))
	}
	limit := b.Size() + (SizeOf(m) - Overhead)
	if b.Append(m, now, limit-1) {
		t.Error("the batch exceeds its limit by a byte")
	}
	if !b.Append(m, now, limit) || b.Size() != limit || b.Len() != 2 {
		t.Errorf("what just fits is not taken: %d messages, %d of %d bytes", b.Len(), b.Size(), limit)
	}
}

// A batch of so many messages that their numbers take two bytes is read back, whatever is taken out
// and split off. Each message has a time of its own.
func TestD4ManyMessages(t *testing.T) {
	for _, c := range codecs {
		b, want := New(), []kafka.Message(nil)
		for i := range 300 {
			m := kafka.Message{Value: fmt.Append(nil, i), Time: time.UnixMilli(now + int64(i*37%300))}
			if !b.Append(&m, now, 1<<20) {
				t.Fatal("the batch is full")
			}
			if i%3 > 0 {
				want = append(want, m)
			}
		}
		b.Keep(func(i int) bool { return i%3 > 0 })
		check(t, b, want, c)
		rest := b.Split(90)
		check(t, b, want[:90], c)
		check(t, rest, want[90:], c)
		b.Free()
		rest.Free()
	}
}

// Lengths that take several bytes are counted as they are written.
func TestLongFields(t *testing.T) {
	long := bytes.Repeat([]byte("long"), 5000)
	m := kafka.Message{Key: long, Value: long}
	for range 100 {
		m.Headers = append(m.Headers, kafka.Header{Key: string(long[:100]), Value: long[:100]})
	}
	b := New()
	defer b.Free()
	b.Append(&m, now, 1<<20)
	if b.Size() != SizeOf(&m) {
		t.Errorf("Size is %d, SizeOf said %d", b.Size(), SizeOf(&m))
	}
	check(t, b, []kafka.Message{m}, 0)
}

// A loop over the records may end early.
func TestRecordsEndEarly(t *testing.T) {
	b := New()
	defer b.Free()
	b.Append(&kafka.Message{}, now, 1<<20)
	b.Append(&kafka.Message{}, now, 1<<20)
	n := 0
	for range b.Records() {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d records", n)
	}
}

// The pool keeps no large buffer: neither of the records, nor of their compressed copy.
func TestD8LargeBuffersAreNotKept(t *testing.T) {
	for _, x := range []struct {
		buf, packed int
		kept        bool
	}{{keepCapacity, keepCapacity, true}, {keepCapacity + 1, 0, false}, {Overhead, keepCapacity + 1, false}} {
		kept := false
		for range 20 { // with the race detector a pool drops what it is given, at random
			b := &Batch{buf: make([]byte, Overhead, x.buf), packed: make([]byte, 0, x.packed)}
			if b.Memory() != x.buf+x.packed {
				t.Fatalf("Memory is %d, want %d", b.Memory(), x.buf+x.packed)
			}
			b.Free()
			if kept = New() == b; kept {
				break
			}
		}
		if kept != x.kept {
			t.Errorf("a batch with buffers of %d and %d bytes: kept is %t", x.buf, x.packed, kept)
		}
	}
}

// Times so far away that differences overflow cannot be stored, nor the millisecond that stands for
// none.
func TestStorable(t *testing.T) {
	const most = 1 << 61 / 1000
	for at, want := range map[time.Time]bool{
		{}:                       true,
		time.UnixMilli(-2):       true,
		time.UnixMilli(-1):       false,
		time.UnixMilli(0):        true,
		time.Unix(most-1, 0):     true,
		time.Unix(most, 0):       false,
		time.Unix(-most+1, 0):    true,
		time.Unix(-most, 0):      false,
		time.Unix(1<<62, 0):      false,
		time.Unix(-(1 << 62), 0): false,
	} {
		if got := Storable(at); got != want {
			t.Errorf("Storable(%d s, %d ms) is %t", at.Unix(), at.UnixMilli(), got)
		}
	}
}

func TestOrderOfCalls(t *testing.T) {
	for name, call := range map[string]func(b *Batch){
		"Stamp before Seal": func(b *Batch) { b.Stamp(1, 1, 1) },
		"Append after Seal": func(b *Batch) { b.Seal(0); b.Append(&kafka.Message{}, now, 1<<20) },
	} {
		b := New()
		b.Append(&kafka.Message{Value: []byte("v")}, now, 1<<20)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not panic", name)
				}
			}()
			call(b)
		}()
	}
}

// Encoding and sealing take no memory once the pool has it.
func TestAllocations(t *testing.T) {
	m := &kafka.Message{Key: []byte("key"), Value: make([]byte, 100), Headers: []kafka.Header{{Key: "h", Value: []byte("v")}}}
	for _, c := range []kafka.Compression{0, kafka.Snappy} {
		n := math.Inf(1)
		for range 100 { // with the race detector a pool drops what it is given, at random
			n = min(n, testing.AllocsPerRun(1, func() {
				b := New()
				for range 50 {
					b.Append(m, now, 1<<20)
				}
				b.Seal(c)
				b.Stamp(1, 1, 1)
				b.Free()
			}))
		}
		if n > 0 {
			t.Errorf("%v: %v allocations a batch", c, n)
		}
	}
}

func FuzzReadBack(f *testing.F) {
	f.Add([]byte("key"), []byte("value"), "name", []byte("header"), int64(0), uint8(0))
	f.Add([]byte(nil), bytes.Repeat([]byte("ab"), 500), "", []byte{}, int64(math.MaxInt64), uint8(2))
	f.Fuzz(func(t *testing.T, key, value []byte, name string, header []byte, at int64, c uint8) {
		m := kafka.Message{Key: key, Value: value, Headers: []kafka.Header{{Key: name, Value: header}}}
		if at != 0 {
			m.Time = time.UnixMilli(at % (math.MaxInt64 / 4))
		}
		second := kafka.Message{Value: key, Key: value}
		b := New()
		defer b.Free()
		b.Append(&m, now, 1<<20)
		b.Append(&second, now, 1<<30)
		check(t, b, []kafka.Message{m, second}, codecs[int(c)%len(codecs)])
	})
}

func BenchmarkAppend(b *testing.B) {
	m := &kafka.Message{Value: make([]byte, 100)}
	b.SetBytes(100)
	b.ReportAllocs()
	x := New()
	for b.Loop() {
		if !x.Append(m, now, 1<<20) {
			x.Free()
			x = New()
		}
	}
}
