package otelfsm_test

import (
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	"pgregory.net/rapid"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/lives"
)

// Random lives: whatever is done to a lifecycle, the metrics and the spans have what a
// plain observer beside them saw, and the gauges are the status.
func TestSeesWhatHappened(t *testing.T) {
	led, transitions, retries, spans := 0, 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			o := newLab(t)
			book := lives.Lead(t, func(l *fsm.Lifecycle[int]) { o.Watch(l) }, func(b *lives.Book) { b.Check(t, o.values()) }, o.Option())
			seen := make(map[string]int)
			for _, s := range o.spans.Ended() {
				kind, _, _ := strings.Cut(s.Name(), " ")
				seen[kind]++
				if s.Status().Code == codes.Error {
					seen[kind+" in error"]++
				}
				for _, e := range s.Events() {
					seen[e.Name]++
				}
			}
			for name, want := range map[string]int{
				"start": book.Attempts(), "stop": book.Stops(), "retry": book.Retries(), "try again": book.Tries(),
			} {
				if seen[name] != want {
					t.Fatalf("%q was seen %d times in the spans; want %d, of %v", name, seen[name], want, seen)
				}
			}
			if n := seen["start in error"]; n < book.Failures() || n > book.Failures()+book.Releases() { // a release that fails is one, too
				t.Fatalf("%d starts are in error; %d failed, as did %d releases", n, book.Failures(), book.Releases())
			}
			led++
			transitions += book.Transitions()
			retries += book.Retries()
			spans += len(o.spans.Ended())
		})
	})
	t.Logf("CHECKED otel random-lives=%d transitions=%d retries=%d spans=%d", led, transitions, retries, spans)
}
