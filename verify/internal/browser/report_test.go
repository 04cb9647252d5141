package browser_test

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/seed3893aba4/surestart/conformance"
	"github.com/seed3893aba4/surestart/verify/internal/browser"
)

// early is a flag that is set before it is true.
type early struct {
	*conformance.Hooks
	started atomic.Bool
}

func (e *early) Start(ctx context.Context) error {
	if e.started.Swap(true) {
		return nil
	}
	return e.Open(ctx)
}

func (e *early) Stop(ctx context.Context) error {
	if !e.started.Swap(false) {
		return nil
	}
	return e.Release(ctx)
}

// What -conformance.report writes, in a browser: each verdict, and under each no its schedule, whose last line is red.
func TestConformanceReportInABrowser(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.html")
	if err := flag.Set("conformance.report", file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { flag.Set("conformance.report", "") })
	card := conformance.Measure(t, conformance.Subject{Schedules: 200, Capabilities: conformance.JoinsStarts | conformance.Idempotent | conformance.Retries,
		New: func(h *conformance.Hooks) conformance.Lifecycle { return &early{Hooks: h} }})
	if len(card.Rows) == 0 { // in the suite's child process
		return
	}
	b := browser.Start(t)
	wrongToRead, words := b.Readable(file)
	page := b.Open(file, 1100, 3000)
	page.Eval(`document.querySelectorAll("section:not(:last-of-type)").forEach(s => s.remove())`, nil) // of this test's runs before, with -count

	count := map[conformance.Verdict]int{}
	lines := 0
	for _, r := range card.Rows {
		count[r.Verdict]++
		lines += len(r.Schedule)
		var verdict string
		page.Eval(fmt.Sprintf(`[...document.querySelectorAll("tbody tr")].find(r => r.cells[0].textContent == "%s %s").cells[1].textContent`, r.ID, r.Name), &verdict)
		if verdict != string(r.Verdict) {
			t.Errorf("%s: the page says %q, the scorecard %q", r.ID, verdict, r.Verdict)
		}
	}
	if count[conformance.No] < 1 || count[conformance.Yes] < 2 {
		t.Fatalf("not a good example: %v", count)
	}
	wrong, looked := page.Look(map[string]int{
		"h1": 1, "h2": 1, "h3": count[conformance.No], "td.mark": len(card.Rows), "tr.yes td.mark": count[conformance.Yes], "tr.no td.mark": count[conformance.No],
		".time tr:not(.breaks) td:first-child": lines - count[conformance.No], ".time tr.breaks td:first-child": count[conformance.No], "p.why": count[conformance.No],
	})
	for i, b := range page.Boxes(".time tr.breaks") {
		if b.Paper != "rgb(198, 40, 40)" || !strings.HasPrefix(b.Text, "✗") {
			t.Errorf("the last line of schedule %d is %q on %s", i+1, b.Text, b.Paper)
		}
	}
	page.Do(chromedp.Click("tr.no a"))
	var at string
	if page.Eval("location.hash", &at); !strings.HasPrefix(at, "#"+card.Subject+"-G") {
		t.Errorf("a no leads to %q", at)
	}
	for _, wrong := range append(append(wrong, page.Wrong()...), wrongToRead...) {
		t.Error(wrong)
	}
	fmt.Printf("CHECKED browser conformance rows=%d looked-at=%d\n", len(card.Rows), looked+words)
}
