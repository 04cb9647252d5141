package timeline_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/internal/browser"
)

// The page in a browser: the keys and a click step through it, and what it shows is what was to be shown.
func TestPageInABrowser(t *testing.T) {
	var b strings.Builder
	if err := example().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	page := browser.Start(t).Open(path, 900, 500)
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
