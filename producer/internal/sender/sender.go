// Package sender sends the messages of a producer. It has the queues of the partitions and
// their batches under way. Each broker has a few senders, each with one connection and one
// request under way.
//
// Package core decides verdicts, sequences, epochs, and what is sent again. This package has
// the bytes, the connections, the times, and the waiting calls.
package sender

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/producer/internal/connection"
)

// A Sender has a connection to a broker. One request carries the batches of all ready partitions on
// its list.
type Sender struct {
	b    *Broker
	ctx  context.Context
	wake chan struct{} // of capacity 1

	first    chan struct{} // closed after the first attempt to connect
	firstErr error
	down     atomic.Pointer[error] // why it has no connection; nil: it has one, or is about to connect again
	up       atomic.Bool           // it has a connection
	// completing: it sends nothing until a completion has returned.
	completing atomic.Bool

	mu    sync.Mutex // locked after a partition's
	ready []*Partition
	jobs  []*Job
	ping  *Job // shared by all Pings that wait for it to be sent; nil: none

	// Only run uses these.
	req   request
	spare []*Partition
	timer *time.Timer
	used  time.Time // when the connection was last used
	// served: the broker has answered on the connection.
	served bool
	// doubt: the last request had a problem after which the metadata are requested again.
	doubt bool
	// renewal receives the result of a connect while another connection serves; nil: none is under
	// way.
	renewal chan opened
}

const (
	// keepAlive is when an idle connection is used. A broker closes idle connections after ten
	// minutes by default.
	keepAlive = 4 * time.Minute
	// shortSession is the shortest session of a login that is renewed.
	shortSession = 100 * time.Millisecond
	// timeoutShare is the broker's share of the WriteTimeout.
	timeoutShare = 0.8
)

func (s *Sender) list(p *Partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = append(s.ready, p)
}

// unlist removes p from the list. It reports whether p was on it.
func (s *Sender) unlist(p *Partition) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.ready, p)
	if i < 0 {
		return false
	}
	s.ready = slices.Delete(s.ready, i, i+1)
	return true
}

// Wake makes the sender check its list.
func (s *Sender) Wake() { s.signal() }

func (s *Sender) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run connects and serves connections until the context ends.
func (s *Sender) run() {
	s.timer = time.NewTimer(time.Hour)
	defer s.timer.Stop()
	defer func() { s.tried(context.Cause(s.ctx)) }()
	next := s.connect()
	for failed, refused := 0, 0; s.ctx.Err() == nil; {
		if err := next.err; err != nil {
			s.unconnected(err)
			failed++
			s.b.cfg.Counters.ConnectFailures.Add(1)
			if failed == quietAttempts && s == s.b.senders[0] && s.b.cfg.Warn != nil {
				s.b.cfg.Warn("a broker cannot be reached; still trying", "", -1, err)
			}
			pause := pauseAfter(failed)
			if refused++; connection.Refused(err) {
				pause = spread(connection.RefusedPause(refused))
			} else {
				refused = 0
			}
			for ; pause > 0 && s.ctx.Err() == nil; pause -= LongestPause {
				s.b.directory.Refresh() // the leaders may move meanwhile
				s.pause(min(pause, LongestPause))
			}
			next = s.connect()
			continue
		}
		refused = 0
		stop := context.AfterFunc(s.ctx, next.conn.Close)
		s.b.cfg.Counters.Open.Add(1)
		s.up.Store(true)
		s.down.Store(nil)
		s.tried(nil)
		began := time.Now()
		s.served = false
		s.serve(next.conn)
		s.up.Store(false)
		s.b.cfg.Counters.Open.Add(-1)
		stop()
		next.close()
		_, expires := next.conn.Session()
		switch {
		case s.ctx.Err() != nil || s.renewal != nil:
		case !expires.IsZero() && expires.Sub(began) < shortSession:
			next = opened{err: fmt.Errorf("connect to %s: %w", next.conn.Address(), errSession)}
			continue
		case !s.served && time.Since(began) < LongestPause:
			next = opened{err: fmt.Errorf("connect: %w: %w", errAtOnce, next.conn.Err())}
			continue
		}
		failed = 0
		if s.ctx.Err() == nil {
			s.b.directory.Refresh()
		}
		next = s.next()
	}
	if next.err != nil {
		s.unconnected(next.err)
	}
	next.close()
	s.drop()
}

// errAtOnce is the error of a connection that ended soon after it was made, without an answer. It
// counts as a failed connect. Otherwise a broker that ends each connection would be dialled without
// a pause.
var errAtOnce = errors.New("the connection ended at once")

// errSession is the error of a connection whose login lasts less than shortSession. It counts as a
// failed connect. Otherwise the logins would follow each other without a pause.
var errSession = fmt.Errorf("the broker ends the session of a login within %v (see its connections.max.reauth.ms)", shortSession)

