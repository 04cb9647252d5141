// Package sender sends the messages of a producer: it has the queues of the partitions, their
// batches under way, and for each broker a few senders, each with a connection and one request
// under way.
//
// Package core decides the verdicts, the sequences and epochs, and what is sent again. Here are
// the bytes, the connections, the times, and the calls that wait.
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

// A Sender has a connection to a broker, and sends the batches of the partitions on its list,
// those that are there together in one request.
type Sender struct {
	b    *Broker
	ctx  context.Context
	wake chan struct{} // of capacity 1

	first    chan struct{} // closed after the first attempt to connect
	firstErr error
	down     atomic.Pointer[error] // why it has no connection; nil: it has one, or makes its next
	up       atomic.Bool           // it has a connection

	mu    sync.Mutex // taken after a partition's
	ready []*Partition
	jobs  []*Job
	ping  *Job // of all Pings since its predecessor was taken; nil: there is none

	// Of run.
	req   request
	spare []*Partition
	timer *time.Timer
	used  time.Time // when the connection was last used
}

const (
	// keepAlive is after how long an idle connection is used all the same: a broker closes
	// idle ones after ten minutes by default.
	keepAlive = 4 * time.Minute
	// timeoutShare is the share of the WriteTimeout that a broker has for its answer.
	timeoutShare = 0.8
)

func (s *Sender) list(p *Partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = append(s.ready, p)
}

// unlist reports whether p was listed.
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

// Wake makes the sender look at its list.
func (s *Sender) Wake() { s.signal() }

func (s *Sender) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run connects, and serves the connection, until the context ends.
func (s *Sender) run() {
	s.timer = time.NewTimer(time.Hour)
	defer s.timer.Stop()
	defer func() { s.tried(context.Cause(s.ctx)) }()
	for failed, refused := 0, 0; s.ctx.Err() == nil; {
		conn, err := s.connect()
		if err != nil {
			s.tried(err)
			s.down.Store(&err)
			s.endJobs(err)
			if s.ctx.Err() != nil {
				break
			}
			failed++
			s.b.cfg.Counters.ConnectFailures.Add(1)
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
			continue
		}
		failed, refused = 0, 0
		s.down.Store(nil)
		stop := context.AfterFunc(s.ctx, conn.Close)
		s.b.cfg.Counters.Open.Add(1)
		s.up.Store(true)
		s.tried(nil)
		s.serve(conn)
		s.up.Store(false)
		s.b.cfg.Counters.Open.Add(-1)
		stop()
		conn.Close()
		<-conn.Done()
		if s.ctx.Err() == nil {
			s.b.directory.Refresh()
		}
	}
	s.drop()
}

// tried notes what became of the first attempt to connect.
func (s *Sender) tried(err error) {
	select {
	case <-s.first:
	default:
		s.firstErr = err
		close(s.first)
	}
}

func (s *Sender) connect() (*connection.Conn, error) {
	address, ok := s.b.directory.Address(s.b.id)
	if !ok {
		return nil, fmt.Errorf("the cluster has no broker %d any more", s.b.id)
	}
	conn, err := connection.Open(s.ctx, s.b.connection, address, false)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Version(protocol.Produce); err != nil {
		conn.Close()
		<-conn.Done()
		return nil, err
	}
	s.b.cfg.Counters.Connects.Add(1)
	return conn, nil
}

func (s *Sender) pause(d time.Duration) {
	s.timer.Reset(d)
	select {
	case <-s.timer.C:
	case <-s.ctx.Done():
	}
}

// drop lets the partitions on the list go when the sender ends. Those that have moved meanwhile are
// offered to their new one.
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

// serve sends until the connection or the context ends.
func (s *Sender) serve(conn *connection.Conn) {
	s.used = time.Now()
	for {
		select {
		case <-conn.Ended():
			return
		default:
		}
		expires := conn.Expires()
		if !expires.IsZero() && time.Until(expires) <= 0 {
			return // before the broker does it, with a request under way
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
		}
		s.timer.Reset(idle)
		select {
		case <-s.wake:
			runtime.Gosched() // callers that are about to write share the request
		case <-conn.Ended():
		case <-s.timer.C:
			if time.Since(s.used) < keepAlive {
				continue // the login expires
			}
			if _, err := conn.RoundTrip(new(apiversions.Request), s.b.cfg.WriteTimeout); err != nil {
				return
			}
			s.used = time.Now()
		}
	}
}

// gather makes a request of the batches of those partitions on the list that have one. It
// reports whether there is any.
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

// exchange sends the request and takes the answers to the partitions. An error is the end
// of the connection.
func (s *Sender) exchange(conn *connection.Conn) error {
	cfg := s.b.cfg
	version, _ := conn.Version(protocol.Produce) // connect has seen to it
	s.req.encode(conn, version, cfg.Acks, time.Duration(float64(cfg.WriteTimeout)*timeoutShare))
	defer s.req.reset()
	cfg.Counters.Requests.Add(1)
	s.used = time.Now()
	if cfg.Mode == core.Unanswered {
		written, err := conn.Send(s.req.frame, cfg.WriteTimeout)
		cfg.Counters.RequestTime.observe(int64(time.Since(s.used)))
		for _, it := range s.req.items {
			s.after(it.p.sent(s, written, err))
			it.p.complete()
		}
		return err
	}
	body, written, err := conn.Exchange(s.req.frame, cfg.WriteTimeout)
	cfg.Counters.RequestTime.observe(int64(time.Since(s.used)))
	if err != nil {
		s.lose(written, err)
		return err
	}
	// It stands at the end, and comes first: a caller that has its verdict may have the next message
	// for another connection.
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
				it.p.complete()
				return
			}
		}
	})
	s.lose(true, ErrNoPartition)
	if err != nil {
		return err
	}
	s.answered()
	return nil
}

// ErrNoPartition is why an answer is none.
var ErrNoPartition = errors.New("the broker's answer lacks the partition that was asked about")

// lose takes to the partitions that have no answer that there is none.
func (s *Sender) lose(written bool, err error) {
	for i := range s.req.items {
		if it := &s.req.items[i]; !it.answered {
			it.answered = true
			s.after(it.p.lost(s, written, err))
			it.p.complete()
		}
	}
}

// after follows up an attempt.
func (s *Sender) after(refresh, again bool, to *Sender) {
	if refresh {
		s.b.directory.Refresh()
	}
	if again {
		s.b.cfg.Counters.Retries.Add(1)
	}
	if to != nil && to != s {
		to.signal()
	}
}
