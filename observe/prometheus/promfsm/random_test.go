package promfsm_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/randomlife"
	"github.com/seed3893aba4/surestart/observe/prometheus/promfsm"
)

// Random lives: the counters agree with a plain observer of the same lifecycle, and the gauges with
// its status.
func TestCountsWhatHappened(t *testing.T) {
	runs, transitions, retries := 0, 0, 0
	plain := strings.NewReplacer("_total", "", "_duration_seconds", ".duration", "_failures", ".failures", "_retries", ".retries")
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			c := promfsm.NewCollector("it")
			journal := randomlife.Run(t, func(l *fsm.Lifecycle[int]) { c.Watch(l) }, func(b *randomlife.Journal) {
				metrics := make(map[string]float64)
				for id, v := range values(t, c) {
					metrics[plain.Replace(id)] = v
				}
				b.Check(t, metrics)
			}, c.Option())
			runs++
			transitions += journal.Transitions()
			retries += journal.Retries()
		})
	})
	t.Logf("CHECKED prometheus random-lives=%d transitions=%d retries=%d", runs, transitions, retries)
}