// unconnected records why there is no connection.
func (s *Sender) unconnected(err error) {
	s.tried(err)
	s.down.Store(&err)
	s.endJobs(err)
}

// tried records the result of the first attempt to connect.
func (s *Sender) tried(err error) {
	select {
	case <-s.first:
	default:
		s.firstErr = err
		close(s.first)
	}
}

// An opened is the result of an attempt to connect.
type opened struct {
	conn *connection.Conn
	err  error
}

func (o opened) close() {
	if o.conn != nil {
		o.conn.Close()
		<-o.conn.Done()
	}
}

func (s *Sender) connect() opened {
	if s.ctx.Err() != nil {
		return opened{err: context.Cause(s.ctx)}
	}
	address, ok := s.b.directory.Address(s.b.id)
	if !ok {
		return opened{err: fmt.Errorf("the cluster has no broker %d any more", s.b.id)}
	}
	conn, err := s.open(address)
	if errors.Is(err, errElsewhere) {
		return s.connect()
	}
	if err != nil {
		return opened{err: err}
	}
	if _, err := conn.Version(protocol.Produce); err != nil {
		opened{conn: conn}.close()
		return opened{err: err}
	}
	s.b.cfg.Counters.Connects.Add(1)
	return opened{conn: conn}
}

// errElsewhere is the error of a connect to an address that the broker no longer has.
var errElsewhere = errors.New("the broker has another address by now")

