package browser_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/seed3893aba4/surestart/internal/timeline"
	"github.com/seed3893aba4/surestart/verify/internal/browser"
)

// In a browser, the keys and a click step through the page, and it shows what it should.
func TestTimelineInABrowser(t *testing.T) {
	var b strings.Builder
	example := timeline.Timeline{
		Title:   "G4 <Rollback>",
		Columns: []string{"c1", "operation"},
		Steps: []timeline.Step{
			{Cells: []string{"StartEnter", ""}, State: "Starting", Held: ""},
			{Cells: []string{"", "OpenPart #1"}, State: "Starting", Held: "#1: 1"},
			{Cells: []string{"", "OpenErr #1"}, State: "Stopping", Held: "#1: 1"},
		},
		What: []string{"held: want 1, got 0"},
	}
	if err := example.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	chromium := browser.Start(t)
	wrongToRead, words := chromium.Readable(path)
	page := chromium.Open(path, 900, 500)
	steps := 0
	at := func(what string, step int) {
		t.Helper()
		steps++
		want := []string{"Step 1 of 3: Starting|StartEnter|2", "Step 2 of 3: Starting|OpenPart #1|1", "Step 3 of 3: Stopping|OpenErr #1|0"}[step-1]
		var got string
		page.Eval(`[where.textContent, did.textContent, document.querySelectorAll("tr.later").length].join("|")`, &got)
		if got != want {
			t.Errorf("after %s: %q, want %q", what, got, want)
		}
	}
	at("nothing", 3)
	for i, c := range []struct {
		key  string
		step int
	}{
		{kb.ArrowDown, 3}, {kb.ArrowUp, 2}, {"k", 1}, {kb.ArrowLeft, 1}, {"j", 2}, {kb.ArrowRight, 3}, {kb.Home, 1}, {"x", 1}, {kb.ArrowDown, 2}, {kb.End, 3},
	} {
		page.Do(chromedp.KeyEvent(c.key))
		at(fmt.Sprintf("key %d, %+q", i+1, c.key), c.step)
	}
	page.Do(chromedp.Click("tbody tr:nth-child(2)"))
	at("a click on step 2", 2)
	page.Do(chromedp.KeyEvent(kb.End))

	// The picture: a red line for what breaks, each state on its band, all of it on the page.
	wrong, looked := page.Look(map[string]int{"h1": 1, ".what": 1, "th": 5, "td.band": 3, "tr.breaks td": 4, "#where": 1, "kbd": 4})
	if red := page.Boxes("tr.breaks td")[0].Paper; red != "rgb(198, 40, 40)" {
		t.Errorf("what breaks is on %s", red)
	}
	var cut bool
	if page.Eval("document.documentElement.scrollWidth > innerWidth", &cut); cut {
		t.Error("it is wider than the window")
	}
	for _, wrong := range append(append(wrong, page.Wrong()...), wrongToRead...) {
		t.Error(wrong)
	}
	fmt.Printf("CHECKED browser timeline steps=%d looked-at=%d\n", steps, looked+words)
}
