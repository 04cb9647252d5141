// Package fsmhttp has handlers for the liveness, the readiness and the status of lifecycles.
//
//	page := fsmhttp.Page{"orders": producer, "database": lifecycle}
//	mux.HandleFunc("GET /livez", fsmhttp.Live)      // the process answers
//	mux.Handle("GET /readyz", fsmhttp.Ready(page))  // each resource is open, and answers its Ping if it has one
//	mux.Handle("GET /statusz", page)                // for people
//
// Each handler answers with JSON, HTML or text, as the Accept header of the request prefers.
// Ready and Page show the texts of errors, with the names of hosts and parts: do not serve
// them to the public. The errors of this module contain no secrets; the errors of your own
// open function contain what you put into them.
package fsmhttp

import (
	"bytes"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/oneline"
)

// A Source has a Status to show: a *fsm.Lifecycle, a *producer.Producer, or a wrapper.
type Source interface{ Status() fsm.Status }

// A Page is an http.Handler that shows the Status of each of its sources, by name. It answers
// with an object (application/json), a page that reloads itself (text/html), or one line for
// each source (text/plain). The Accept header of the request selects the type; the default is
// JSON. The answer is 200 in every state. ServeHTTP does not block. It may be called
// concurrently, but not while the map is written to. A nil Page shows no sources. If a source
// is nil, or its Status panics, the page shows the panic as its cause.
//
// The HTML reloads every 5 seconds. The query ?refresh=N changes that to N seconds, and
// ?refresh=0 turns it off.
type Page map[string]Source

// ServeHTTP implements http.Handler. Methods other than GET and HEAD get 405.
func (p Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer(w, r, func() view {
		v := view{title: "Lifecycles", table: true, code: http.StatusOK}
		all := make(map[string]fsm.Status, len(p))
		for _, name := range slices.Sorted(maps.Keys(p)) {
			s := p.status(name)
			all[name] = s
			v.rows = append(v.rows, newRow(name, s))
			v.lines = append(v.lines, oneline.Escape(name)+": "+s.String())
		}
		v.object = all
		return v
	})
}

// Live is an http.HandlerFunc that always answers 200: the answer shows that the process
// lives. It reads no lifecycle: to restart the process helps neither if a dependency is
// down, nor if the program itself has stopped a resource.
func Live(w http.ResponseWriter, r *http.Request) {
	answer(w, r, func() view {
		return view{title: "Live", class: "good", code: http.StatusOK, lines: []string{"live"}, object: map[string]bool{"live": true}}
	})
}

// A view is an answer in its three forms.
type view struct {
	code         int
	title, class string // of the HTML
	table        bool   // the HTML shows the rows
	rows         []row
	lines        []string // of the text
	object       any      // of the JSON
}

func answer(w http.ResponseWriter, r *http.Request, look func() view) {
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
	v := look()
	var body bytes.Buffer
	if err := v.write(&body, contentType, r.URL.Query().Get("refresh")); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", contentType+"; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(v.code)
	if r.Method == http.MethodGet {
		w.Write(body.Bytes())
	}
}

func (v view) write(to *bytes.Buffer, contentType, refresh string) error {
	switch contentType {
	case asHTML:
		return v.html(to, refresh)
	case asText:
		for _, line := range v.lines {
			to.WriteString(line + "\n")
		}
		return nil
	default:
		e := json.NewEncoder(to)
		e.SetIndent("", "  ")
		return e.Encode(v.object)
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

// preferred returns the content type that an Accept header prefers. Among equals, and if the
// header mentions none of them, JSON comes before HTML, and HTML before text.
func preferred(accept string) string {
	best, bestQ := asJSON, -1.0
	for _, offer := range []string{asJSON, asHTML, asText} {
		if q := quality(accept, offer); q > bestQ {
			best, bestQ = offer, q
		}
	}
	return best
}

// quality returns the quality of the offer: the one of the header's most specific range.
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
