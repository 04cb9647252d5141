package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/verify/internal/lifecycle/trace"
)

const agrees = `{"version":1,"bound":{"Callers":1,"Parts":1,"Calls":2,"Fails":0},"steps":[
	{"action":"InvokeStart","caller":1},{"action":"StartFast","caller":1},{"action":"StartEnter","caller":1},
	{"action":"OpenPart","attempt":1},{"action":"OpenOk","attempt":1}]}`

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// replayed is what replay prints, and its error.
func replayed(t *testing.T, path, html string) (string, error) {
	t.Helper()
	var out strings.Builder
	err := replayFile(&out, path, html)
	return out.String(), err
}

// A schedule on which code and model agree is drawn, in the terminal and as a page.
func TestReplayASchedule(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.html")
	out, err := replayed(t, file(t, "schedule.json", agrees), page)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"StartEnter", "OpenPart #1", "Started", "code and model agree on all 5 steps"} {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in\n%s", part, out)
		}
	}
	html, err := os.ReadFile(page)
	if err != nil || strings.Count(string(html), "<tr data-state=") != 5 || strings.Contains(string(html), `class="breaks"`) {
		t.Errorf("%v, the page:\n%s", err, html)
	}
}

// The sample that docs/schedules.md names is a schedule on which code and model agree.
func TestReplayTheSample(t *testing.T) {
	out, err := replayed(t, "../docs/samples/schedule.json", "")
	if err != nil || !strings.Contains(out, "agree on all 21 steps") || !strings.Contains(out, "answered stopped") {
		t.Errorf("%v:\n%s", err, out)
	}
}

// replay draws a trace of real goroutines: the whole trace, or up to the step that has no place in
// the model.
func TestReplayATrace(t *testing.T) {
	run, err := trace.Run(1)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := replayed(t, file(t, "trace.json", written(t, run)), ""); err != nil || !strings.Contains(out, "the model makes all ") || !strings.Contains(out, "Return") {
		t.Errorf("%v:\n%s", err, out)
	}
	wrong := run.Corruptions(rand.New(rand.NewPCG(1, 1)))[0]
	page := filepath.Join(t.TempDir(), "page.html")
	out, err := replayed(t, file(t, "trace.json", written(t, wrong.Trace)), page)
	if err != errSaid || !strings.Contains(out, "is broken") || !strings.Contains(out, "✗ ") {
		t.Errorf("%s: %v:\n%s", wrong.What, err, out)
	}
	if html, err := os.ReadFile(page); err != nil || strings.Count(string(html), `class="breaks"`) != 1 {
		t.Errorf("%v, the page:\n%s", err, html)
	}
	if _, err := replayed(t, file(t, "trace.json", `{"trace":1}`), ""); !errors.Is(err, errUsage) {
		t.Errorf("no trace: %v", err)
	}
}

func written(t *testing.T, run *trace.Trace) string {
	t.Helper()
	var kept strings.Builder
	if err := run.Write(&kept, "for a test"); err != nil {
		t.Fatal(err)
	}
	return kept.String()
}

// What a file says reaches the terminal as text and no more, and a file that is cut short,
// or followed by something, is said to be.
func TestReplayIsCareful(t *testing.T) {
	run, err := trace.Run(1)
	if err != nil {
		t.Fatal(err)
	}
	for kind, whole := range map[string]string{"trace": written(t, run), "schedule": agrees} {
		for text, want := range map[string]string{
			whole[:len(whole)/2]: "truncated", whole[:len(whole)-2]: "truncated",
			whole + whole: "more input follows the value", whole + "}": "more input follows the value",
		} {
			out, err := replayed(t, file(t, kind+".json", text), "")
			if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), "not a "+kind+": "+want) || out != "" {
				t.Errorf("%s: %v; want that it is %s", kind, err, want)
			}
		}
		if _, err := replayed(t, file(t, kind+".json", whole+" \n"), ""); err != nil {
			t.Errorf("%s, with white space after it: %v", kind, err)
		}
	}
	if _, err := replayed(t, file(t, "any.json", "{\"version\":1,\"\x1b[2J\":1}"), ""); !errors.Is(err, errUsage) || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%q", err)
	}
	if _, err := replayed(t, "\x1b[2J\nno such file", ""); !errors.Is(err, errUsage) || strings.ContainsAny(err.Error(), "\x1b\n") {
		t.Errorf("%q", err)
	}
}
