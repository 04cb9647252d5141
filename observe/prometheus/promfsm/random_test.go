package promfsm_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/lives"
	"github.com/seed3893aba4/surestart/observe/prometheus/promfsm"
)

// Random lives: whatever is done to a lifecycle, the collector counts what a plain
// observer beside it saw, and its gauges are the status.
func TestCountsWhatHappened(t *testing.T) {
	led, transitions, retries := 0, 0, 0
	plain := strings.NewReplacer("_total", "", "_duration_seconds", ".duration", "_failures", ".failures", "_retries", ".retries")
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			c := promfsm.NewCollector("it")
			book := lives.Lead(t, func(l *fsm.Lifecycle[int]) { c.Watch(l) }, func(b *lives.Book) {
				metrics := make(map[string]float64)
				for id, v := range values(t, c) {
					metrics[plain.Replace(id)] = v
				}
				b.Check(t, metrics)
			}, c.Option())
			led++
			transitions += book.Transitions()
			retries += book.Retries()
		})
	})
	t.Logf("CHECKED prometheus random-lives=%d transitions=%d retries=%d", led, transitions, retries)
}
