package browser_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/verify/internal/browser"
)

// Each thing that a reader stumbles over is noticed, and a plain page has none.
func TestReadableNotices(t *testing.T) {
	const follows = `<style>:root { color-scheme: light dark }</style>`
	b, controls := browser.Start(t), 0
	for html, want := range map[string]string{
		`<p>plain text, which follows the scheme</p>`:                                              "",
		`<p style="width: 600px; background: #8882">wide</p>`:                                      "390 wide, light: it is",
		`<p style="color: #777">dim</p>`:                                                           "light: \"dim\" has a contrast of 4.",
		`<p style="color: #222">black on dark</p>`:                                                 "dark: \"black on dark\" has a contrast of 1.",
		`<p style="width: 40px; overflow-wrap: anywhere">reconfiguration</p>`:                      "the word reconfiguration is broken",
		`<p style="position: absolute; left: -20px">outside</p>`:                                   "outside is outside of the window",
		`<p style="width: 20px; overflow: hidden; white-space: nowrap">cut off here</p>`:           `"cut off here" is cut off`,
		`<svg><text x="9" y="20" fill="gray">one</text><text x="12" y="22">two</text></svg>`:       "one lies on two",
		`<p style="opacity: .5">faint</p>`:                                                         `"faint" has a contrast`,
		`<svg><rect class="paper" width="90" height="40" fill="#fff"/><text y="20">a</text></svg>`: "",
	} {
		wrong, _ := b.Readable(page(t, follows+html))
		if got := strings.Join(wrong, "; "); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", html, got, want)
		}
		controls++
	}
	fmt.Printf("CHECKED browser readable controls=%d\n", controls)
}
