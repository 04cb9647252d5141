package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/seed3893aba4/surestart/producer/internal/connection"
)

// run sends the requests, one after the other.
func (c *Cluster) run() {
	defer close(c.done)
	defer c.losers.Wait()
	defer func() {
		if c.conn != nil {
			c.conn.Close()
			<-c.conn.Done()
		}
	}()
	age := time.NewTicker(maxAge)
	defer age.Stop()
	leader := idleTimer() // asks again while a partition has no leader
	defer leader.Stop()
	held := idleTimer() // ends the pause after a refused login
	defer held.Stop()
	wait := firstLeader
	for {
		select {
		case <-c.wake:
		case <-leader.C:
			c.Refresh()
		case <-held.C:
		case <-age.C:
			if c.conn != nil {
				c.Refresh()
			}
		case <-c.ctx.Done():
			return
		}
		for c.turn() {
		}
		if pause := time.Until(c.held); pause > 0 {
			held.Reset(pause)
		}
		if !c.leaderless() {
			leader.Stop()
			wait = firstLeader
			continue
		}
		leader.Reset(wait)
		wait = min(2*wait, longLeader)
	}
}

func idleTimer() *time.Timer {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return timer
}

// turn sends the requests that were waiting when it began. It reports whether there were any.
func (c *Cluster) turn() bool {
	if c.ctx.Err() != nil {
		return false
	}
	served := c.serve()
	c.mu.Lock()
	q := c.next
	if q != nil && !q.now && time.Until(c.held) > 0 {
		q = nil
	}
	c.mu.Unlock()
	if c.ctx.Err() != nil || !served && q == nil {
		return false
	}
	if q != nil {
		c.ask()
	}
	return true
}

// serve sends the requests of Ask. It reports whether there were any.
func (c *Cluster) serve() bool {
	c.mu.Lock()
	asks := c.asks
	c.asks = nil
	c.mu.Unlock()
	for _, a := range asks {
		if a.ctx.Err() == nil { // else the caller has left
			if a.res, a.err = c.exchange(a.ctx, a.msg, nil); a.err == nil {
				a.from = c.conn.Address()
			}
		}
		close(a.done)
	}
	return len(asks) > 0
}

// ask asks for metadata. Later callers of Update share the next question. Later callers of Topic
// share this one if it names their topic. A question that names nothing but topics that were never
// asked for does not delay others.
func (c *Cluster) ask() {
	if time.Since(c.last) > calm {
		c.streak = 0
	}
	if c.streak > 0 && !c.settle(pauseAfter(c.streak)-time.Since(c.last)) {
		return
	}
	now := time.Now()
	if c.cfg.Asking != nil {
		c.cfg.Asking()
	}
	c.mu.Lock()
	q := c.next
	c.next = nil
	names, again := c.askForLocked(q, now)
	c.mu.Unlock()
	if again {
		c.streak++
		c.last = now
	}
	if q.amiss {
		c.doubt()
	}
	var n news
	_, q.err = c.exchange(c.ctx, &metadata.Request{TopicNames: names, AllowAutoTopicCreation: c.cfg.AutoCreate}, func(m protocol.Message) (err error) {
		if n, err = c.apply(m.(*metadata.Response), time.Now()); err == nil && len(n.changed) > 0 && c.cfg.Changed != nil {
			c.cfg.Changed(n.changed)
		}
		return err
	})
	if n.come { // the next one may come as soon
		c.streak = 0
	}
	if connection.Refused(q.err) {
		c.refused++
		c.held = time.Now().Add(connection.RefusedPause(c.refused))
	} else {
		c.refused, c.held = 0, time.Time{}
	}
	c.mu.Lock()
	c.failed = q.err
	c.answeredLocked(q, names)
	c.mu.Unlock()
	close(q.done)
	switch {
	case c.ctx.Err() != nil:
	case q.err != nil:
		c.Refresh()
	case n.behind:
		c.another = true
		c.Refresh()
	}
}

// doubt makes the next request go to another broker if trouble has continued for some time although
// this broker answers.
func (c *Cluster) doubt() {
	now := time.Now()
	switch {
	case now.Sub(c.amiss) > nothingAmiss:
		c.since = now
	case now.Sub(c.since) >= secondOpinion:
		c.since = now
		c.another = true
	}
	c.amiss = now
}

// pauseAfter is the pause after the n-th question in a row.
func pauseAfter(n int) time.Duration { return connection.Pause(n, firstPause, longestPause) }

// settle waits before a question, but not once there is a topic that was never asked for. Meanwhile
// it sends the requests of Ask. It returns false if the Cluster is closed meanwhile.
func (c *Cluster) settle(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	for !c.newTopic() {
		select {
		case <-timer.C:
			return true
		case <-c.wake:
			c.serve()
		case <-c.ctx.Done():
			return false
		}
	}
	return true
}

func (c *Cluster) newTopic() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.topics {
		if !t.asked {
			return true
		}
	}
	return false
}

// try sends msg on the connection, and closes the connection if that fails.
func (c *Cluster) try(msg protocol.Message, accept func(protocol.Message) error, timeout time.Duration) (protocol.Message, error) {
	conn := c.conn
	res, err := askOn(c.ctx, conn, msg, timeout)
	if err == nil {
		err = c.accept(conn, res, accept)
	}
	if err != nil {
		c.conn = nil
		return nil, err
	}
	return res, nil
}

// askOn sends msg on a connection, and closes the connection if that fails or ctx ends.
func askOn(ctx context.Context, conn *connection.Conn, msg protocol.Message, timeout time.Duration) (protocol.Message, error) {
	stop := context.AfterFunc(ctx, conn.Close)
	defer stop()
	res, err := conn.RoundTrip(msg, timeout)
	if err == nil {
		return res, nil
	}
	conn.Close()
	if cause := context.Cause(ctx); cause != nil {
		err = cause // more useful than that the connection was closed
	}
	return nil, fmt.Errorf("ask %s: %w", conn.Address(), err)
}

// accept passes an answer on. If that fails, it closes the connection.
func (c *Cluster) accept(conn *connection.Conn, res protocol.Message, f func(protocol.Message) error) error {
	c.throttle(res)
	if f == nil {
		return nil
	}
	err := f(res)
	if err == nil {
		return nil
	}
	conn.Close()
	if cause := context.Cause(c.ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("ask %s: %w", conn.Address(), err)
}

// throttle notes how long the broker throttles.
func (c *Cluster) throttle(res protocol.Message) {
	var ms int32
	switch r := res.(type) {
	case *metadata.Response:
		ms = r.ThrottleTimeMs
	case *initproducerid.Response:
		ms = r.ThrottleTimeMs
	}
	if ms > 0 && c.cfg.Throttled != nil {
		c.muted = time.Now().Add(c.cfg.Throttled(time.Duration(ms) * time.Millisecond))
	}
}

// AddressErrors are the errors of several addresses, none of which led to an answer.
type AddressErrors []error

// Error says why, address by address.
func (e AddressErrors) Error() string {
	if len(e) == 0 {
		return "there is no address to ask"
	}
	return errors.Join(e...).Error()
}

// Unwrap returns them all.
func (e AddressErrors) Unwrap() []error { return e }

func joinHostPort(host string, port int32) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

func shuffled(list []string) []string {
	list = slices.Clone(list)
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}
