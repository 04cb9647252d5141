package browser_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/seed3893aba4/surestart/verify/internal/browser"
)

func page(t *testing.T, html string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, []byte("<!DOCTYPE html><meta charset=utf-8>"+html), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// Open, Wrong and Look notice each mistake of a page: on its console, in its requests, and in its
// picture.
func TestWhatIsWrongIsNoticed(t *testing.T) {
	b := browser.Start(t)
	controls := 0
	for html, want := range map[string]string{
		`<script>console.error("one")</script>`:                                                        "console.error: ",
		`<script>nothing.there()</script>`:                                                             "nothing is not defined",
		`<script>addEventListener("keydown", () => { throw new Error("late") })</script>`:              "late",
		`<img src="more.png" alt="">`:                                                                  "it asks for file://",
		`<script>Promise.reject(new Error("nobody waits"))</script>`:                                   "nobody waits",
		`<script>addEventListener("keydown", () => { Promise.reject(new Error("unheard")) })</script>`: "unheard",
		`<script>addEventListener("keydown", () => { new Image().src = "more.png" })</script>`:         "it asks for file://",
		`<p>one</p><p style="opacity: 0">two</p><p style="position: fixed; top: 900px">three</p>`:      "p: 2 can be seen, want 1",
		`<p>as it should be</p>`:                                                                       "",
		`<p style="background: #fff; color: #fff">not to be seen</p>`:                                  `"not to be seen" has 0 dots`,
		`<p style="background: red; filter: grayscale(1)">grey</p>`:                                    `"grey" is on rgb`,
		`<p style="color: red; filter: grayscale(1)">grey</p>`:                                         `"grey" has no dot of its colour`,
		`<p style="background: red; color: #fff; font: 30px sans-serif">red</p>`:                       "",
	} {
		p := b.Open(page(t, html), 600, 200)
		p.Do(chromedp.KeyEvent("j"))
		wrong := p.Wrong()
		if strings.HasPrefix(html, "<p") {
			more, _ := p.Look(map[string]int{"p": 1})
			wrong = append(wrong, more...)
		}
		if got := strings.Join(wrong, "; "); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", html, got, want)
		}
		controls++
	}
	fmt.Printf("CHECKED browser controls pages=%d\n", controls)
}
