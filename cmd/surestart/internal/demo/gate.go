package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// mode is what a broker does.
type mode uint8

const (
	down    mode = iota // nothing listens: connections are refused, those that were open are reset
	hanging             // connections are accepted, and nothing is read or answered, as of a frozen process
	working
)

// A gate is a broker's listening socket, on the loopback, with faults and
// counters: real sockets, really refused, accepted and reset. It is a
// net.Listener: behind it is the embedded broker, or forward, which passes the
// connections on to a broker elsewhere.
type gate struct {
	address string

	tally tally

	mu      sync.Mutex
	mode    mode
	changed chan struct{} // closed when mode changes, or the gate is closed
	ln      net.Listener  // nil while down
	conns   map[*gateConn]struct{}
	closed  bool
}

// newGate reserves an address for a broker that is down.
//
// The port is below the range that systems take ports for outgoing connections
// from: a dial to a free port in that range may, on a loopback, connect to itself.
func newGate() (*gate, error) {
	var last error
	for range 50 {
		address := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		ln, err := net.Listen("tcp", address)
		if err != nil {
			last = err
			continue
		}
		ln.Close()
		return &gate{address: address, changed: make(chan struct{}), conns: make(map[*gateConn]struct{})}, nil
	}
	return nil, fmt.Errorf("no free port on 127.0.0.1 for the broker: %w", last)
}

// set makes the broker do m from now on.
func (g *gate) set(m mode) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return net.ErrClosed
	}
	if m == down && g.ln != nil {
		g.ln.Close()
		g.ln = nil
		g.resetLocked()
	}
	if m != down && g.ln == nil {
		ln, err := net.Listen("tcp", g.address)
		if err != nil {
			return fmt.Errorf("the broker cannot come up again: %w", err)
		}
		g.ln = ln
	}
	g.mode = m
	close(g.changed)
	g.changed = make(chan struct{})
	return nil
}

// resetLocked resets every connection, as the death of the broker's process would.
func (g *gate) resetLocked() {
	for c := range g.conns {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		c.closeLocked()
	}
}

// Accept waits while the broker is down.
func (g *gate) Accept() (net.Conn, error) {
	for {
		g.mu.Lock()
		ln, changed, closed := g.ln, g.changed, g.closed
		g.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		if ln == nil {
			<-changed
			continue
		}
		inner, err := ln.Accept()
		if err != nil {
			// Went down, was closed, or no descriptor is left: the state says which of the first two.
			if !errors.Is(err, net.ErrClosed) {
				time.Sleep(5 * time.Millisecond)
			}
			continue
		}
		c := &gateConn{Conn: inner, gate: g, gone: make(chan struct{})}
		c.probes = newProbes(&g.tally)
		g.mu.Lock()
		if g.ln != ln {
			g.mu.Unlock()
			inner.Close()
			continue
		}
		g.conns[c] = struct{}{}
		g.mu.Unlock()
		return c, nil
	}
}

// Addr is the broker's address, whether it is up or down.
func (g *gate) Addr() net.Addr {
	addr, _ := net.ResolveTCPAddr("tcp", g.address)
	return addr
}

// Close resets what is open and ends Accept.
func (g *gate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	g.closed = true
	if g.ln != nil {
		g.ln.Close()
		g.ln = nil
	}
	g.resetLocked()
	close(g.changed)
	return nil
}

// accepted is the number of connections that the broker's side has open. A hung
// broker does not notice that a client has gone: see open.
func (g *gate) accepted() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.conns)
}

// forward passes what comes through the gate on to a broker elsewhere, until the gate is closed.
func (g *gate) forward(ctx context.Context, upstream string) {
	for {
		conn, err := g.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			var d net.Dialer
			far, err := d.DialContext(ctx, "tcp", upstream)
			if err != nil {
				return
			}
			defer far.Close()
			go func() {
				io.Copy(conn, far)
				conn.Close()
			}()
			io.Copy(far, conn)
		}()
	}
}

// A gateConn is the broker's side of a connection.
type gateConn struct {
	net.Conn
	gate   *gate
	probes *probes
	gone   chan struct{}
}

// pass waits while the broker hangs.
func (c *gateConn) pass() error {
	for {
		g := c.gate
		g.mu.Lock()
		m, changed := g.mode, g.changed
		g.mu.Unlock()
		if m != hanging {
			return nil
		}
		select {
		case <-changed:
		case <-c.gone:
			return net.ErrClosed
		}
	}
}

func (c *gateConn) Read(b []byte) (int, error) {
	if err := c.pass(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	// It may have begun to hang meanwhile; then what was read was not seen.
	if hung := c.pass(); hung != nil {
		return 0, hung
	}
	c.probes.requests.feed(b[:n])
	return n, err
}

func (c *gateConn) Write(b []byte) (int, error) {
	if err := c.pass(); err != nil {
		return 0, err
	}
	// Counted before it is written: whoever has the answer finds it counted.
	c.probes.replies.feed(b)
	return c.Conn.Write(b)
}

func (c *gateConn) Close() error {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	return c.closeLocked()
}

func (c *gateConn) closeLocked() error {
	if _, open := c.gate.conns[c]; !open {
		return nil
	}
	delete(c.gate.conns, c)
	close(c.gone)
	return c.Conn.Close()
}
