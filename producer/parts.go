package producer

import (
	"errors"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// A broker refuses a batch as a whole, though only some of its messages may be at
// fault: one is larger than the topic allows (which New cannot know), has no key where
// the topic is compacted, or a time out of range; or all of them together are too large.
// Such a batch is sent again in halves, and these in halves, until what is refused
// is single messages: the others are delivered, in their order. The Java client
// does the same with what is too large, and fails the batch otherwise.

// parts are the parts of a batch, in its order: first those that have their result.
// The Writer sends the whole batch "again" for each.
type parts []part

// A part is the messages from, to below to, of a batch. The result is err, or where
// they were appended.
type part struct {
	from, to int
	maybe    bool // the batch had been sent before it was refused, and may have been appended
	done     bool
	err      error
	offset   int64
	appended int64 // LogAppendTime
}

// partial tells whether a broker refused a batch for what may be true of only a
// part of it.
func partial(err error) bool {
	var e kafka.Error
	return errors.As(err, &e) && codes[e].parts
}

// turn is the part whose turn it is.
func (ps parts) turn() int {
	for i := range ps {
		if !ps[i].done {
			return i
		}
	}
	return len(ps)
}

// current is the records of the part whose turn it is, of the batch's.
func (ps parts) current(batch protocol.RecordReader) protocol.RecordReader {
	if ps == nil {
		return batch
	}
	p := ps[ps.turn()]
	return &section{batch, p.from, p.to - p.from}
}

// split makes halves of what was just sent and refused.
func (u *underway) split(sent int) {
	if u.parts == nil {
		u.parts = parts{{from: 0, to: sent}}
	}
	i := u.parts.turn()
	p := u.parts[i]
	middle := p.from + sent/2
	halves := append(parts{{from: p.from, to: middle, maybe: u.maybe}, {from: middle, to: p.to, maybe: u.maybe}}, u.parts[i+1:]...)
	u.parts = append(u.parts[:i:i], halves...)
	u.attempt, u.refused = 0, false
}

// next gives the part whose turn it is its result. If it was the last, that ends
// the batch.
func (u *underway) next(result part) error {
	i := u.parts.turn()
	result.from, result.to, result.done = u.parts[i].from, u.parts[i].to, true
	u.parts[i] = result
	if i+1 < len(u.parts) {
		u.attempt, u.maybe, u.refused = 0, u.parts[i+1].maybe, false
		return again{errNextPart}
	}
	v := &verdict{failure: failure{ErrRejected, errInParts}, parts: u.parts}
	u.done()
	return v
}

var (
	errNextPart = errors.New("the next part of a batch that was refused as a whole")
	errInParts  = errors.New("the batch was sent in parts")
)

// place notes where the messages were appended, as kafka-go does for a batch that
// is sent whole.
func (p *part) place(msgs []kafka.Message) {
	for i := range msgs {
		m := &msgs[i]
		m.Offset = p.offset + int64(i)
		if m.Time.IsZero() && p.appended > 0 {
			m.Time = time.UnixMilli(p.appended)
		}
	}
}

// A section is n records of a reader, after the first skip of it.
type section struct {
	protocol.RecordReader
	skip, n int
}

// ReadRecord implements protocol.RecordReader.
func (s *section) ReadRecord() (*protocol.Record, error) {
	for ; s.skip > 0; s.skip-- {
		if _, err := s.RecordReader.ReadRecord(); err != nil {
			return nil, err
		}
	}
	if s.n == 0 {
		return nil, io.EOF
	}
	s.n--
	return s.RecordReader.ReadRecord()
}
