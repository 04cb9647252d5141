package browser_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/fsmhttp"
	"github.com/seed3893aba4/surestart/verify/internal/browser"
)

// A source whose Status does not change, and whose Ping fails.
type source fsm.Status

func (s source) Status() fsm.Status { return fsm.Status(s) }

func (s source) Ping(context.Context) error {
	return errors.New("producer: ping: broker 2 at kafka-2.example.com:9092: connection refused")
}

// The pages of fsmhttp in a browser: each resource with its problem can be read.
func TestStatusInABrowser(t *testing.T) {
	now := time.Now()
	page := fsmhttp.Page{
		"database": source{State: fsm.Started, Since: now.Add(-3 * time.Hour), Attempt: 2, InFlight: 14, Held: []string{"connection pool", "listener"}},
		"registry": source{State: fsm.Idle, Attempt: 7, Since: now.Add(-time.Minute), RestartAt: now.Add(time.Minute),
			Cause: errors.New(`fsm: start: attempt 7: registry: Get "https://registry.internal.example.com:8081/subjects": dial tcp 10.1.2.3:8081: connect: connection refused`)},
		"web":    source{State: fsm.Starting, Acquiring: "listener", Attempt: 1, Since: now},
		"worker": source{State: fsm.Stopping, Releasing: "queue", Attempt: 1, Since: now, Waiters: 2},
		"old":    source{State: fsm.Closed, Attempt: 1, Since: now},
	}
	b, looked := browser.Start(t), 0
	for name, h := range map[string]http.Handler{"status": page, "ready": fsmhttp.Ready(page), "live": http.HandlerFunc(fsmhttp.Live)} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept", "text/html")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		file := filepath.Join(t.TempDir(), name+".html")
		if err := os.WriteFile(file, w.Body.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		wrong, words := b.Readable(file)
		for _, wrong := range wrong {
			t.Errorf("%s: %s", name, wrong)
		}
		looked += words
	}
	fmt.Printf("CHECKED browser status pages=3 words=%d\n", looked)
}
