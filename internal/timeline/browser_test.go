//go:build browser

package timeline_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The page as a browser has it, after some keys were pressed:
//
//	go test -tags browser ./internal/timeline        needs chromium on PATH, or its path in SURESTART_CHROMIUM
func TestPageInABrowser(t *testing.T) {
	browser := os.Getenv("SURESTART_CHROMIUM")
	if browser == "" {
		browser = "chromium"
	}
	var b strings.Builder
	if err := example().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		keys  []string
		where string
		did   string
		later int
	}{
		{nil, "Step 3 of 3: Stopping", "OpenErr #1", 0},
		{[]string{"Home"}, "Step 1 of 3: Starting", "StartEnter", 2},
		{[]string{"ArrowUp"}, "Step 2 of 3: Starting", "OpenPart #1", 1},
		{[]string{"Home", "k", "j", "ArrowDown", "ArrowDown"}, "Step 3 of 3: Stopping", "OpenErr #1", 0},
		{[]string{"Home", "End", "ArrowLeft", "ArrowLeft"}, "Step 1 of 3: Starting", "StartEnter", 2},
	} {
		page := b.String() + `<script>
onerror = m => document.body.dataset.wrong = m;
for (const key of "` + strings.Join(c.keys, " ") + `".split(" ").filter(Boolean)) dispatchEvent(new KeyboardEvent("keydown", { key }));
</script>`
		path := filepath.Join(t.TempDir(), "page.html")
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "file://"+path).Output()
		if err != nil {
			t.Fatalf("%s: %v", browser, err)
		}
		dom := string(out)
		for _, part := range []string{`<b id="where">` + c.where + `</b>`, `<span id="did">` + c.did + `</span>`} {
			if !strings.Contains(dom, part) {
				t.Errorf("after %v: no %s in\n%s", c.keys, part, dom)
			}
		}
		if got := len(regexp.MustCompile(`<tr [^>]*class="[^"]*later`).FindAllString(dom, -1)); got != c.later {
			t.Errorf("after %v: %d steps are to come, want %d", c.keys, got, c.later)
		}
		if strings.Contains(dom, "data-wrong") {
			t.Errorf("after %v: an error in the page\n%s", c.keys, dom)
		}
	}
}
