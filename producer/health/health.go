// Package health has the handlers that an orchestrator asks whether a producer is
// alive and whether it is ready, made so that a fault of the cluster does not take
// every instance of a service out at once.
//
//	mux.Handle("/livez", health.Live(p))
//	mux.Handle("/readyz", health.Ready(p))
//
// Both answer with a line of JSON. What is wrong is told there in plain text, brokers
// and topics by name: they are not for the world to see. No secret is.
package health

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/oneline"
	"github.com/seed3893aba4/surestart/producer"
)

const (
	// fresh is how old a Ping may be that readiness rests on, and how long one may take.
	fresh = 5 * time.Second
	// tolerated is how many Pings in a row may fail before readiness does.
	tolerated = 2
)

// A Producer is what the handlers ask: a *producer.Producer, or what wraps one.
type Producer interface {
	Status() fsm.Status
	Ping(context.Context) error
}

// A report is what a handler answers.
type report struct {
	OK       bool   `json:"ok"`
	State    string `json:"state"`
	Pinged   string `json:"pinged,omitempty"`   // how long ago
	Failures int    `json:"failures,omitempty"` // Pings in a row
	Partial  string `json:"partial,omitempty"`  // partitions without a leader
	Error    string `json:"error,omitempty"`
}

func (r report) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	if !r.OK {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	json.NewEncoder(w).Encode(r)
}

// Live answers 200 whatever the producer does: that it answers at all shows that the
// process lives. It touches neither the network nor a Ping, and does not block. A
// cluster that cannot be reached is not mended by a restart; what is not started
// yet, or stopped, is what the program wants.
func Live(p Producer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		report{OK: true, State: p.Status().State.String()}.write(w)
	})
}

// Ready answers 200 while the producer is Started and a Ping that began no more than
// 5 s ago went well, else 503. A Ping that failed, or took longer than 5 s, is told
// in the answer, but only the third in a row of the same start makes it 503, and one
// that goes well makes it 200 again. Partitions without a leader are told and are no
// failure (producer.ErrPartial).
//
// Requests share a Ping: there is one in 5 s at most, and one at a time. A request
// that comes when none is fresh waits for the next, until its context ends or for
// 5 s. No goroutine runs unless a Ping does.
func Ready(p Producer) http.Handler { return &readiness{p: p} }

type readiness struct {
	p Producer

	mu       sync.Mutex
	current  *round // the latest, which may be under way
	failures int    // in a row, of its attempt
}

// A round is one Ping.
type round struct {
	attempt uint64 // the start that it is of
	began   time.Time
	done    chan struct{}
	err     error // fixed when done
}

func (r *readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	status := r.p.Status()
	if status.State != fsm.Started {
		answer := report{State: status.State.String()}
		if status.Cause != nil {
			answer.Error = oneline.Text(status.Cause)
		}
		answer.write(w)
		return
	}
	latest := r.join(status.Attempt)
	select {
	case <-latest.done:
	case <-req.Context().Done():
		report{State: status.State.String(), Error: "the request ended before the ping"}.write(w)
		return
	}
	r.judge(latest).write(w)
}

// join returns a round that is fresh, or under way, of this attempt.
func (r *readiness) join(attempt uint64) *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.current; c != nil && c.attempt == attempt {
		if c.underWay() || time.Since(c.began) < fresh {
			return c
		}
	} else {
		r.failures = 0
	}
	c := &round{attempt: attempt, began: time.Now(), done: make(chan struct{})}
	r.current = c
	go r.ping(c)
	return c
}

func (c *round) underWay() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

func (r *readiness) ping(c *round) {
	ctx, cancel := context.WithTimeout(context.Background(), fresh)
	defer cancel()
	err := r.p.Ping(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	c.err = err
	if r.current == c {
		if err == nil || errors.Is(err, producer.ErrPartial) {
			r.failures = 0
		} else {
			r.failures++
		}
	}
	close(c.done)
}

func (r *readiness) judge(c *round) report {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := r.p.Status().State // it may have been stopped meanwhile
	answer := report{
		OK:       state == fsm.Started && r.failures <= tolerated,
		State:    state.String(),
		Pinged:   time.Since(c.began).Round(time.Millisecond).String(),
		Failures: r.failures,
	}
	switch {
	case c.err == nil:
	case errors.Is(c.err, producer.ErrPartial):
		answer.Partial = oneline.Text(c.err)
	default:
		answer.Error = oneline.Text(c.err)
	}
	return answer
}
