package docs

import (
	"regexp"
	"strings"
	"testing"
)

var logged = regexp.MustCompile(`"surestart: ([^"]+)"`)

// Every message that the library logs has a line in docs/figures/log-lines.md that says what to do.
func TestPageNamesEveryLogLine(t *testing.T) {
	_, pages, sources := load(t)
	page, lines := pages["docs/figures/log-lines.md"], 0
	for name, text := range sources {
		library := strings.HasPrefix(name, "fsm/") || strings.HasPrefix(name, "producer/") || strings.HasPrefix(name, "observe/")
		if !library || strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, m := range logged.FindAllStringSubmatch(text, -1) {
			lines++
			if !regexp.MustCompile("(?m)^\\| (INFO|WARN|ERROR) .*`" + regexp.QuoteMeta(m[1]) + "`.* \\|$").MatchString(page) {
				t.Errorf("%s: docs/figures/log-lines.md has no line for %q", name, m[1])
			}
		}
	}
	if lines < 17 {
		t.Errorf("found %d messages in the sources: there are more", lines)
	}
	t.Logf("CHECKED docs log-lines=%d", lines)
}
