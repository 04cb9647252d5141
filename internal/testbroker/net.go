package testbroker

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A Net is the embedded cluster's side of its network, with faults: the same on the loopback
// and on the in-memory network. Nodes have the numbers that the cluster gives them at its
// start.
type Net struct {
	accepted, ended atomic.Int64

	mu        sync.Mutex
	listeners []*listener
	conns     map[*serverConn]struct{}
	frozen    chan struct{} // closed by Thaw; nil: not frozen
	drip      time.Duration
	lifetime  time.Duration
	idle      time.Duration
	answered  func()
	altered   func(answer []byte)

	answering sync.Mutex // held until answered has returned
}

// Kill ends a node as SIGKILL does: its connections break, and its port is closed. The
// leaders of the partitions do not change.
func (n *Net) Kill(node int) {
	n.mu.Lock()
	l := n.listeners[node]
	n.mu.Unlock()
	l.kill()
	n.cut(func(c *serverConn) bool { return c.l == l })
}

// Revive brings a node back, at the same address with the same data.
func (n *Net) Revive(node int) {
	n.mu.Lock()
	l := n.listeners[node]
	n.mu.Unlock()
	l.revive()
}

// Cut breaks every connection; new ones are accepted.
func (n *Net) Cut() { n.cut(func(*serverConn) bool { return true }) }

func (n *Net) cut(which func(*serverConn) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if which(c) {
			c.endLocked()
		}
	}
}

// Freeze stops every node as SIGSTOP does: connections stay open and are accepted, and no
// request is answered. After Thaw the nodes read what came meanwhile.
func (n *Net) Freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frozen == nil {
		n.frozen = make(chan struct{})
	}
}

// Thaw ends Freeze.
func (n *Net) Thaw() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frozen != nil {
		close(n.frozen)
		n.frozen = nil
	}
}

// Drip sends answers byte by byte, each after a pause; zero ends it.
func (n *Net) Drip(pause time.Duration) { n.set(&n.drip, pause) }

// Lifetime sets the largest age of a connection. At its first request after that it is
// closed, as a broker closes one whose SASL session has expired. Zero means no limit.
func (n *Net) Lifetime(d time.Duration) { n.set(&n.lifetime, d) }

// Idle sets how long a new connection may be silent before the node closes it. Zero means
// no limit.
func (n *Net) Idle(d time.Duration) { n.set(&n.idle, d) }

// Answered sets a function that is called after each answer, before the next request is read.
func (n *Net) Answered(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answered = f
}

// Altered sets a function that may change each answer before it is sent; nil ends it.
func (n *Net) Altered(f func(answer []byte)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.altered = f
}

func (n *Net) waitAnswering() {
	n.answering.Lock()
	defer n.answering.Unlock()
}

func (n *Net) set(field *time.Duration, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	*field = d
}

func (n *Net) listen(inner func(network, address string) (net.Listener, error)) func(network, address string) (net.Listener, error) {
	return func(network, address string) (net.Listener, error) {
		ln, err := inner(network, address)
		if err != nil {
			return nil, err
		}
		l := &listener{
			n: n, addr: ln.Addr(), closed: make(chan struct{}), changed: make(chan struct{}), ln: ln,
			again: func() (net.Listener, error) { return inner(network, ln.Addr().String()) },
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.listeners = append(n.listeners, l)
		return l, nil
	}
}

// A listener can be closed for a while.
type listener struct {
	n      *Net
	addr   net.Addr
	again  func() (net.Listener, error)
	closed chan struct{}

	mu      sync.Mutex
	ln      net.Listener // nil: killed
	changed chan struct{}
}

func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) Accept() (net.Conn, error) {
	for {
		l.mu.Lock()
		ln, changed := l.ln, l.changed
		l.mu.Unlock()
		if ln != nil {
			c, err := ln.Accept()
			if err == nil {
				conn := l.n.accept(l, c)
				l.mu.Lock()
				alive := l.ln == ln
				l.mu.Unlock()
				if alive {
					return conn, nil
				}
				conn.Close() // killed meanwhile: a cut may have missed this connection
				continue
			}
		}
		select {
		case <-l.closed:
			return nil, net.ErrClosed
		case <-changed:
		}
	}
}

