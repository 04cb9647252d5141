// Package health provides HTTP handlers for the liveness and readiness of a producer. Ready
// tolerates two failed Pings, so that a brief fault of the cluster does not make every instance
// of a service unready.
//
//	mux.Handle("/livez", health.Live(p))
//	mux.Handle("/readyz", health.Ready(p))
//
// Both answer with one line of JSON. It names brokers and topics, so do not expose it to the
// public. It contains no secret.
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

// Live returns a handler that always answers 200: the answer shows that the process lives. It uses
// neither the network nor a Ping, and does not block. To restart the process helps neither if the
// cluster cannot be reached, nor if the program has not started the producer or has stopped it.
func Live(p Producer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		report{OK: true, State: p.Status().State.String()}.write(w)
	})
}

// Ready returns a handler that answers 200 while the producer is Started and answers Pings,
// otherwise 503. A Ping that fails or takes longer than 5 s is reported. Only the third such Ping
// in a row within one start makes the answer 503; a Ping that succeeds makes it 200 again.
// Partitions without a leader are reported, but do not count as a failure (producer.ErrPartial).
//
// Requests share Pings: one at a time, and at most one in 5 s. A request without a Ping of the last
// 5 s waits for the next one, for at most 5.5 s or until its context ends. A goroutine runs only
// during a Ping.
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
