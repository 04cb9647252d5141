package fsmhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/fsmhttp"
	"github.com/seed3893aba4/surestart/producer"
)

func ExamplePage() {
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil })
	var source fsmhttp.Source = l          // a *producer.Producer is one, too
	page := fsmhttp.Page{"answer": source} // mux.Handle("/debug/lifecycles", page)

	l.Start(context.Background())
	w := httptest.NewRecorder()
	page.ServeHTTP(w, httptest.NewRequest("GET", "/debug/lifecycles", nil))
	var all map[string]struct{ State string }
	json.Unmarshal(w.Body.Bytes(), &all)
	fmt.Println(all["answer"].State)
	// Output: Started
}

// still is a source whose Status does not change.
type still fsm.Status

func (s still) Status() fsm.Status { return fsm.Status(s) }

var page = fsmhttp.Page{
	"orders": still{State: fsm.Stopping, Attempt: 3, Since: time.Date(2000, 1, 2, 3, 4, 5, 0, time.UTC), Waiters: 1, InFlight: 2,
		Held: []string{"transport", "writer"}, Releasing: "writer", Cause: errors.New("<script>alert('boom')</script>")},
	"database": still{State: fsm.Idle},
}

func get(t *testing.T, h http.Handler, method string, accept ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "/", nil)
	for _, a := range accept {
		r.Header.Add("Accept", a)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got := w.Header().Get("Cache-Control") + ", " + w.Header().Get("Vary") + ", " + w.Header().Get("X-Content-Type-Options"); got != "no-store, Accept, nosniff" {
		t.Errorf("headers %v", w.Header())
	}
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The Accept header decides the form.
func TestAccept(t *testing.T) {
	const asJSON, asHTML, asText = "application/json", "text/html", "text/plain"
	for accept, want := range map[string]string{
		"":                 asJSON,
		"*/*":              asJSON,
		"application/*":    asJSON,
		"application/json": asJSON,
		"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8": asHTML, // a browser's
		"text/*":                                 asHTML,
		"text/plain":                             asText,
		"text/plain, text/html;q=0.5":            asText,
		"text/html;q=0.2, text/plain;q=0.3":      asText,
		"text/html;q=0.9, */*;q=0.1":             asHTML,
		"*/*;q=0.9, application/json;q=0.1":      asHTML,
		"application/json;q=0, text/plain;q=0.1": asText,
		"image/png":                              asJSON, // it has none: better this than nothing
		"nonsense;;;, text/html;q=x, text/plain": asText,
		"TEXT/HTML":                              asHTML,
	} {
		if got := get(t, page, "GET", strings.Split(accept, ", ")...).Header.Get("Content-Type"); got != want+"; charset=utf-8" {
			t.Errorf("Accept %q: %s; want %s", accept, got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	r := get(t, page, "GET")
	var all map[string]map[string]any
	if err := json.Unmarshal([]byte(body(t, r)), &all); err != nil || r.StatusCode != 200 {
		t.Fatal(r.Status, err)
	}
	want := map[string]any{"state": "Stopping", "attempt": 3.0, "since": "2000-01-02T03:04:05Z", "waiters": 1.0, "inFlight": 2.0,
		"held": []any{"transport", "writer"}, "releasing": "writer", "cause": "<script>alert('boom')</script>"}
	if got := all["orders"]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v; want %v", got, want)
	}
	if got := all["database"]["state"]; got != "Idle" || len(all) != 2 {
		t.Errorf("%v of %d; want Idle of 2", got, len(all))
	}
}

func TestText(t *testing.T) {
	want := "database: Idle since 0001-01-01T00:00:00Z, attempt 0\n" +
		"orders: Stopping since 2000-01-02T03:04:05Z, attempt 3; held: transport, writer; releasing: writer; in flight: 2; waiting: 1; cause: <script>alert('boom')</script>\n"
	if got := body(t, get(t, page, "GET", "text/plain")); got != want {
		t.Errorf("%q; want %q", got, want)
	}
}

// Nothing that a source says becomes markup. SURESTART_PAGES is a directory to keep the page in, to look at.
func TestHTML(t *testing.T) {
	got := body(t, get(t, page, "GET", "text/html"))
	for _, want := range []string{"|orders|Stopping, releasing writer|", "|3|transport, writer|2|1|0|last error:|&lt;script&gt;", "|database|Idle|0|0|0|0|"} {
		if !strings.Contains(cells(got), want) {
			t.Errorf("%q is not in it", want)
		}
	}
	if strings.Contains(got, "<script") || strings.Index(got, "database") > strings.Index(got, "orders") {
		t.Errorf("a script, or out of order:\n%s", got)
	}
	if dir := os.Getenv("SURESTART_PAGES"); dir != "" {
		os.WriteFile(filepath.Join(dir, "lifecycles.html"), []byte(got), 0o644)
	}
	if got := body(t, get(t, fsmhttp.Page(nil), "GET", "text/html")); !strings.Contains(got, "none") {
		t.Errorf("without sources:\n%s", got)
	}
}

var tag = regexp.MustCompile(`(\s*<[^>]*>\s*)+`)

// cells is a page's text, with a bar between two cells.
func cells(page string) string { return tag.ReplaceAllString(page, "|") }

// onNil is an error whose Error panics on a nil pointer.
type onNil struct{ text string }

func (e *onNil) Error() string { return e.text }

// A source that is nil, or whose Status panics, hides no other: its panic is its cause.
func TestSourcesThatPanic(t *testing.T) {
	var none *fsm.Lifecycle[int]
	page := fsmhttp.Page{"good": still{State: fsm.Started}, "nil": nil, "a nil pointer": none, "zero": new(fsm.Lifecycle[int])}
	for accept, good := range map[string]string{"text/html": "good<td", "text/plain": "good: Started", "application/json": `"state": "Started"`} {
		r := get(t, page, "GET", accept)
		got := body(t, r)
		if r.StatusCode != 200 || !strings.Contains(got, good) || strings.Count(got, "nil pointer dereference") != 2 || strings.Count(got, "a zero Lifecycle: make one with New") != 1 {
			t.Errorf("%s: %s\n%s", accept, r.Status, got)
		}
	}
}

// Each of the three forms has the time of the next restart, and what has yet to be delivered. A
// time has no monotonic clock reading. A cause that cannot be printed does not fail the page. A
// text has a line for each source, whatever its name.
func TestWhatIsShown(t *testing.T) {
	var none *onNil
	now := time.Now()
	page := fsmhttp.Page{"a\nb\x1b[2J": still{State: fsm.Idle, Since: now, Cause: none, RestartAt: now.Add(time.Minute), Undelivered: 7}}
	again := now.Add(time.Minute).Format(time.RFC3339)
	for accept, want := range map[string][]string{
		"text/html":        {">Idle, starts again at " + again + "<td data-label=\"for\" class=\"number\" title=\"since " + now.Format(time.RFC3339) + "\">", ">7</td>", "</i> &lt;nil&gt;</td>"},
		"text/plain":       {"; cause: <nil>; starts again at " + again + "; undelivered: 7\n", `a\nb\x1b[2J: Idle since `},
		"application/json": {`"undelivered": 7`, `"cause": "\u003cnil\u003e"`, `"restartAt": "` + now.Add(time.Minute).Format("2006-01-02T15:04:05")},
	} {
		r := get(t, page, "GET", accept)
		got := body(t, r)
		for _, part := range want {
			if r.StatusCode != 200 || !strings.Contains(strings.ReplaceAll(got, "&#43;", "+"), part) {
				t.Errorf("%s: %s, no %q in\n%s", accept, r.Status, part, got)
			}
		}
		if strings.Contains(got, "m=") || strings.Contains(got, "m&#43;=") {
			t.Errorf("%s: a monotonic clock in\n%s", accept, got)
		}
		if accept == "text/plain" && strings.Count(got, "\n") != 1 {
			t.Errorf("%q; want one line", got)
		}
	}
}

func TestMethods(t *testing.T) {
	if r := get(t, page, "POST"); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %s %v", r.Status, r.Header)
	}
	whole := get(t, page, "GET")
	if r := get(t, page, "HEAD"); r.StatusCode != 200 || r.ContentLength != whole.ContentLength || body(t, r) != "" {
		t.Errorf("HEAD: %s, length %d; want %d and no body", r.Status, r.ContentLength, whole.ContentLength)
	}
}

// A producer whose broker is not there, with a password: the page says why it did
// not start, and not the password.
func TestNoSecret(t *testing.T) {
	const password = "hunter2-hunter2"
	p, err := producer.New(producer.Config{Brokers: []string{"127.0.0.1:1"}, Topic: "orders", StartTimeout: 10 * time.Second,
		SASL: producer.PlainFrom(func(context.Context) (string, string, error) { return "alice", password, nil })})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Start(context.Background()); err == nil {
		t.Fatal("it started without a broker")
	}
	for _, accept := range []string{"application/json", "text/html", "text/plain"} {
		got := body(t, get(t, fsmhttp.Page{"orders": p}, "GET", accept))
		if !strings.Contains(got, "127.0.0.1:1") || strings.Contains(got, password) {
			t.Errorf("want the broker, and no password, in:\n%s", got)
		}
	}
}

// No form of the page has characters that move a terminal's cursor or change the direction of text.
func TestWhatDoesNotPrintIsEscaped(t *testing.T) {
	const evil = "a\n\x1b[2J\u202e\xffz"
	page := fsmhttp.Page{evil: still{State: fsm.Stopping, Held: []string{evil}, Acquiring: evil, Releasing: evil, Cause: errors.New(evil)}}
	for _, h := range []http.Handler{page, fsmhttp.Ready(page), fsmhttp.Ready(fsmhttp.Page{"x": &pinged{still: still{State: fsm.Started}, ping: func(context.Context) error { return errors.New(evil) }}})} {
		for _, accept := range []string{"text/plain", "text/html"} {
			if got := body(t, get(t, h, "GET", accept)); strings.ContainsAny(got, "\x1b\u202e") || !utf8.ValidString(got) || !strings.Contains(got, `\x1b[2J\u202e\xffz`) {
				t.Errorf("%s: %q", accept, got)
			}
		}
	}
}
