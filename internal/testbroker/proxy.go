package testbroker

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// A Proxy stands between a client, whose Dial it gives, and the brokers, real
// ones too, and makes the network between them bad. All its faults are off at
// first. It knows nothing of Kafka. (Toxiproxy does the same, and would bring
// sixteen modules along.)
type Proxy struct {
	mu      sync.Mutex
	routes  map[string]net.Listener // by the broker's address
	pairs   map[*pair]struct{}
	wg      sync.WaitGroup
	closed  bool
	latency time.Duration
	rate    int // bytes a second, of each direction of each connection; 0: as many as there are
	swallow bool
	left    int64 // bytes that still pass to the brokers before a connection is cut; -1: no cut
	cuts    int   // connections that CutAfter and Cut have cut
}

// NewProxy makes one; it ends with the test.
func NewProxy(t testing.TB) *Proxy {
	p := &Proxy{routes: make(map[string]net.Listener), pairs: make(map[*pair]struct{}), left: -1}
	t.Cleanup(func() {
		p.mu.Lock()
		p.closed = true
		for _, ln := range p.routes {
			ln.Close()
		}
		p.mu.Unlock()
		p.Cut()
		p.wg.Wait()
	})
	return p
}

// Dial connects to the broker at address through the proxy.
func (p *Proxy) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	ln, err := p.route(address)
	if err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, network, ln.Addr().String())
}

func (p *Proxy) route(address string) (net.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ln, ok := p.routes[address]; ok {
		return ln, nil
	}
	if p.closed {
		return nil, net.ErrClosed
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.routes[address] = ln
	p.wg.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(client, address) })
		}
	})
	return ln, nil
}

// Latency makes everything that is sent take d longer, each way.
func (p *Proxy) Latency(d time.Duration) { p.set(func() { p.latency = d }) }

// Drip lets so many bytes a second through, each way; 0 ends it.
func (p *Proxy) Drip(rate int) { p.set(func() { p.rate = rate }) }

// CutAfter cuts the connection over which the n-th byte from now on goes to a
// broker, right behind that byte.
func (p *Proxy) CutAfter(n int64) { p.set(func() { p.left = n }) }

// HalfOpen swallows what is sent, either way, and tells nobody: connections stay
// open and new ones are accepted. Its end cuts them.
func (p *Proxy) HalfOpen(on bool) {
	p.set(func() { p.swallow = on })
	if !on {
		p.Cut()
	}
}

// Cut cuts every connection; new ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		c.cutLocked()
	}
}

// Cuts is how many connections were cut so far.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// Open is how many connections clients have.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pairs)
}

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// A pair is a connection, in its two halves.
type pair struct {
	p              *Proxy
	client, broker net.Conn
	over           chan struct{}
	ended          bool // guarded by p.mu
}

func (p *Proxy) serve(client net.Conn, address string) {
	broker, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		client.Close()
		return
	}
	c := &pair{p: p, client: client, broker: broker, over: make(chan struct{})}
	p.mu.Lock()
	p.pairs[c] = struct{}{}
	if p.closed {
		c.endLocked()
	}
	p.mu.Unlock()
	p.wg.Go(func() { c.pump(client, broker, false) })
	c.pump(broker, client, true)
}

func (c *pair) endLocked() {
	if !c.ended {
		c.ended = true
		close(c.over)
		c.client.Close()
		c.broker.Close()
		delete(c.p.pairs, c)
	}
}

func (c *pair) cutLocked() {
	if !c.ended {
		c.p.cuts++
		c.endLocked()
	}
}

// pump carries one direction; its end is the connection's.
func (c *pair) pump(to io.Writer, from io.Reader, up bool) {
	defer c.p.set(c.endLocked)
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !c.carry(to, buf[:n], up) || err != nil {
			return
		}
	}
}

func (c *pair) carry(to io.Writer, b []byte, up bool) bool {
	c.p.mu.Lock()
	latency, rate, swallow, cut := c.p.latency, c.p.rate, c.p.swallow, false
	if up && !swallow && c.p.left >= 0 {
		if cut = c.p.left <= int64(len(b)); cut {
			b, c.p.left = b[:c.p.left], -1
		} else {
			c.p.left -= int64(len(b))
		}
	}
	c.p.mu.Unlock()
	if swallow {
		return true
	}
	if !c.sleep(latency) {
		return false
	}
	for len(b) > 0 {
		n := len(b)
		if rate > 0 {
			n = min(n, max(rate/100, 1))
			if !c.sleep(time.Duration(n) * time.Second / time.Duration(rate)) {
				return false
			}
		}
		if _, err := to.Write(b[:n]); err != nil {
			return false
		}
		b = b[n:]
	}
	if cut {
		c.p.set(c.cutLocked)
	}
	return !cut
}

// sleep returns false if the connection ends meanwhile.
func (c *pair) sleep(d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.over:
		return false
	}
}
