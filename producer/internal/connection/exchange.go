package connection

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/protocol"

	"github.com/seed3893aba4/surestart/producer/internal/shape"
)

const (
	// maxAnswer limits an answer. The metadata of 100,000 partitions take about 5 MB.
	maxAnswer = 64 << 20
	// keepAnswer is how much memory a connection keeps for the next answer.
	keepAnswer = 64 << 10
	// flatRequest limits the requests that are copied into one buffer before writing.
	flatRequest = 64 << 10

	headSize = 8 // of an answer: its size and correlation id
	atID     = 8 // of a request: its correlation id
)

// A wire is the dialled connection. It records what TLS above it hides: a write that failed
// although all its bytes were written.
type wire struct {
	net.Conn
	whole atomic.Bool
}

func (w *wire) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	if err != nil && n >= len(b) {
		w.whole.Store(true)
	}
	return n, err
}

// Close first closes the connection below a TLS connection that Dial returned. TLS would wait
// seconds for its closing message.
func (w *wire) Close() error {
	err := errExited
	apart(func() {
		defer recovered("Close of Dial's connection", &err)
		if secure, ok := w.Conn.(interface{ NetConn() net.Conn }); ok {
			if below := secure.NetConn(); below != nil {
				below.Close()
			}
		}
		err = w.Conn.Close()
	})
	return err
}

// AppendHeader appends the header of a request. Exchange and Send complete it.
func (c *Conn) AppendHeader(b []byte, key protocol.ApiKey, version int16) []byte {
	be := binary.BigEndian
	b = be.AppendUint32(b, 0)
	b = be.AppendUint16(b, uint16(key))
	b = be.AppendUint16(b, uint16(version))
	b = be.AppendUint32(b, 0)
	b = be.AppendUint16(b, uint16(len(c.clientID)))
	return append(b, c.clientID...)
}

// Exchange writes a request and returns the body of the answer, which is valid until the next use
// of the connection. The request begins with the bytes of AppendHeader. Exchange consumes frame,
// and changes no other bytes. timeout bounds everything; if it is not positive, only Close does.
//
// Any error ends the connection. written reports whether the request was written whole, or may
// have been. If false, no broker will process it.
func (c *Conn) Exchange(frame net.Buffers, timeout time.Duration) (body []byte, written bool, err error) {
	c.startLimit(timeout)
	defer c.limit.Stop()
	if written, err = c.send(frame, true); err != nil {
		return nil, written, err
	}
	select {
	case <-c.answered:
	case <-c.ended:
		select {
		case <-c.answered: // both: the answer came first
		default:
			return nil, true, c.Err()
		}
	}
	return c.answer[headSize:], true, nil
}

// Send is Exchange for a request without an answer.
func (c *Conn) Send(frame net.Buffers, timeout time.Duration) (written bool, err error) {
	c.startLimit(timeout)
	defer c.limit.Stop()
	return c.send(frame, false)
}

func (c *Conn) startLimit(timeout time.Duration) {
	if timeout > 0 {
		c.limit.Reset(timeout)
	}
}

func (c *Conn) send(frame net.Buffers, answer bool) (written bool, err error) {
	if c.id++; c.id <= 0 {
		c.id = 1
	}
	total := 0
	for _, b := range frame {
		total += len(b)
	}
	binary.BigEndian.PutUint32(frame[0], uint32(total-4))
	binary.BigEndian.PutUint32(frame[0][atID:], uint32(c.id))
	c.mu.Lock()
	err = c.err
	if err == nil && answer {
		c.asked, c.size = c.id, total
	}
	c.mu.Unlock()
	if err != nil {
		return false, err
	}
	if written, err = c.write(frame, total); err != nil {
		c.end(unexpected(err))
		return written, c.Err()
	}
	return true, nil
}

func (c *Conn) write(frame net.Buffers, total int) (written bool, err error) {
	if _, tcp := c.raw.Conn.(*net.TCPConn); tcp && c.nc == net.Conn(c.raw) { // no user's function is called
		return c.writeAll(frame, total)
	}
	return c.writeApart(frame, total)
}

func (c *Conn) writeApart(frame net.Buffers, total int) (written bool, err error) {
	written, err = true, errExited // if Write panics or exits, it is unknown how much it wrote
	apart(func() {
		defer recovered("Write of Dial's connection", &err)
		written, err = c.writeAll(frame, total)
	})
	return written, err
}

