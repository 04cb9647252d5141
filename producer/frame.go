package producer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"

	"github.com/segmentio/kafka-go/protocol"

	"github.com/seed3893aba4/surestart/producer/internal/shape"
)

// framed is a connection that kafka-go reads: it hands over only answers whose size and
// correlation id are right and whose arrays are as long as they claim, each as a whole.
// kafka-go believes what it reads, and an HTTP answer reads as an array without end.
//
// kafka-go asks one request at a time, and a connection has one goroutine at a time. An
// error is final for the connection.
type framed struct {
	net.Conn // with TLS, the encrypted one: its plaintext is what is checked
	peer     peer
	in       *bufio.Reader
	failed   func(error) // called with what goes wrong; may be nil

	// What is written: the head of the message under way, and how much of it is to come.
	head [headSize]byte
	have int
	left int64

	asked *question // the last message written; nil: nothing, or it has its answer
	last  question
	sasl  bool // the handshake was version 0: tokens without a head may follow

	buf  []byte // of an answer; kept if it is small
	rest []byte // of the answer in buf: what is to be handed over
	err  error
}

// A question is a request that waits for its answer.
type question struct {
	shape.Version
	id    int32
	token bool // a SASL token without a head, and so its answer
}

const (
	// headSize is of what each request begins with: its size, key, version and correlation id.
	headSize = 4 + 2 + 2 + 4
	// maxAnswer is the largest answer that is read: the metadata of 100,000 partitions take
	// some 5 MB.
	maxAnswer = 64 << 20
	// keepAnswer is how much memory a connection keeps for the next answer.
	keepAnswer = 16 << 10
)

var errNotAsked = errors.New("kafka-go reads where nothing was asked")

func newFramed(c net.Conn, p peer) *framed {
	return &framed{Conn: c, peer: p, in: bufio.NewReaderSize(c, 1<<10)}
}

// Write writes, and notes what is asked.
func (f *framed) Write(b []byte) (int, error) {
	n, err := f.Conn.Write(b)
	f.note(b[:n])
	if err != nil && f.failed != nil {
		f.failed(err)
	}
	return n, err
}

func (f *framed) note(b []byte) {
	for len(b) > 0 {
		if f.left > 0 {
			n := min(f.left, int64(len(b)))
			f.left -= n
			b = b[n:]
			continue
		}
		n := copy(f.head[f.have:f.headLen()], b)
		f.have += n
		b = b[n:]
		if f.have >= 4 && f.have == f.headLen() {
			f.ask()
		}
	}
}

// headLen is how much of the message under way is its head: a token may be shorter.
func (f *framed) headLen() int {
	if f.have < 4 {
		return 4
	}
	return int(min(headSize, 4+int64(binary.BigEndian.Uint32(f.head[:]))))
}

// ask notes the message whose head was written.
func (f *framed) ask() {
	f.left = 4 + int64(binary.BigEndian.Uint32(f.head[:])) - int64(f.have)
	q := question{
		Version: shape.Version{Key: protocol.ApiKey(binary.BigEndian.Uint16(f.head[4:])), Number: int16(binary.BigEndian.Uint16(f.head[6:]))},
		id:      int32(binary.BigEndian.Uint32(f.head[8:])),
	}
	switch _, known := shapes()[q.Version]; {
	case known && f.have == headSize:
		if q.Key == protocol.SaslHandshake {
			f.sasl = q.Number == 0
		}
	case f.sasl:
		q = question{token: true}
	default:
		f.err = fmt.Errorf("a request of kafka-go's that has no shape here: %x", f.head[:f.have])
	}
	f.have = 0
	f.last = q
	f.asked = &f.last
}

// Read hands over the answer to what was asked last.
func (f *framed) Read(b []byte) (int, error) {
	if len(f.rest) == 0 {
		if f.err == nil {
			f.err = f.receive()
		}
		if f.err != nil {
			if f.failed != nil {
				f.failed(f.err)
			}
			return 0, f.err
		}
	}
	n := copy(b, f.rest)
	if f.rest = f.rest[n:]; len(f.rest) == 0 && cap(f.buf) > keepAnswer {
		f.buf = nil
	}
	return n, nil
}

// receive reads an answer as a whole, and checks it.
func (f *framed) receive() error {
	q := f.asked
	if q == nil {
		return errNotAsked
	}
	head, err := f.in.Peek(4)
	if err != nil {
		if f.last.id == 1 && len(head) == 0 {
			return f.peer.noAnswer(err)
		}
		return cutShort(err, head)
	}
	size := int64(int32(binary.BigEndian.Uint32(head)))
	least := int64(4)
	if q.token {
		least = 0
	}
	if size < least || size > maxAnswer {
		begins, _ := f.in.Peek(min(f.in.Buffered(), 16))
		return f.peer.notKafka(begins, fmt.Errorf("its answer begins with %q", begins))
	}
	if !q.token {
		if head, err = f.in.Peek(8); err != nil {
			return cutShort(err, head)
		}
		if id := int32(binary.BigEndian.Uint32(head[4:])); id != q.id {
			return f.peer.notKafka(head, fmt.Errorf("it answers request %d, and %d was asked", id, q.id))
		}
	}
	if err := f.fill(4 + int(size)); err != nil {
		return err
	}
	if !q.token {
		if _, ok := shapes()[q.Version](f.buf[8:]); !ok {
			return f.peer.notKafka(nil, fmt.Errorf("its answer to a %v request, version %d, claims to have more than its %d bytes", q.Key, q.Number, size))
		}
	}
	f.rest, f.asked = f.buf, nil
	return nil
}

// fill reads size bytes into buf, whose memory grows with what comes, not with what was
// announced.
func (f *framed) fill(size int) error {
	f.buf = f.buf[:0]
	for len(f.buf) < size {
		have := len(f.buf)
		f.buf = slices.Grow(f.buf, min(size-have, max(have, 512)))
		n, err := io.ReadFull(f.in, f.buf[have:min(size, cap(f.buf))])
		f.buf = f.buf[:have+n]
		if err != nil {
			return cutShort(err, f.buf)
		}
	}
	return nil
}

// cutShort is the error of an answer of which only that much came.
func cutShort(err error, came []byte) error {
	if len(came) > 0 && isEOF(err) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// hungUp reports whether the peer ended the connection.
func hungUp(err error) bool { return isEOF(err) || errors.Is(err, syscall.ECONNRESET) }
