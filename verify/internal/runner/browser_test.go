package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed3893aba4/surestart/verify/internal/browser"
	"github.com/seed3893aba4/surestart/verify/internal/machine"
)

// report.html in a browser, on a desk and on a phone: all of it can be seen, and it is no wider than the window.
func TestPageInABrowser(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, []byte(examplePage(t)), 0o666); err != nil {
		t.Fatal(err)
	}
	b, looked := browser.Start(t), 0
	for width, height := range map[int64]int64{1200: 3500, 390: 9000} {
		page := b.Open(file, width, height)
		wrong, seen := page.Look(map[string]int{
			"h1": 1, "h1 .bad": 1, "h2": 6, "table:first-of-type tbody th[id]": len(machine.Lifecycle.Guarantees), "td .bad": len(machine.Lifecycle.Guarantees) + 2, "ul.bad li": 1, "figure": 1,
		})
		looked += seen
		var wide int64
		if page.Eval("document.documentElement.scrollWidth", &wide); wide > width {
			t.Errorf("it is %d wide in a window of %d", wide, width)
		}
		for _, wrong := range append(wrong, page.Wrong()...) {
			t.Errorf("%d wide: %s", width, wrong)
		}
	}
	wrong, words := b.Readable(file)
	for _, wrong := range wrong {
		t.Error(wrong)
	}
	looked += words
	fmt.Printf("CHECKED browser report widths=2 looked-at=%d\n", looked)
}
