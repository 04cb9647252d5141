package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/producer"
	"github.com/seed3893aba4/surestart/spec"
)

// Promises about time. The patience of the stop over a broker that hangs is less
// than what is promised, so that the promise is about the return, not the context.
const (
	stopPatience = 1500 * time.Millisecond
	stopPromise  = 2 * time.Second
	stopLimit    = 3 * time.Second // after this the storm goes on without a Stop that does not return
	hangGuard    = 60 * time.Second
	stallGuard   = 10 * time.Second // no message is acknowledged for so long: it never will be
)

// Column is what one system did in the storm.
type Column struct {
	Name string `json:"name"`

	Opens      int64 `json:"opens"`       // counted by the broker, while the crowd started it
	Reopens    int64 `json:"reopens"`     // the same, of the two times that it was started again
	ToldEarly  int   `json:"told_early"`  // "ok" before anything was open
	Denied     int   `json:"denied"`      // patient callers that were not told "ok" though the broker worked
	StateAfter bool  `json:"idle_after"`  // idle after each failed start and each stop; of a naive flag nothing is known
	Legal      bool  `json:"legal"`       // every transition is in the specification's table
	Drained    bool  `json:"drained"`     // the stop over a broker that works ended without an error
	CutOff     int   `json:"cut_off"`     // messages that the forced stop says it cut off
	InFlight   int64 `json:"in_flight"`   // messages in flight when the broker hung and Stop was called
	DrainTime  int64 `json:"drain_ms"`    // of the stop over a broker that works
	HungTime   int64 `json:"hung_ms"`     // of the stop over a broker that hangs
	HungEnded  bool  `json:"hung_ended"`  // it returned at all, within the limit
	Conns      int   `json:"connections"` // open after a stop, by the broker's socket table: the most of several looks
	Goroutines int   `json:"goroutines"`  // left after a stop: the most of several looks

	Messages     int `json:"messages"`
	Acknowledged int `json:"acknowledged"`
	Found        int `json:"found"`
	Lost         int `json:"lost"`
	Duplicates   int `json:"duplicates"`

	Stuck string `json:"stuck,omitempty"` // why it did not get through; then what is 0 was not counted
}

// A storm is one run of one system through all that can happen.
type storm struct {
	cfg     Config
	cl      *cluster
	sys     system
	state   func() fsm.State // nil: not known
	screen  *Screen
	journal *journal
	load    *load
	log     reader
	from    offsets // where the log ended before the first message
	base    int     // goroutines that were there before
	key     uint16  // of the request by which its openings are counted
	col     Column
}

// stuck is a system that did not get through the storm.
type stuck struct{ error }

// rage runs all acts and reads everything back.
func (s *storm) rage(ctx context.Context, run string) (Column, error) {
	s.col.StateAfter, s.col.Legal = true, true
	if err := s.cl.set(down); err != nil { // and with it whatever an earlier run left open
		return s.col, err
	}
	s.base = goroutines()
	s.load = newLoad(s.sys, run, s.cfg.Messages)
	s.load.limit = s.cfg.Messages * 9 / 10 // until act 5
	s.col.Messages = s.cfg.Messages

	var sending sync.WaitGroup
	sendCtx, stopSending := context.WithCancel(ctx)
	defer func() {
		stopSending()
		s.load.abandon()
		sending.Wait()
	}()
	send := func() {
		for range writers {
			sending.Go(func() { s.load.write(sendCtx) })
		}
	}

	s.log = reader{s.cl.direct, s.cl.topic}
	acts := []func(context.Context) error{
		s.refused,
		s.ignored,
		s.woken,
		func(ctx context.Context) (err error) {
			if s.from, err = s.log.ends(ctx); err != nil {
				return err
			}
			return s.interrupted(ctx, send)
		},
		s.hung,
		s.finished,
	}
	for _, act := range acts {
		if err := act(ctx); err != nil {
			return s.col, err
		}
		if err := context.Cause(ctx); err != nil {
			return s.col, err
		}
	}
	stopSending()
	s.load.abandon()
	sending.Wait()
	return s.col, s.readBack(ctx)
}