// Close removes the node: its connections break, as at the end of a process.
func (l *listener) Close() error {
	err := l.close()
	l.n.cut(func(c *serverConn) bool { return c.l == l })
	return err
}

func (l *listener) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return l.replaceLocked(nil)
}

func (l *listener) replaceLocked(ln net.Listener) (err error) {
	if l.ln != nil {
		err = l.ln.Close()
	}
	l.ln = ln
	close(l.changed)
	l.changed = make(chan struct{})
	return err
}

func (l *listener) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replaceLocked(nil)
}

func (l *listener) revive() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return
	default:
	}
	if l.ln != nil {
		return
	}
	ln, err := l.again()
	if err != nil {
		panic("testbroker: " + err.Error()) // the port belonged to this node
	}
	l.replaceLocked(ln)
}

func (n *Net) accept(l *listener, inner net.Conn) net.Conn {
	c := &serverConn{Conn: inner, n: n, l: l, began: time.Now(), closed: make(chan struct{})}
	n.accepted.Add(1)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conns == nil {
		n.conns = make(map[*serverConn]struct{})
	}
	n.conns[c] = struct{}{}
	if n.idle > 0 {
		c.idle = n.idle
		c.quiet = time.AfterFunc(n.idle, func() { c.Close() })
	}
	return c
}

// serverConn is a node's end of a connection.
type serverConn struct {
	net.Conn
	n      *Net
	l      *listener
	began  time.Time
	idle   time.Duration
	quiet  *time.Timer
	closed chan struct{}
	ended  bool // guarded by n.mu
}

func (c *serverConn) Close() error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	return c.endLocked()
}

func (c *serverConn) endLocked() error {
	if !c.ended {
		c.ended = true
		close(c.closed)
		delete(c.n.conns, c)
		c.n.ended.Add(1)
		if c.quiet != nil {
			c.quiet.Stop()
		}
	}
	return c.Conn.Close()
}

func (c *serverConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n.waitAnswering()
	if err == nil && !c.active(true) {
		return 0, io.EOF
	}
	return n, err
}

func (c *serverConn) Write(b []byte) (int, error) {
	if !c.active(false) {
		return 0, io.ErrClosedPipe
	}
	c.n.mu.Lock()
	drip, answered, altered := c.n.drip, c.n.answered, c.n.altered
	c.n.mu.Unlock()
	if altered != nil {
		b = bytes.Clone(b)
		altered(b)
	}
	if answered != nil {
		c.n.answering.Lock()
		defer c.n.answering.Unlock()
		defer answered()
	}
	if drip == 0 {
		return c.Conn.Write(b)
	}
	for i := range b {
		select {
		case <-time.After(drip):
		case <-c.closed:
			return i, io.ErrClosedPipe
		}
		if _, err := c.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// active waits while the nodes are frozen; false: the connection has ended.
func (c *serverConn) active(request bool) bool {
	for {
		c.n.mu.Lock()
		if lifetime := c.n.lifetime; request && lifetime > 0 && time.Since(c.began) >= lifetime {
			c.endLocked()
		}
		ended, frozen := c.ended, c.n.frozen
		if !ended && c.quiet != nil {
			c.quiet.Reset(c.idle)
		}
		c.n.mu.Unlock()
		if ended || frozen == nil {
			return !ended
		}
		select {
		case <-frozen:
		case <-c.closed:
		}
	}
}

// Listen serves connections on the loopback until the test ends, and returns the address. It
// is for servers that are no brokers.
func Listen(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("testbroker: %v", err)
	}
	t.Cleanup(func() { ln.Close() })
	go accept(ln, serve)
	return ln.Addr().String()
}

func accept(ln net.Listener, serve func(net.Conn)) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go serve(c)
	}
}
