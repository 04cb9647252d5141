package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/protocol"

	"github.com/seed3893aba4/surestart/producer/internal/connection"
)

// A race connects to addresses in order, and sends each a message. An address that hangs delays the
// next one only for a moment, before it is connected and after.
type race struct {
	c       *Cluster
	msg     protocol.Message // nil: a connection is enough
	ctx     context.Context
	cancel  context.CancelFunc
	left    []candidate
	least   int       // how many to try, however long it takes
	until   time.Time // when to begin with no other ones
	under   int       // attempts under way
	results chan result
	wg      sync.WaitGroup
}

type result struct {
	conn *connection.Conn
	res  protocol.Message
	err  error
}

const (
	// headStart is how long an address is tried alone.
	headStart = 500 * time.Millisecond
	// patience is how long the connected broker may take for an answer if there are other brokers:
	// it may hang.
	patience = 2 * time.Second
	// abreast is how many addresses are tried at the same time.
	abreast = 3
	// reach is how long attempts at addresses learnt earlier may start, before the recent addresses
	// are tried again. Some earlier ones are tried each time.
	reach = 5 * time.Second
)

func (c *Cluster) race(left []candidate, least int, msg protocol.Message) *race {
	r := &race{c: c, msg: msg, left: left, least: least, until: time.Now().Add(reach), results: make(chan result, abreast)}
	r.ctx, r.cancel = context.WithCancel(c.ctx)
	return r
}

// more reports whether there is another address to try.
func (r *race) more() bool { return len(r.left) > 0 && (r.least > 0 || time.Now().Before(r.until)) }

// next returns the next answer, or the error of an address. It returns false if there are no more
// addresses, or ctx ends. When the Cluster ends, it returns the errors of the attempts under way, which
// say how far these came.
func (r *race) next(ctx context.Context) (result, bool) {
	timer := time.NewTimer(headStart)
	defer timer.Stop()
	for {
		if r.under == 0 {
			if !r.more() || r.c.ctx.Err() != nil {
				return result{}, false
			}
			r.begin()
		}
		var another <-chan time.Time
		if r.under < abreast && r.more() {
			another = timer.C
		}
		select {
		case found := <-r.results:
			r.under--
			return found, true
		case <-another:
			r.begin()
			timer.Reset(headStart)
			continue
		case <-ctx.Done():
			if r.c.ctx.Err() == nil {
				return result{}, false
			}
		case <-r.c.ctx.Done():
		}
		r.under--
		return <-r.results, true
	}
}

func (r *race) begin() {
	a := r.left[0]
	r.left = r.left[1:]
	r.least--
	r.under++
	r.wg.Go(func() {
		var found result
		found.conn, found.err = connection.Open(r.ctx, r.c.cfg.Connection, a.address, a.named)
		if found.err == nil && r.msg != nil {
			found.res, found.err = askOn(r.ctx, found.conn, r.msg, r.c.cfg.Timeout)
		}
		r.results <- found
	})
}

// end closes the connections that were not used. Only Close waits for a Dial that ignores its
// context.
func (r *race) end() {
	r.cancel()
	if r.under == 0 {
		return
	}
	r.c.losers.Go(func() {
		r.wg.Wait()
		for range r.under {
			if found := <-r.results; found.conn != nil {
				found.conn.Close()
				<-found.conn.Done()
			}
		}
	})
}

// exchange sends msg on the connection, or else to one address after the other. accept may refuse
// an answer; nil accepts all.
func (c *Cluster) exchange(ctx context.Context, msg protocol.Message, accept func(protocol.Message) error) (protocol.Message, error) {
	// The quota is the client's: to ask another broker meanwhile would evade it.
	if err := c.sleep(c.ctx, time.Until(c.muted)); err != nil {
		return nil, err
	}
	all, recent := c.candidates()
	if c.conn != nil {
		asked := c.conn.Address()
		at := slices.IndexFunc(all, func(a candidate) bool { return a.address == asked })
		if c.another {
			c.another = false
			c.change(ctx, slices.DeleteFunc(slices.Clone(all), func(a candidate) bool { return a.address == asked }))
		}
		timeout := c.cfg.Timeout
		if len(all) > 1 {
			timeout = min(timeout, patience)
		}
		if res, err := c.try(msg, accept, timeout); err == nil || c.ctx.Err() != nil {
			return res, err
		}
		if at >= 0 && at < recent { // the other recent ones first
			again := all[at]
			all = slices.Insert(slices.Delete(all, at, at+1), recent-1, again)
		}
	}
	r := c.race(all, recent+abreast, msg)
	defer r.end()
	var errs AddressErrors
	for {
		found, ok := r.next(ctx)
		if !ok {
			break
		}
		err := found.err
		if err == nil {
			if err = c.accept(found.conn, found.res, accept); err == nil {
				c.conn, c.resume = found.conn, ""
				return found.res, nil
			}
		}
		errs = append(errs, err)
	}
	if c.resume = ""; len(r.left) > 0 {
		c.resume = r.left[0].address
	}
	var err error = errs
	if len(errs) == 1 {
		err = errs[0]
	}
	if cause := context.Cause(c.ctx); cause != nil && !errors.Is(err, cause) {
		if len(errs) == 0 {
			return nil, cause
		}
		return nil, because(cause, err)
	}
	return nil, err
}

// change replaces the connection by one to another broker, if that succeeds soon.
func (c *Cluster) change(ctx context.Context, others []candidate) {
	ctx, cancel := context.WithTimeout(ctx, 2*headStart)
	defer cancel()
	r := c.race(others, len(others), nil)
	defer r.end()
	for {
		found, ok := r.next(ctx)
		switch {
		case !ok:
			return
		case found.err == nil:
			c.conn.Close()
			c.conn = found.conn
			return
		}
	}
}
