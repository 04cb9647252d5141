package fsmhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/fsmhttp"
)

func ExampleReady() {
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil })
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", fsmhttp.Live)
	mux.Handle("GET /readyz", fsmhttp.Ready(fsmhttp.Page{"answer": l}))

	show := func(path string) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		fmt.Println(path, w.Code)
	}
	show("/livez")
	show("/readyz")
	l.Start(context.Background())
	show("/readyz")
	// Output:
	// /livez 200
	// /readyz 503
	// /readyz 200
}

// A pinged source has a Ping.
type pinged struct {
	still
	ping  func(context.Context) error
	pings atomic.Int64
}

func (p *pinged) Ping(ctx context.Context) error {
	p.pings.Add(1)
	return p.ping(ctx)
}

type partial struct{ error }

func (partial) Partial() bool { return true }

type readiness struct {
	Ready      bool
	Lifecycles map[string]struct {
		Ready           bool
		Problem, Pinged string
		Status          struct{ State, Cause string }
	}
}

// ready returns the status code and the JSON of Ready.
func ready(t *testing.T, h http.Handler) (code int, r readiness) {
	t.Helper()
	res := get(t, h, "GET")
	if err := json.Unmarshal([]byte(body(t, res)), &r); err != nil {
		t.Fatal(err)
	}
	if r.Ready != (res.StatusCode == 200) || !r.Ready && res.StatusCode != 503 {
		t.Errorf("status %d of %+v", res.StatusCode, r)
	}
	return res.StatusCode, r
}

// Ready is 200 while each source is Started, in no other state, and without sources.
func TestReadyNeedsEachSource(t *testing.T) {
	for state := fsm.Idle; state <= fsm.Closed; state++ {
		code, r := ready(t, fsmhttp.Ready(fsmhttp.Page{"database": still{State: fsm.Started}, "orders": still{State: state, Cause: errors.New("refused")}}))
		want := state == fsm.Started
		if (code == 200) != want || !r.Lifecycles["database"].Ready || r.Lifecycles["orders"].Ready != want || r.Lifecycles["orders"].Status.State != state.String() || r.Lifecycles["orders"].Status.Cause != "refused" {
			t.Errorf("%v: %d %+v", state, code, r)
		}
	}
	if code, _ := ready(t, fsmhttp.Ready(nil)); code != 200 {
		t.Errorf("without sources: %d", code)
	}
	if code, r := ready(t, fsmhttp.Ready(fsmhttp.Page{"nothing": nil})); code != 503 || !strings.Contains(r.Lifecycles["nothing"].Status.Cause, "nil pointer") {
		t.Errorf("a source that panics: %d %+v", code, r)
	}
}

// Ready is 503 once three Pings in a row have failed; an error that is Partial is none, nor
// are the failures of another start. Requests share pings, and sources do not.
func TestReadyPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		orders := &pinged{still: still{State: fsm.Started, Attempt: 1}}
		calm := &pinged{still: still{State: fsm.Started, Attempt: 1}, ping: func(context.Context) error { return nil }}
		h := fsmhttp.Ready(fsmhttp.Page{"orders": orders, "calm": calm})
		bad := errors.New("no answer")
		for i, step := range []struct {
			err  error
			code int
		}{
			{nil, 200}, {bad, 200}, {bad, 200}, {nil, 200}, {bad, 200}, {bad, 200}, {bad, 503}, {bad, 503}, {nil, 200},
			{bad, 200}, {bad, 200}, {fmt.Errorf("ping: %w", partial{bad}), 200}, {bad, 200}, {bad, 200}, {bad, 503},
		} {
			orders.ping = func(context.Context) error { return step.err }
			for range 5 {
				code, r := ready(t, h)
				if code != step.code || (r.Lifecycles["orders"].Problem == "") != (step.err == nil) || r.Lifecycles["orders"].Pinged == "" || !r.Lifecycles["calm"].Ready {
					t.Errorf("step %d: %d %+v; want %d", i, code, r, step.code)
				}
				time.Sleep(time.Second)
			}
			if n := orders.pings.Load(); int(n) != i+1 {
				t.Errorf("step %d: %d pings", i, n)
			}
		}
		orders.Attempt = 2
		if code, r := ready(t, h); code != 200 {
			t.Errorf("after another start: %d %+v", code, r)
		}
		time.Sleep(5 * time.Second)
		orders.ping = func(context.Context) error { panic("a nil map") }
		if code, r := ready(t, h); code != 200 || r.Lifecycles["orders"].Problem != "2 in a row failed: panic: a nil map" {
			t.Errorf("a ping that panics: %d %+v", code, r)
		}
	})
}

