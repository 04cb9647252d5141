package trace

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
)

// A network cuts requests and loses answers, at random.
type network struct {
	dial         func(ctx context.Context, network, address string) (net.Conn, error)
	cuts, losses atomic.Uint64 // in a thousand writes, and reads
	wasCut, lost atomic.Int64

	mu   sync.Mutex
	rand *rand.Rand
}

// chance is true n times in a thousand.
func (n *network) chance(of uint64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rand.Uint64N(1000) < of
}

func (n *network) upTo(most int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rand.IntN(most)
}

// Dial connects.
func (n *network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	dial := n.dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	c, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, n: n}, nil
}

type conn struct {
	net.Conn
	n     *network
	reads int
}

var errCut = errors.New("cut by the test")

func (c *conn) Write(b []byte) (int, error) {
	if !c.n.chance(c.n.cuts.Load()) {
		return c.Conn.Write(b)
	}
	c.n.wasCut.Add(1)
	n, _ := c.Conn.Write(b[:c.n.upTo(len(b))])
	c.Conn.Close()
	return n, errCut
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.reads++; err == nil && c.reads > 1 && c.n.chance(c.n.losses.Load()) { // not while it is being opened
		c.n.lost.Add(1)
		c.Conn.Close()
		return 0, errCut
	}
	return n, err
}