func (c *Conn) writeAll(frame net.Buffers, total int) (written bool, err error) {
	n := int64(0)
	if total <= flatRequest {
		c.scratch = c.scratch[:0]
		for _, b := range frame {
			c.scratch = append(c.scratch, b...)
		}
		var m int
		m, err = c.nc.Write(c.scratch)
		n = int64(m)
	} else if c.nc == net.Conn(c.raw) {
		n, err = frame.WriteTo(c.raw.Conn) // writev, if it can
	} else {
		n, err = frame.WriteTo(c.nc)
	}
	return n >= int64(total) || c.raw.whole.Load(), err
}

// RoundTrip sends one of kafka-go's messages and returns the answer; see Exchange. It panics for a
// message that spoken lacks.
func (c *Conn) RoundTrip(msg protocol.Message, timeout time.Duration) (protocol.Message, error) {
	key := msg.ApiKey()
	version, err := c.Version(key)
	if err != nil {
		return nil, err
	}
	check := shapes()[shape.Version{Key: key, Number: version}]
	var b bytes.Buffer
	if err := protocol.WriteRequest(&b, version, 0, c.clientID, msg); err != nil {
		return nil, fmt.Errorf("encode a request: %w", err)
	}
	body, _, err := c.Exchange(net.Buffers{b.Bytes()}, timeout)
	if err != nil {
		return nil, err
	}
	if _, ok := check(body); !ok {
		err := c.peer.notKafka(nil, fmt.Errorf("its answer to a %v request, version %d, claims to have more than its %d bytes", key, version, len(body)))
		c.end(err)
		return nil, err
	}
	_, res, err := protocol.ReadResponse(bytes.NewReader(c.answer), key, version)
	if err != nil {
		c.end(err)
		return nil, err
	}
	return res, nil
}

// read receives answers until the connection ends.
func (c *Conn) read() {
	defer close(c.done)
	err := errExited
	defer func() { c.end(err) }()
	defer recovered("Read of Dial's connection", &err)
	for n := 0; ; n++ {
		if failed := c.receive(n); failed != nil {
			err = failed
			return
		}
	}
}

// receive reads one complete answer, the one after n others, and passes it on.
func (c *Conn) receive(n int) error {
	head, err := c.in.Peek(4)
	if err != nil {
		c.mu.Lock()
		asked, size := c.asked != 0, c.size
		c.mu.Unlock()
		switch {
		case len(head) > 0:
		case n == 0:
			return c.peer.noAnswer(err)
		case n == 1 && asked:
			return c.peer.noSecond(err, size)
		}
		return unexpected(err)
	}
	size := int64(int32(binary.BigEndian.Uint32(head)))
	if size < 4 || size > maxAnswer {
		begins, _ := c.in.Peek(min(c.in.Buffered(), 16))
		return c.peer.notKafka(begins, fmt.Errorf("its answer begins with %q", begins))
	}
	if head, err = c.in.Peek(headSize); err != nil {
		return unexpected(err)
	}
	id := int32(binary.BigEndian.Uint32(head[4:]))
	c.mu.Lock()
	asked := c.asked
	c.mu.Unlock()
	switch asked {
	case id:
	case 0:
		return c.peer.notKafka(head, errors.New("it sent an answer without a request"))
	default:
		return c.peer.notKafka(head, fmt.Errorf("it answers request %d instead of %d", id, asked))
	}
	if err := c.fill(4 + int(size)); err != nil {
		return unexpected(err)
	}
	c.mu.Lock()
	c.asked = 0
	c.mu.Unlock()
	c.answered <- struct{}{}
	return nil
}

// fill reads size bytes into answer. Its memory grows with the bytes received, not with the
// announced size.
func (c *Conn) fill(size int) error {
	if cap(c.answer) > keepAnswer {
		c.answer = nil
	}
	c.answer = c.answer[:0]
	for len(c.answer) < size {
		have := len(c.answer)
		c.answer = slices.Grow(c.answer, min(size-have, max(have, 512)))
		n, err := io.ReadFull(c.in, c.answer[have:min(size, cap(c.answer))])
		c.answer = c.answer[:have+n]
		if err != nil {
			return err
		}
	}
	return nil
}
