package fsmhttp

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/oneline"
	"github.com/seed3893aba4/surestart/internal/pings"
)

// Ready returns a handler that answers 200 if each source of the page is Started, and 503
// otherwise. The answer has the Status of each source, and why it is not ready. Without
// sources the answer is 200.
//
// If a Source has a method Ping(context.Context) error, as a *producer.Producer has, the
// source must also answer pings. A ping that fails or takes longer than 5 s is reported. Only
// the third failure in a row within one start makes the answer 503. An error with a method
// Partial() bool that returns true, as producer.ErrPartial has, is reported but is not a
// failure.
//
// Requests share pings: at most one in 5 s for each source. A request without a ping of the
// last 5 s waits for the next one, for at most 5.5 s or until its context ends. The page must
// not be written to after the call of Ready.
func Ready(p Page) http.Handler {
	r := &readiness{page: p, pings: make(map[string]*pings.Judge)}
	for name, s := range p {
		if _, ok := s.(pinger); ok {
			r.pings[name] = new(pings.Judge)
		}
	}
	return r
}

type pinger interface{ Ping(context.Context) error }

type readiness struct {
	page  Page
	pings map[string]*pings.Judge // of the sources that have a Ping
}

// A report is Ready's result for one source.
type report struct {
	Ready   bool       `json:"ready"`
	Problem string     `json:"problem,omitempty"` // of the ping; that a source is not Started is in Status
	Pinged  string     `json:"pinged,omitempty"`  // how long ago
	Status  fsm.Status `json:"status"`
}

func (r *readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	answer(w, req, func() view { return r.view(req.Context()) })
}

func (r *readiness) view(ctx context.Context) view {
	names := slices.Sorted(maps.Keys(r.page))
	reports := make([]report, len(names))
	var reporting sync.WaitGroup
	for i, name := range names {
		reporting.Go(func() { reports[i] = r.report(ctx, name) })
	}
	reporting.Wait()

	v := view{title: "Ready", class: "good", table: true, code: http.StatusOK, lines: []string{"ready"}}
	all := make(map[string]report, len(names))
	for i, name := range names {
		x, verdict := reports[i], "ready"
		if !x.Ready {
			v.title, v.class, v.code, v.lines[0], verdict = "Not ready", "bad", http.StatusServiceUnavailable, "not ready", "not ready"
		}
		row := newRow(name, x.Status)
		row.Verdict, row.Problem = verdict, oneline.Line(x.Problem)
		v.rows, all[name] = append(v.rows, row), x
		line := fmt.Sprintf("%s: %s: %v", oneline.Escape(name), verdict, x.Status)
		if x.Problem != "" {
			line += "; ping: " + oneline.Escape(x.Problem)
		}
		v.lines = append(v.lines, line)
	}
	v.object = map[string]any{"ready": v.code == http.StatusOK, "lifecycles": all}
	return v
}

func (r *readiness) report(ctx context.Context, name string) report {
	x := report{Status: r.page.status(name)}
	x.Ready = x.Status.State == fsm.Started
	judge := r.pings[name]
	if judge == nil || !x.Ready {
		return x
	}
	j, ok := judge.Ask(ctx, x.Status.Attempt, r.page[name].(pinger).Ping)
	if !ok {
		x.Ready, x.Problem = false, "the request ended before the ping"
		return x
	}
	x.Status = r.page.status(name) // it may have been stopped meanwhile
	x.Ready = j.OK && x.Status.State == fsm.Started
	x.Pinged = j.Age.Round(time.Millisecond).String()
	switch {
	case j.Err == nil:
	case j.Partial:
		x.Problem = oneline.Text(j.Err)
	default:
		x.Problem = fmt.Sprintf("%d in a row failed: %s", j.Failures, oneline.Text(j.Err))
	}
	return x
}
