package timeline_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/internal/browser"
	"github.com/seed3893aba4/surestart/internal/timeline"
)

// written is the page of a timeline, in a file.
func written(t *testing.T, line timeline.Timeline) string {
	t.Helper()
	var b strings.Builder
	if err := line.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// The page in a browser: the keys and a click step through it, and what it shows is what was to be shown.
func TestPageInABrowser(t *testing.T) {
	page := browser.Start(t).Open(written(t, example()), 900, 500)
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
	for _, c := range []struct {
		key  string
		step int
	}{
		{"ArrowDown", 3}, {"ArrowUp", 2}, {"k", 1}, {"ArrowLeft", 1}, {"j", 2}, {"ArrowRight", 3}, {"Home", 1}, {"x", 1}, {"ArrowDown", 2}, {"End", 3},
	} {
		page.Press(c.key)
		at(c.key, c.step)
	}
	page.Click("tbody tr:nth-child(2)")
	at("a click on step 2", 2)
	page.Press("End")

	// The picture: a red line for what breaks, each state on its band, all of it on the page.
	wrong, looked := page.Look(map[string]int{"h1": 1, ".what": 1, "th": 5, "td.band": 3, "tr.breaks td": 4, "#where": 1, "kbd": 4})
	if red := page.Boxes("tr.breaks td")[0].Paper; red != "rgb(198, 40, 40)" {
		t.Errorf("what breaks is on %s", red)
	}
	var cut bool
	if page.Eval("document.documentElement.scrollWidth > innerWidth", &cut); cut {
		t.Error("it is wider than the window")
	}
	for _, wrong := range append(wrong, page.Wrong()...) {
		t.Error(wrong)
	}
	fmt.Printf("CHECKED browser timeline steps=%d looked-at=%d\n", steps, looked)
}

// One with many callers and steps, in a small window: the step that one is at can always be seen, with its state, and so can the columns' names.
func TestLongPageInABrowser(t *testing.T) {
	line := timeline.Timeline{Title: "A long one", Columns: []string{"c1", "c2", "c3", "c4", "c5", "c6", "outside", "operation"}}
	for i := range 30 {
		cells := make([]string, len(line.Columns))
		cells[i%len(cells)] = "StartFast saw 0"
		line.Steps = append(line.Steps, timeline.Step{Cells: cells, State: "Starting", Held: "#1: 2"})
	}
	page := browser.Start(t).Open(written(t, line), 700, 400)
	see := func(step int) {
		t.Helper()
		at := append(page.Boxes("tr.at td:first-child"), page.Boxes("tr.at td.band")...)
		if len(at) != 2 || at[0].Text != fmt.Sprint(step) || !at[0].Shown || !at[1].Shown || at[1].Rect.Max.X > 700 {
			t.Fatalf("at step %d this is to be seen: %+v", step, at)
		}
		for _, name := range page.Boxes("th:first-child, th:last-child") {
			if !name.Shown {
				t.Fatalf("at step %d the column's name %q is hidden", step, name.Text)
			}
		}
	}
	see(30)
	page.Press("Home")
	see(1)
	for step := 2; step <= 30; step++ {
		page.Press("ArrowDown")
		see(step)
	}
	for step := 29; step >= 1; step -= 4 {
		page.Press("ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp")
		see(max(1, step-3))
	}
	if wrong := page.Wrong(); len(wrong) > 0 {
		t.Error(wrong)
	}
}
