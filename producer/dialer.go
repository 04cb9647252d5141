package producer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

var (
	errDialsRefused   = errors.New("the producer is stopping: no new connections")
	errCut            = errors.New("the producer has cut the connection")
	errConnectTimeout = fmt.Errorf("connected, but not ready within the DialTimeout: %w", context.DeadlineExceeded)
	errPlaintext      = errors.New("without TLS the password would be shown on the way (see Config.AllowPlaintextPassword)")
)

// A dialer opens the connections of one attempt and knows them all, so that a
// release can end what kafka-go would wait for without bound: cut off, it closes
// every one and refuses new ones.
type dialer struct {
	base      func(ctx context.Context, network, address string) (net.Conn, error)
	localOnly bool          // the password would be readable elsewhere
	timeout   time.Duration // of one connect, all of it
	tls       *tls.Config   // nil: without encryption
	named     []string      // the addresses in Config.Brokers

	mu      sync.Mutex
	refused bool
	conns   map[*conn]struct{} // opened, and not closed by kafka-go yet
	dialing map[*context.CancelFunc]struct{}
	empty   chan struct{} // closed when both are empty; made by whoever waits for that
	opened  int

	search // of a Start for a broker that answers
}

// conn is one connection. kafka-go's goroutine that owns it ends with Close.
type conn struct {
	net.Conn
	d     *dialer
	ended atomic.Pointer[error] // why we ended it
}

// end closes the connection; kafka-go, which has yet to close it, will see why.
func (c *conn) end(why error) {
	c.ended.CompareAndSwap(nil, &why)
	c.Conn.Close()
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.why(err)
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.why(err)
}

func (c *conn) why(err error) error {
	if err != nil {
		if why := c.ended.Load(); why != nil {
			return *why
		}
		// Too late is too late, whichever of several clocks notices it first.
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return &both{err, context.DeadlineExceeded}
		}
	}
	return err
}

// dial opens a connection that is ready for kafka-go. While a Start looks for a broker
// it notes what became of each address, and dials none twice.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := d.known(address); err != nil {
		return nil, err
	}
	c, err := d.connect(ctx, network, address)
	if err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) {
			d.noGood(address, err)
		}
		return nil, err
	}
	c.failed = func(err error) { d.noGood(address, err) }
	return c, nil
}

func (d *dialer) connect(ctx context.Context, network, address string) (*framed, error) {
	if d.localOnly && !isLocal(address) {
		return nil, fmt.Errorf("connect to %s: %w", address, errPlaintext)
	}
	ready, began := ctx, time.Now()
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	d.mu.Lock()
	if d.refused {
		d.mu.Unlock()
		return nil, errDialsRefused
	}
	if d.dialing == nil {
		d.dialing, d.conns = make(map[*context.CancelFunc]struct{}), make(map[*conn]struct{})
	}
	d.dialing[&cancel] = struct{}{}
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.dialing, &cancel)
		d.checkLocked()
	}()

	nc, err := d.base(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c, err := d.adopt(nc)
	if err != nil {
		return nil, err
	}
	// kafka-go clears its deadline before the SASL exchange. The context that it
	// dials with lives until the connection is ready: until then we bound it.
	limit := time.AfterFunc(d.timeout-time.Since(began), func() { c.end(errConnectTimeout) })
	context.AfterFunc(ready, func() {
		limit.Stop()
		if errors.Is(ready.Err(), context.DeadlineExceeded) {
			c.end(errConnectTimeout)
		}
	})
	p := peer{address: address, named: slices.Contains(d.named, address), tls: d.tls != nil}
	if d.tls == nil {
		return newFramed(c, p), nil
	}
	secure := tls.Client(c, d.tlsFor(address))
	if err := secure.HandshakeContext(ctx); err != nil {
		limit.Stop()
		c.Close()
		switch why := c.ended.Load(); {
		case why != nil:
			return nil, *why
		case errors.Is(err, context.DeadlineExceeded):
			return nil, errConnectTimeout
		}
		return nil, p.handshakeFailed(err)
	}
	return newFramed(secure, p), nil
}

// adopt counts a connection that was opened.
func (d *dialer) adopt(nc net.Conn) (*conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refused {
		nc.Close()
		return nil, errDialsRefused
	}
	c := &conn{Conn: nc, d: d}
	d.conns[c] = struct{}{}
	d.opened++
	return c, nil
}

// tlsFor is the configuration for a connection to address, whose certificate is to be
// for its host unless the user names another.
func (d *dialer) tlsFor(address string) *tls.Config {
	if d.tls.ServerName != "" {
		return d.tls
	}
	cfg := d.tls.Clone()
	cfg.ServerName, _, _ = net.SplitHostPort(address)
	return cfg
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	delete(c.d.conns, c)
	c.d.checkLocked()
	return err
}

// cut closes every connection and refuses new ones, from now on.
func (d *dialer) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused = true
	for cancel := range d.dialing {
		(*cancel)()
	}
	for c := range d.conns {
		c.end(errCut)
	}
}

func (d *dialer) checkLocked() {
	if d.empty != nil && d.refused && len(d.conns) == 0 && len(d.dialing) == 0 {
		close(d.empty)
		d.empty = nil
	}
}

// join waits, after cut, until kafka-go has let go of every connection, and so
// ended the goroutines that own them.
func (d *dialer) join() {
	d.mu.Lock()
	empty := make(chan struct{})
	d.empty = empty
	d.checkLocked()
	d.mu.Unlock()
	<-empty
}

// open returns how many connections there are, and how many there ever were.
func (d *dialer) open() (now, ever int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns), d.opened
}