func (s *storm) readBack(ctx context.Context) error {
	copies := make([]uint8, s.cfg.Messages)
	err := s.log.read(ctx, s.from, func(value []byte) {
		if n, ok := sequence(s.load.run, value); ok && n >= 0 && n < len(copies) && copies[n] < 255 {
			copies[n]++
		}
	})
	for n := range copies {
		acked := s.load.acked[n].Load()
		if acked {
			s.col.Acknowledged++
		}
		if copies[n] > 0 {
			s.col.Found++
			s.col.Duplicates += int(copies[n]) - 1
		} else if acked {
			s.col.Lost++
		}
	}
	s.screen.note("franz-go, an independent client, reads back %s of %s: %s lost, %s twice.",
		Commas(s.col.Found), Commas(s.cfg.Messages), Commas(s.col.Lost), Commas(s.col.Duplicates))
	return err
}

// look counts what is left after a stop, and gives what is ending a moment. Both
// systems get the same moment.
func (s *storm) look(ctx context.Context) (conns, left int) {
	settle(ctx, 700*time.Millisecond, func() bool {
		conns, left = s.cl.open(), max(0, goroutines()-s.base)
		return conns == 0 && left == 0
	})
	s.col.Conns = max(s.col.Conns, conns)
	s.col.Goroutines = max(s.col.Goroutines, left)
	if s.state != nil && s.state() != spec.Idle && s.state() != spec.Closed {
		s.col.StateAfter = false
	}
	return conns, left
}

// opened is how many openings the broker has counted.
func (s *storm) opened() int64 {
	n, _ := s.cl.counts(s.key)
	return n
}

// answered is how many of the requests of openings the broker has answered.
func (s *storm) answered() int64 {
	_, n := s.cl.counts(s.key)
	return n
}

// timed runs a stop and measures it; false if it has not returned within limit.
func timed(limit time.Duration, stop func() error) (took time.Duration, err error, ended bool) {
	began := time.Now()
	done := make(chan error, 1)
	go func() { done <- stop() }()
	select {
	case err = <-done:
		return time.Since(began), err, true
	case <-time.After(limit):
		return limit, nil, false
	}
}

// A journal sees every transition: it shows them, and compares them with the
// specification's table.
type journal struct {
	screen *Screen

	mu    sync.Mutex
	last  fsm.State
	legal bool
	moved chan struct{}
}

func newJournal(screen *Screen) *journal {
	return &journal{screen: screen, legal: true, moved: make(chan struct{})}
}

func (j *journal) observe(t fsm.Transition) {
	j.mu.Lock()
	to, known := spec.Next(t.Event, t.From)
	j.legal = j.legal && known && to == t.To && t.From == j.last
	j.last = t.To
	close(j.moved)
	j.moved = make(chan struct{})
	j.mu.Unlock()
	j.screen.transition(t)
}

// settled waits until the journal has seen the transition into state: observers
// are told after the fact. It is for a tidy screen, and gives up after a second.
func (j *journal) settled(state fsm.State) {
	timeout := time.After(time.Second)
	for {
		j.mu.Lock()
		last, moved := j.last, j.moved
		j.mu.Unlock()
		if last == state {
			return
		}
		select {
		case <-moved:
		case <-timeout:
			return
		}
	}
}

// stopFailure is the producer's account of a forced stop, nil if err has none.
func stopFailure(err error) *producer.StopError {
	var e *producer.StopError
	if errors.As(err, &e) {
		return e
	}
	return nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// leftOpen says what a look has seen.
func leftOpen(conns, left int) string {
	if conns == 0 && left == 0 {
		return "Nothing is left open."
	}
	return fmt.Sprintf("Left: %s, %s.", plural(conns, "connection"), plural(left, "goroutine"))
}
