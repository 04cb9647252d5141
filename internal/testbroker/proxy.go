package testbroker

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// A Proxy is a faulty network between a client that uses its Dial and the brokers, also real
// ones. All faults are off at first. It does not depend on Kafka's protocol. (Toxiproxy does
// the same, with sixteen modules more.)
type Proxy struct {
	mu      sync.Mutex
	routes  map[string]net.Listener // by the address of the broker
	pairs   map[*pair]struct{}
	wg      sync.WaitGroup
	closed  bool
	latency time.Duration
	rate    int // bytes a second, in each direction of each connection; 0: no limit
	swallow bool
	gone    int   // bytes to the brokers that were swallowed
	left    int64 // bytes that pass to the brokers before a connection is cut; -1: no cut
	cuts    int   // connections that CutAfter and Cut have cut
}

// NewProxy returns a Proxy that ends with the test.
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

// Latency delays all bytes by d, in each direction.
func (p *Proxy) Latency(d time.Duration) { p.set(func() { p.latency = d }) }

// Drip limits the bytes a second, in each direction; 0 ends it.
func (p *Proxy) Drip(rate int) { p.set(func() { p.rate = rate }) }

// CutAfter cuts a connection directly after the n-th byte, from now on, to any broker.
func (p *Proxy) CutAfter(n int64) { p.set(func() { p.left = n }) }

// HalfOpen swallows all bytes, in both directions: connections stay open and new ones are
// accepted. When it is switched off, they are cut.
func (p *Proxy) HalfOpen(on bool) {
	p.set(func() { p.swallow = on })
	if !on {
		p.Cut()
	}
}

// Swallowed returns how many bytes to the brokers were swallowed so far.
func (p *Proxy) Swallowed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}

// Cut cuts every connection; new ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		c.cutLocked()
	}
}

// Cuts returns how many connections were cut so far.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// Open returns how many connections clients have.
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

// A pair is a connection: its two halves.
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

// pump copies one direction. When it ends, the connection ends.
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
	if up && swallow {
		c.p.gone += len(b)
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

// sleep returns false if the connection ends during it.
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