// open connects to an address of the broker. While that takes long, open asks for the metadata, and
// ends with errElsewhere when they name another address.
func (s *Sender) open(address string) (*connection.Conn, error) {
	ctx, leave := context.WithCancelCause(s.ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer leave(nil)
	watch.Go(func() {
		long := time.NewTicker(LongestPause)
		defer long.Stop()
		for {
			select {
			case <-long.C:
			case <-ctx.Done():
				return
			}
			if s.moved(address) {
				leave(errElsewhere)
				return
			}
			s.b.directory.Refresh()
		}
	})
	return connection.Open(ctx, s.b.connection, address, false)
}

// renewSession connects while the present connection still serves, and wakes the sender afterwards.
func (s *Sender) renewSession() {
	c := make(chan opened, 1)
	s.renewal = c
	go func() {
		c <- s.connect()
		s.signal()
	}()
}

// next returns the result of the renewal if there is one, and otherwise connects.
func (s *Sender) next() opened {
	c := s.renewal
	if c == nil {
		return s.connect()
	}
	s.renewal = nil
	return <-c
}

func (s *Sender) pause(d time.Duration) {
	s.timer.Reset(d)
	select {
	case <-s.timer.C:
	case <-s.ctx.Done():
	}
}

// drop removes all partitions from the list when the sender ends. A partition that has moved is
// offered to its new sender.
func (s *Sender) drop() {
	s.mu.Lock()
	ready := s.ready
	s.ready = nil
	s.mu.Unlock()
	for _, p := range ready {
		p.mu.Lock()
		p.letGoLocked()
		var to *Sender
		if p.sender != s && p.core.State() != core.Stopped {
			to = p.offerLocked(time.Now())
		}
		p.mu.Unlock()
		wake(to)
	}
}

// serve sends until the connection or the context ends. Shortly before the session of the login
// expires, serve connects anew. The old connection serves until the new one is ready, so a login
// that is refused for a moment delays nothing.
func (s *Sender) serve(conn *connection.Conn) {
	s.used = time.Now()
	renew, expires := conn.Session()
	if soonest := s.used.Add(shortSession); renew.Before(soonest) {
		renew = soonest
	}
	refused := 0
	for {
		select {
		case <-conn.Ended():
			return
		case o := <-s.renewal:
			if o.err == nil {
				s.renewal <- o // for next
				return
			}
			s.renewal = nil
			s.b.cfg.Counters.ConnectFailures.Add(1)
			refused++
			renew = time.Now().Add(spread(connection.RefusedPause(refused)))
		default:
		}
		if !expires.IsZero() {
			switch now := time.Now(); {
			case !now.Before(expires):
				return // before the broker does it, with a request under way
			case !now.Before(renew) && s.renewal == nil:
				s.renewSession()
			}
		}
		if s.doubt && s.moved(conn.Address()) {
			return
		}
		if wait := s.b.mutedFor(); wait > 0 {
			s.timer.Reset(wait)
			select {
			case <-s.timer.C:
			case <-conn.Ended():
			}
			continue
		}
		if s.work(conn) != nil {
			return
		}
		if s.gather() {
			if s.exchange(conn) != nil {
				return
			}
			runtime.Gosched() // callers that got a verdict may have the next message ready
			continue
		}
		idle := keepAlive - time.Since(s.used)
		if !expires.IsZero() {
			idle = min(idle, time.Until(expires))
			if s.renewal == nil {
				idle = min(idle, time.Until(renew))
			}
		}
		s.timer.Reset(idle)
		select {
		case <-s.wake:
			runtime.Gosched() // callers that are about to write share the request
		case <-conn.Ended():
		case <-s.timer.C:
			if time.Since(s.used) < keepAlive {
				continue // the session expires
			}
			if _, err := conn.RoundTrip(new(apiversions.Request), s.b.cfg.WriteTimeout); err != nil {
				return
			}
			s.used, s.served = time.Now(), true
		}
	}
}

// moved reports whether the broker has another address by now. Another broker may answer at the old
// one, so a connection to it need not end.
func (s *Sender) moved(from string) bool {
	address, ok := s.b.directory.Address(s.b.id)
	return ok && address != from
}

// gather makes a request of the batches of the listed partitions. It reports whether there is any.
func (s *Sender) gather() bool {
	s.mu.Lock()
	ready := s.ready
	s.ready = s.spare[:0]
	s.mu.Unlock()
	size := 0
	for i, p := range ready {
		bytes, alone := p.prepare(s, len(s.req.items) == 0)
		if bytes == nil {
			continue
		}
		s.req.items = append(s.req.items, item{p: p, bytes: bytes})
		if size += len(bytes); alone || size > s.b.cfg.RequestBytes-s.b.cfg.BatchBytes {
			s.mu.Lock()
			s.ready = slices.Insert(s.ready, 0, ready[i+1:]...) // before those that came since
			s.mu.Unlock()
			break
		}
	}
	clear(ready)
	s.spare = ready[:0]
	return len(s.req.items) > 0
}

// exchange sends the request and hands the answers to the partitions. An error means that the
// connection has ended.
func (s *Sender) exchange(conn *connection.Conn) error {
	cfg := s.b.cfg
	version, _ := conn.Version(protocol.Produce) // connect has checked it
	s.req.encode(conn, version, cfg.Acks, time.Duration(float64(cfg.WriteTimeout)*timeoutShare))
	defer s.req.reset()
	cfg.Counters.Requests.Add(1)
	s.used, s.doubt = time.Now(), false
	if cfg.Mode == core.Unanswered {
		written, err := conn.Send(s.req.frame, cfg.WriteTimeout)
		cfg.Counters.RequestTime.observe(int64(time.Since(s.used)))
		for _, it := range s.req.items {
			s.after(it.p.sent(s, written, err))
			s.complete(it.p)
		}
		return err
	}
	body, written, err := conn.Exchange(s.req.frame, cfg.WriteTimeout)
	cfg.Counters.RequestTime.observe(int64(time.Since(s.used)))
	if err != nil {
		s.lose(written, err)
		return err
	}
	// The throttle time is the last field of the answer, and is applied first: a caller that has its
	// verdict may at once send on another connection.
	throttle, _ := decode(version, body, func([]byte, int32, answer) {})
	s.b.throttle(throttle)
	next, seen := 0, 0
	_, err = decode(version, body, func(topic []byte, partition int32, a answer) {
		if seen++; seen > len(s.req.items) {
			return // more than was asked
		}
		for range s.req.items { // they come in the order of the request
			it := &s.req.items[next]
			next = (next + 1) % len(s.req.items)
			if !it.answered && it.p.number == partition && it.p.topic == string(topic) {
				it.answered = true
				s.after(it.p.answered(s, a))
				s.complete(it.p)
				return
			}
		}
	})
	s.lose(true, ErrNoPartition)
	if err != nil {
		return err
	}
	s.served = true
	s.answered()
	return nil
}

// complete runs the completions of a partition's last answer.
func (s *Sender) complete(p *Partition) {
	if s.b.cfg.Completer == nil {
		return
	}
	s.completing.Store(true)
	defer s.completing.Store(false)
	p.complete()
}

// ErrNoPartition is the error of an answer that lacks a partition of the request.
var ErrNoPartition = errors.New("the broker's answer lacks the partition that was asked about")

// lose reports to the partitions without an answer that none will come.
func (s *Sender) lose(written bool, err error) {
	for i := range s.req.items {
		if it := &s.req.items[i]; !it.answered {
			it.answered = true
			s.after(it.p.lost(s, written, err))
			s.complete(it.p)
		}
	}
}

// after does what an attempt requires next.
func (s *Sender) after(refresh, again bool, to *Sender) {
	if refresh {
		s.doubt = true
		s.b.directory.Refresh()
	}
	if again {
		s.b.cfg.Counters.Retries.Add(1)
	}
	if to != nil && to != s {
		to.signal()
	}
}
