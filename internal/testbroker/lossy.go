package testbroker

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A Lossy is the network of a client that uses its Dial: it randomly cuts requests, loses
// answers, and holds requests back. All faults are off at first.
type Lossy struct {
	// Cuts, Losses and Holds are rates per thousand: of requests that are cut, anywhere; of
	// answers that are lost; of produce requests that are held back, which must be requests
	// with an answer.
	Cuts, Losses, Holds atomic.Uint64
	// Cut, Lost and Held count these; Connections counts connections.
	Cut, Lost, Held, Connections atomic.Int64
	// Draw returns a number below n. It is called concurrently, and must not be set after a
	// dial. The default is that of math/rand/v2.
	Draw func(n int) int

	dial func(ctx context.Context, network, address string) (net.Conn, error)
	late func(ctx context.Context, network, address string) (net.Conn, error)

	mu   sync.Mutex
	held []heldRequest
}

type heldRequest struct {
	network, address string
	frame            []byte
}

// NewLossy returns a lossy network to the brokers that dials by dial; nil means net.Dialer.
// Requests that were held back go to b by b.Dial.
func NewLossy(b *Broker, dial func(ctx context.Context, network, address string) (net.Conn, error)) *Lossy {
	n := &Lossy{dial: dial, late: b.Dial, Draw: rand.IntN}
	if n.late == nil {
		n.late = new(net.Dialer).DialContext
	}
	if n.dial == nil {
		n.dial = n.late
	}
	return n
}

// Calm switches all faults off. Requests that are held back stay so.
func (n *Lossy) Calm() {
	n.Cuts.Store(0)
	n.Losses.Store(0)
	n.Holds.Store(0)
}

// Dial connects to the broker at address.
func (n *Lossy) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := n.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	n.Connections.Add(1)
	return &lossyConn{Conn: c, n: n, request: heldRequest{network: network, address: address}}, nil
}

// LetThrough sends requests that were held back to the brokers, each with this percentage of
// chance. It returns how many were answered, and how many found no broker.
func (n *Lossy) LetThrough(chance int) (answered, gone int) {
	n.mu.Lock()
	var now, later []heldRequest
	for _, r := range n.held {
		if n.Draw(100) < chance {
			now = append(now, r)
		} else {
			later = append(later, r)
		}
	}
	n.held = later
	n.mu.Unlock()
	for _, r := range now {
		if r.send(n.late) == nil {
			answered++
		} else {
			gone++
		}
	}
	return answered, gone
}

// send sends a request on a connection of its own. The broker sees a request that took long.
func (r heldRequest) send(dial func(ctx context.Context, network, address string) (net.Conn, error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := dial(ctx, r.network, r.address)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if _, err := c.Write(r.frame); err != nil {
		return err
	}
	size := make([]byte, 4)
	if _, err := io.ReadFull(c, size); err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(size)))
	return err
}

// A lossyConn requires that a client writes the size and the kind of a request at once, and has
// one request in flight.
type lossyConn struct {
	net.Conn
	n       *Lossy
	reads   int
	request heldRequest
	holds   bool
}

var errLossy = errors.New("testbroker: cut by the test")

func (c *lossyConn) Write(b []byte) (int, error) {
	if c.holds || isProduce(b) && c.n.happens(&c.n.Holds) {
		return c.hold(b)
	}
	if !c.n.happens(&c.n.Cuts) {
		return c.Conn.Write(b)
	}
	c.n.Cut.Add(1)
	n, _ := c.Conn.Write(b[:c.n.Draw(len(b))])
	c.Conn.Close()
	return n, errLossy
}

// hold keeps a part of a request. After the last part the connection ends: for the client the answer is lost.
func (c *lossyConn) hold(b []byte) (int, error) {
	c.holds = true
	c.request.frame = append(c.request.frame, b...)
	if whole := 4 + int(binary.BigEndian.Uint32(c.request.frame)); len(c.request.frame) >= whole {
		c.n.Held.Add(1)
		c.n.mu.Lock()
		c.n.held = append(c.n.held, c.request)
		c.n.mu.Unlock()
		c.Conn.Close()
	}
	return len(b), nil
}

func (c *lossyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.reads++; err == nil && c.reads > 1 && c.n.happens(&c.n.Losses) { // not during the opening of the connection
		c.n.Lost.Add(1)
		c.Conn.Close()
		return 0, errLossy
	}
	return n, err
}

func (n *Lossy) happens(inAThousand *atomic.Uint64) bool {
	return uint64(n.Draw(1000)) < inAThousand.Load()
}

func isProduce(b []byte) bool {
	return len(b) >= 6 && int16(binary.BigEndian.Uint16(b[4:])) == kmsg.Produce.Int16()
}
