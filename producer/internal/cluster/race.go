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

// A race connects to addresses, in their order. One that does not answer soon holds up the
// next for a moment only.
type race struct {
	c       *Cluster
	ctx     context.Context
	cancel  context.CancelFunc
	left    []candidate
	under   int // attempts under way
	results chan result
	wg      sync.WaitGroup
}

type result struct {
	conn *connection.Conn
	err  error
}

const (
	// headStart is how long an address is alone before the next one is tried too.
	headStart = 500 * time.Millisecond
	// patience is how long the broker of the connection has for its answer, if there are
	// others to ask: it may hang.
	patience = 2 * time.Second
	// abreast is how many are tried at the same time.
	abreast = 3
)

func (c *Cluster) race(left []candidate) *race {
	r := &race{c: c, left: left, results: make(chan result, abreast)}
	r.ctx, r.cancel = context.WithCancel(c.ctx)
	return r
}

// next returns the next connection, or why an address led to none. It returns false if no
// address is left, or ctx ends. When the Cluster ends it returns what becomes of the attempts
// under way: their errors say how far they had come.
func (r *race) next(ctx context.Context) (result, bool) {
	timer := time.NewTimer(headStart)
	defer timer.Stop()
	for {
		if r.under == 0 {
			if len(r.left) == 0 || r.c.ctx.Err() != nil {
				return result{}, false
			}
			r.begin()
		}
		var another <-chan time.Time
		if r.under < abreast && len(r.left) > 0 {
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
	r.under++
	r.wg.Go(func() {
		conn, err := connection.Open(r.ctx, r.c.cfg.Connection, a.address, a.named)
		r.results <- result{conn, err}
	})
}

// end closes the connections that were not used. It does not wait for a Dial that does not
// heed its context, except that Close does.
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

// exchange asks the broker of the connection, or else one address after the other. Accept
// may refuse an answer; nil: it refuses none.
func (c *Cluster) exchange(ctx context.Context, msg protocol.Message, accept func(protocol.Message) error) (protocol.Message, error) {
	// The quota is the client's: to ask another broker meanwhile would evade it.
	if !c.pause(time.Until(c.muted)) {
		return nil, context.Cause(c.ctx)
	}
	all := c.candidates()
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
		if at >= 0 {
			again := all[at]
			all = append(slices.Delete(all, at, at+1), again) // the others first
		}
	}
	r := c.race(all)
	defer r.end()
	var errs AddressErrors
	for {
		found, ok := r.next(ctx)
		if !ok {
			break
		}
		err := found.err
		if err == nil {
			c.conn = found.conn
			var res protocol.Message
			if res, err = c.try(msg, accept, c.cfg.Timeout); err == nil {
				return res, nil
			}
		}
		errs = append(errs, err)
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

// change connects to one of the others instead, if that can be had soon.
func (c *Cluster) change(ctx context.Context, others []candidate) {
	ctx, cancel := context.WithTimeout(ctx, 2*headStart)
	defer cancel()
	r := c.race(others)
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
