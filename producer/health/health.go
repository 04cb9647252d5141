// Package health provides HTTP handlers for the liveness and readiness of a producer. Ready
// tolerates two failed Pings, so that a brief fault of the cluster does not make every instance
// of a service unready.
//
//	mux.Handle("/livez", health.Live(p))
//	mux.Handle("/readyz", health.Ready(p))
//
// Both answer with a line of JSON. It names brokers and topics in plain text, so do not expose it
// to the public. It contains no secret.
package health

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/oneline"
	"github.com/seed3893aba4/surestart/internal/pings"
)

// A Producer is a *producer.Producer, or a wrapper of one.
type Producer interface {
	Status() fsm.Status
	Ping(context.Context) error
}

// A report is the answer of a handler.
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

// Live answers 200 whatever the producer does: an answer shows that the process lives. It uses
// neither the network nor a Ping, and does not block. A restart would not help against a cluster
// that cannot be reached, nor for a producer that the program has not started or has stopped.
func Live(p Producer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		report{OK: true, State: p.Status().State.String()}.write(w)
	})
}

// Ready answers 200 while the producer is Started and a Ping that began within the last 5 s
// succeeded, otherwise 503. The answer reports a Ping that failed or took longer than 5 s, but only
// the third such Ping in a row within one start makes it 503. A Ping that succeeds makes it 200
// again. Partitions without a leader are reported and do not count as a failure
// (producer.ErrPartial).
//
// Requests share Pings: one at a time, and at most one in 5 s. A request without a fresh Ping waits
// for the next one, until its context ends or for 5 s. A goroutine runs only during a Ping.
func Ready(p Producer) http.Handler { return &readiness{p: p} }

type readiness struct {
	p     Producer
	pings pings.Judge
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
	j, ok := r.pings.Ask(req.Context(), status.Attempt, r.p.Ping)
	if !ok {
		report{State: status.State.String(), Error: "the request ended before the ping"}.write(w)
		return
	}
	state := r.p.Status().State // it may have been stopped meanwhile
	answer := report{OK: state == fsm.Started && j.OK, State: state.String(), Pinged: j.Age.Round(time.Millisecond).String(), Failures: j.Failures}
	switch {
	case j.Err == nil:
	case j.Partial:
		answer.Partial = oneline.Text(j.Err)
	default:
		answer.Error = oneline.Text(j.Err)
	}
	answer.write(w)
}
