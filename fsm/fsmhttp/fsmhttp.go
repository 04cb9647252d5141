// Package fsmhttp shows what lifecycles are doing, to a person and to a program.
//
//	mux.Handle("/debug/lifecycles", fsmhttp.Page{"orders": producer, "database": lifecycle})
//
// It is for people who look, not for an orchestrator that decides: for a producer that
// is package health. Causes are told as the errors say them, hosts and parts by name: the
// page is not for the world to see. The errors of this module hold no secret;
// those that an open of yours returns hold what you put into them.
package fsmhttp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/oneline"
)

// A Source is what is shown: a *fsm.Lifecycle, a *producer.Producer, or what wraps one.
type Source interface{ Status() fsm.Status }

// A Page is an http.Handler that shows the Status of each of its sources, by name:
// as application/json, an object of them; as text/html, a table; or as text/plain, a
// line for each. The request's Accept header decides; whoever has no preference
// gets JSON. The answer is 200 whatever their states. It does not block, and may be
// asked concurrently while nobody writes to the map. A nil Page shows none. Where a
// source is nil, or its Status panics, the panic stands as its cause.
type Page map[string]Source

// ServeHTTP implements http.Handler. Methods other than GET and HEAD get 405.
func (p Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "GET or HEAD", http.StatusMethodNotAllowed)
		return
	}
	contentType := preferred(strings.Join(r.Header.Values("Accept"), ","))
	var body bytes.Buffer
	if err := p.write(&body, contentType); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", contentType+"; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	if r.Method == http.MethodGet {
		w.Write(body.Bytes())
	}
}

func (p Page) write(to *bytes.Buffer, contentType string) error {
	names := slices.Sorted(maps.Keys(p))
	switch contentType {
	case asHTML:
		now := time.Now()
		rows := make([]row, 0, len(names))
		for _, name := range names {
			s := p.status(name)
			lasted := now.Sub(s.Since)
			if lasted > time.Minute {
				lasted = lasted.Truncate(time.Second)
			}
			r := row{Name: name, Status: s, For: lasted.Truncate(time.Millisecond), Since: s.Since.Format(time.RFC3339)}
			if !s.RestartAt.IsZero() {
				r.Again = s.RestartAt.Format(time.RFC3339)
			}
			if s.Cause != nil {
				r.Why = oneline.Text(s.Cause)
			}
			rows = append(rows, r)
		}
		return table.Execute(to, rows)
	case asText:
		for _, name := range names {
			fmt.Fprintf(to, "%s: %v\n", oneline.Escape(name), p.status(name))
		}
		return nil
	default:
		all := make(map[string]fsm.Status, len(p))
		for _, name := range names {
			all[name] = p.status(name)
		}
		e := json.NewEncoder(to)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
}

func (p Page) status(name string) (s fsm.Status) {
	defer func() {
		if v := recover(); v != nil {
			s = fsm.Status{Cause: &fsm.PanicError{Value: v}}
		}
	}()
	return p[name].Status()
}

const (
	asJSON = "application/json"
	asHTML = "text/html"
	asText = "text/plain"
)

// preferred is the content type that an Accept header wants most; of those that it
// wants alike, and of those that it does not mention, JSON before HTML before text.
func preferred(accept string) string {
	best, bestQ := asJSON, -1.0
	for _, offer := range []string{asJSON, asHTML, asText} {
		if q := quality(accept, offer); q > bestQ {
			best, bestQ = offer, q
		}
	}
	return best
}

// quality is how much the header wants the offer: what its most specific range says.
func quality(accept, offer string) (q float64) {
	kind, _, _ := strings.Cut(offer, "/")
	specific := 0
	for part := range strings.SplitSeq(accept, ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		how := map[string]int{"*/*": 1, kind + "/*": 2, offer: 3}[media]
		if how <= specific {
			continue
		}
		specific, q = how, 1
		if text, ok := params["q"]; ok {
			q, _ = strconv.ParseFloat(text, 64)
		}
	}
	return q
}

type row struct {
	Name string
	fsm.Status
	For   time.Duration // how long it has been in its state
	Since string        // when it came into it
	Again string        // when it is started again; "" if it is not
	Why   string        // the text of Cause
}

var table = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Lifecycles</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em }
table { border-collapse: collapse }
th, td { text-align: left; vertical-align: top; padding: .3em 1em; border-bottom: 1px solid #ccc }
td { overflow-wrap: anywhere }
.Started { color: #06702f } .Starting, .Stopping { color: #8a5a00 } .Idle, .Closed { color: #555 }
</style>
<h1>Lifecycles</h1>
<table>
<tr><th>name<th>state<th>for<th>attempt<th>held<th>in flight<th>waiting<th>undelivered<th>cause
{{range .}}<tr><td>{{.Name}}<td class="{{.State}}">{{.State}}{{with .Acquiring}}, acquiring {{.}}{{end}}{{with .Releasing}}, releasing {{.}}{{end}}{{with .Again}}, starts again at {{.}}{{end}}<td title="{{.Since}}">{{.For}}<td>{{.Attempt}}
<td>{{range $i, $part := .Held}}{{if $i}}, {{end}}{{$part}}{{end}}<td>{{.InFlight}}<td>{{.Waiters}}<td>{{.Undelivered}}<td>{{.Why}}
{{else}}<tr><td colspan="9">none
{{end}}</table>
</html>
`))
