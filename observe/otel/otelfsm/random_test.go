package otelfsm_test

import (
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	"pgregory.net/rapid"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/randomlife"
)

// Random lives: the metrics and the spans agree with a plain observer of the same lifecycle, and
// the gauges with its status.
func TestSeesWhatHappened(t *testing.T) {
	runs, transitions, retries, spans := 0, 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			o := newLab(t)
			journal := randomlife.Run(t, func(l *fsm.Lifecycle[int]) { o.Watch(l) }, func(b *randomlife.Journal) { b.Check(t, o.values()) }, o.Option())
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
				"start": journal.Attempts(), "stop": journal.Stops(), "retry": journal.Retries(), "try again": journal.Tries(),
			} {
				if seen[name] != want {
					t.Fatalf("%q was seen %d times in the spans; want %d, of %v", name, seen[name], want, seen)
				}
			}
			if n := seen["start in error"]; n < journal.Failures() || n > journal.Failures()+journal.Releases() { // a release that fails is one, too
				t.Fatalf("%d starts are in error; %d failed, as did %d releases", n, journal.Failures(), journal.Releases())
			}
			runs++
			transitions += journal.Transitions()
			retries += journal.Retries()
			spans += len(o.spans.Ended())
		})
	})
	t.Logf("CHECKED otel random-lives=%d transitions=%d retries=%d spans=%d", runs, transitions, retries, spans)
}