// The pings of several sources run at the same time, for 5 s at most; a request that ends
// before has its answer at once.
func TestReadyWhenPingsHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		page := fsmhttp.Page{}
		for _, name := range []string{"a", "b", "c"} {
			page[name] = &pinged{still: still{State: fsm.Started}, ping: hang}
		}
		h := fsmhttp.Ready(page)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil).WithContext(ctx))
		if took := time.Since(began); w.Code != 503 || took != time.Second || !strings.Contains(w.Body.String(), "the request ended before the ping") {
			t.Errorf("an impatient request: %d after %v: %s", w.Code, took, w.Body)
		}
		var asking sync.WaitGroup
		for range 10 {
			asking.Go(func() {
				if code, r := ready(t, h); code != 200 || !strings.Contains(r.Lifecycles["b"].Problem, "deadline exceeded") {
					t.Errorf("%d %+v", code, r)
				}
			})
		}
		asking.Wait()
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("the answers came after %v", took)
		}
	})
}

// A source that is stopped during its ping is not ready.
func TestReadyWhileItStops(t *testing.T) {
	source := &pinged{still: still{State: fsm.Started}}
	source.ping = func(context.Context) error { source.State = fsm.Stopping; return nil }
	if code, r := ready(t, fsmhttp.Ready(fsmhttp.Page{"orders": source})); code != 503 || r.Lifecycles["orders"].Status.State != "Stopping" {
		t.Errorf("%d %+v", code, r)
	}
}

// Live and Ready also have a text and a page. Both show which source is not ready, and why.
func TestReadyForPeople(t *testing.T) {
	h := fsmhttp.Ready(fsmhttp.Page{"database": still{State: fsm.Started}, "orders\n": still{State: fsm.Idle, Cause: errors.New("<b>refused")},
		"queue": &pinged{still: still{State: fsm.Started}, ping: func(context.Context) error { return errors.New("slow\nbroker") }}})
	text := body(t, get(t, h, "GET", "text/plain"))
	for _, want := range []string{"not ready\ndatabase: ready: Started since", "\norders\\n: not ready: Idle since", "cause: <b>refused\nqueue: ready: Started", `; ping: 1 in a row failed: slow\nbroker` + "\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	r := get(t, h, "GET", "text/html")
	html := body(t, r)
	for _, want := range []string{"|Not ready|", "|ready|state|", "|not ready|Idle|", "|last error:|&lt;b&gt;refused|", "|orders\\n|", "|ping:|1 in a row failed: slow; broker|"} {
		if !strings.Contains(cells(html), want) {
			t.Errorf("no %q in\n%s", want, cells(html))
		}
	}
	if r.StatusCode != 503 {
		t.Error(r.Status)
	}
	for accept, want := range map[string]string{"application/json": `"live": true`, "text/plain": "live\n", "text/html": "<h1 class=\"good\">Live</h1>"} {
		if r := get(t, http.HandlerFunc(fsmhttp.Live), "GET", accept); r.StatusCode != 200 || !strings.Contains(body(t, r), want) {
			t.Errorf("Live as %s: %s", accept, r.Status)
		}
	}
}

// A page reloads itself, as often as its address says.
func TestReload(t *testing.T) {
	for query, want := range map[string]string{"": `content="5"`, "?refresh=30": `content="30"`, "?refresh=%22x": `content="5"`, "?refresh=-1": `content="5"`, "?refresh=0": ""} {
		r := httptest.NewRequest("GET", "/"+query, nil)
		r.Header.Set("Accept", "text/html")
		w := httptest.NewRecorder()
		page.ServeHTTP(w, r)
		got := w.Body.String()
		if strings.Contains(got, `http-equiv="refresh"`) != (want != "") || !strings.Contains(got, want) {
			t.Errorf("%q: want %q in\n%s", query, want, got)
		}
	}
}
