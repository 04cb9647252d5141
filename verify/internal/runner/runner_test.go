package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/verify/internal/faults"
	"github.com/seed3893aba4/surestart/verify/internal/machine"
	"github.com/seed3893aba4/surestart/verify/internal/machine/fridge"
	"github.com/seed3893aba4/surestart/verify/internal/mutation"
	"github.com/seed3893aba4/surestart/verify/internal/testlog"
	"github.com/seed3893aba4/surestart/verify/internal/variant"
)

const root = "../../.."

// runs runs layers of the test's own, and returns the report as it was written.
func runs(t *testing.T, ctx context.Context, layers ...layer) (Report, string, error) {
	t.Helper()
	return runsFor(t, ctx, 0, 0, layers...)
}

func runsFor(t *testing.T, ctx context.Context, whole, after time.Duration, layers ...layer) (Report, string, error) {
	t.Helper()
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "out")
	var screen bytes.Buffer
	failure := run(ctx, Options{Root: top, Machines: machine.All(), Bound: Quick, Dir: dir, Out: &screen, whole: whole, after: after}, layers)
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r Report
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&r); err != nil {
		t.Fatalf("report.json: %v", err)
	}
	for _, name := range []string{"report.html", "report.txt"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	return r, screen.String(), failure
}

func says(name, script string) layer {
	return layer{name, "for a test", always, func(ctx context.Context, s *session) error { return s.command(ctx, "sh", "-c", script) }}
}

func TestEveryLayerHolds(t *testing.T) {
	r, screen, err := runs(t, t.Context(), says("one", "echo CHECKED one states=12 edges=3400"), says("two", "echo CHECKED two a=1"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Result != Held || len(r.Layers) != 2 || r.Layers[0].Result != Held || len(r.Layers[0].Figures) != 2 || r.Layers[0].Figures[1].N != 3400 {
		t.Errorf("report: %+v", r)
	}
	if text := r.text(); !strings.Contains(text, "one: states=12 edges=3,400") || !strings.Contains(screen, "all layers hold") || strings.Contains(screen, "states=") {
		t.Errorf("screen:\n%s\nreport:\n%s", screen, text)
	}
	if len(r.Commit) != 40 || !strings.HasPrefix(r.Versions["go"], "go1.") || r.Versions["github.com/looplab/fsm"] == "" {
		t.Errorf("not identified: commit %q, versions %v", r.Commit, r.Versions)
	}
}

// Layers that leave a processor idle run at the same time; what each says stays its own.
func TestSomeLayersRunAtTheSameTime(t *testing.T) {
	dir := t.TempDir()
	waits := func(name, other string) layer {
		return says(name, "cd "+dir+"; : >"+name+"; until [ -e "+other+" ]; do sleep 0.01; done; echo CHECKED "+name+" n=1")
	}
	r, screen, err := runs(t, t.Context(), says("one", "true"), waits("threads", "histories"), waits("histories", "threads"), says("two", "exit 3"))
	if !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	for i, name := range []string{"one", "threads", "histories", "two"} {
		l := r.Layers[i]
		if l.Name != name || (l.Result == Held) != (name != "two") {
			t.Errorf("report: %+v", l)
		}
		if i%3 != 0 && (len(l.Figures) != 1 || l.Figures[0].Heading != name) {
			t.Errorf("%s has the figures %+v", name, l.Figures)
		}
	}
	if !regexp.MustCompile(`(?m)^histories +held `).MatchString(screen) {
		t.Errorf("screen:\n%s", screen)
	}
}

// A layer that cannot check is no failure, and is not said to hold.
func TestALayerThatCannotCheckIsSaidTo(t *testing.T) {
	cannot := layer{"one", "for a test", always, func(context.Context, *session) error { return fmt.Errorf("%w: no database", errNotChecked) }}
	r, screen, err := runs(t, t.Context(), cannot, says("two", "true"))
	if err != nil || r.Result != Held || r.Layers[0].Result != NotChecked {
		t.Errorf("%v, report: %+v", err, r)
	}
	if !regexp.MustCompile(`(?m)^one +not checked .*: no database$`).MatchString(screen) {
		t.Errorf("screen:\n%s", screen)
	}
}

// goTests is a layer that runs these tests, in a module of their own.
func goTests(t *testing.T, tests string) layer {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":      "module example.org/fsm\n\ngo 1.26\n",
		"fsm_test.go": "package fsm\nimport \"testing\"\n" + tests,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return layer{"tests", "", always, func(ctx context.Context, s *session) error {
		top := s.Root
		s.Root = dir
		defer func() { s.Root = top }()
		return s.test(ctx, "./...")
	}}
}

// A failing layer fails the run and does not stop the other layers. The report has its output.
func TestAFailingLayerFailsTheRun(t *testing.T) {
	for name, bad := range map[string]layer{
		"exit status":     says("bad", "echo it broke; exit 3"),
		"malformed":       says("bad", "echo CHECKED nothing; echo it broke"),
		"no such program": {"bad", "", always, func(ctx context.Context, s *session) error { return s.command(ctx, "it broke") }},
		"no test": {"bad", "", always, func(ctx context.Context, s *session) error {
			return s.test(ctx, "-run=^NoSuchTest$ it broke", "./spec")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r, screen, err := runs(t, t.Context(), bad, says("good", "echo CHECKED good n=1"))
			if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "bad") {
				t.Errorf("error %v: want ErrFailed, and the layer's name", err)
			}
			if r.Result != Failed || r.Layers[0].Result != Failed || len(r.Layers[0].Failures) == 0 || r.Layers[1].Result != Held {
				t.Errorf("report: %+v", r.Layers)
			}
			if !strings.Contains(screen, "FAILED") {
				t.Errorf("screen:\n%s", screen)
			}
		})
	}
}

// The report names a failing test, and shows its output. A failing test of a guarantee is a failure
// of that guarantee.
func TestAFailedTestIsNamed(t *testing.T) {
	r, screen, err := runs(t, t.Context(), goTests(t, `
func TestG4Rollback(t *testing.T) { t.Error("seventeen parts are left") }
func TestG4More(t *testing.T) {}
func TestG5NoStaleFailure(t *testing.T) { println("CHECKED fsm n=2") }
func TestOther(t *testing.T) { t.Skip("no broker here") }
`))
	if !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	got := r.Layers[0]
	if got.Passed != 2 || got.Failed != 1 || len(got.Skipped) != 1 || got.Skipped[0].Said != "no broker here" || got.Failures[0] != "example.org/fsm.TestG4Rollback" {
		t.Errorf("report: %+v", got)
	}
	if !strings.Contains(screen, "seventeen parts are left") || !strings.Contains(screen, "1 skipped: no broker here") {
		t.Errorf("screen:\n%s", screen)
	}
	for _, g := range r.Guarantees {
		want := map[string]Evidence{"G4": {Failed, "failed in fsm 1"}, "G5": {Held, "fsm 1"}}[g.ID]
		if g.Evidence["tests"] != want {
			t.Errorf("%s: %+v, want %+v", g.ID, g.Evidence["tests"], want)
		}
	}
}

func TestAnInterruptedRunIsReported(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	hangs := layer{"hangs", "", always, func(ctx context.Context, s *session) error {
		return s.stream(ctx, []string{"sh", "-c", "echo here; sleep 1000 & wait"}, func(string) { cancel(errors.New("somebody pressed Ctrl-C")) })
	}}
	r, _, err := runs(t, ctx, hangs, says("later", "true"))
	if err == nil || errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "Ctrl-C") {
		t.Errorf("error %v", err)
	}
	if r.Result != Interrupted || r.Layers[0].Result != Interrupted || r.Layers[1].Result != NotRun {
		t.Errorf("report: %+v", r)
	}
}

// What hangs after a failure is left, and named: the run is red already.
func TestARedRunIsLeft(t *testing.T) {
	tests := goTests(t, `
func TestG4Rollback(t *testing.T) { t.Error("seventeen parts are left") }
func TestG5NoStaleFailure(t *testing.T) { <-make(chan int); println() }
`)
	r, _, err := runsFor(t, t.Context(), time.Nanosecond, 100*time.Millisecond, tests, says("later", "true"))
	if !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	got := r.Layers[0]
	if r.Result != Failed || got.Result != Failed || r.Layers[1].Result != NotRun {
		t.Errorf("report: %+v", r)
	}
	if len(got.Failures) != 2 || got.Failures[0] != "example.org/fsm.TestG4Rollback" || !strings.Contains(got.Failures[1], "had not ended: example.org/fsm.TestG5NoStaleFailure") {
		t.Errorf("failures: %q", got.Failures)
	}

	r, _, _ = runsFor(t, t.Context(), time.Second, time.Nanosecond, says("bad", "exit 3"), says("good", "sleep 0.1"), says("hangs", "sleep 1000"))
	if r.Layers[1].Result != Held || r.Layers[2].Result != Failed {
		t.Errorf("report: %+v", r.Layers)
	}
	if r, _, err = runsFor(t, t.Context(), time.Nanosecond, time.Nanosecond, says("slow", "sleep 0.2"), says("good", "true")); err != nil {
		t.Errorf("nothing had failed: %v, %+v", err, r.Layers)
	}
}

func TestWhatCannotBeRunIsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"bound":    {Options{Root: root, Bound: "far"}, "quick, ci or deep"},
		"layer":    {Options{Root: root, Bound: Quick, Layers: []string{"grpah"}}, "graph, core, lives, traces, schedules, day, suite, threads, histories, tests"},
		"checkout": {Options{Root: t.TempDir(), Bound: Quick}, "clone it"},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Dir, c.o.Out = filepath.Join(t.TempDir(), "out"), io.Discard
			err := Run(t.Context(), c.o)
			if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v: want ErrUsage and %q", err, c.want)
			}
			if _, err := os.Stat(c.o.Dir); err == nil {
				t.Error("a report was begun")
			}
		})
	}
}

// Every guarantee has evidence from every kind of layer that can have any. No layer claims what it
// does not check.
func TestMatrix(t *testing.T) {
	all, err := faults.All(machine.All())
	if err != nil {
		t.Fatal(err)
	}
	r := &Report{Bound: CI}
	for _, f := range all {
		r.Faults = append(r.Faults, faults.Result{Fault: f, Caught: true, Catches: []variant.Catch{{Layer: "graph", Result: variant.Caught, Guarantees: []string{f.Guarantee}}}})
	}
	for _, name := range []string{"tlc", "graph", "threads", "histories", "faults"} {
		r.Layers = append(r.Layers, Layer{Name: name, Result: Held})
	}
	e, err := gather(&session{Options: Options{Root: root, Dir: t.TempDir()}, report: r}, machine.Lifecycle)
	if err != nil {
		t.Fatal(err)
	}
	matrix := e.matrix()
	if len(matrix) != len(machine.Lifecycle.Guarantees) {
		t.Fatalf("%d rows", len(matrix))
	}
	values := []string{"G14", "G15"} // matters of values, not of the protocol
	for _, g := range matrix {
		var want []string
		if !slices.Contains(values, g.ID) {
			want = append(want, "tlc", "threads")
		}
		for _, l := range append(want, "graph", "faults") {
			if g.Evidence[l].Result != Held || g.Evidence[l].Says == "" {
				t.Errorf("%s: nothing from %s: %+v", g.ID, l, g.Evidence)
			}
		}
		if len(g.Evidence) != len(want)+2 {
			t.Errorf("%s: too much: %+v", g.ID, g.Evidence)
		}
	}
	r.Faults[0].Caught = false
	for _, g := range e.matrix() {
		if want := g.ID == r.Faults[0].Guarantee; (g.Evidence["faults"].Result == Failed) != want {
			t.Errorf("%s: %+v after a fault of %s was missed", g.ID, g.Evidence["faults"], r.Faults[0].Guarantee)
		}
	}
}

// The proof's cell has what is proved, and what is not and why.
func TestProved(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "logs"), 0o777); err != nil {
		t.Fatal(err)
	}
	text := `{"queries": [{"guarantee": "Order", "result": "proved", "seconds": 1.5}, {"guarantee": "Drains", "result": "proved", "seconds": 2},
		{"guarantee": "Once", "result": "open", "seconds": 40}], "not_proved": {"Drains": "that it ends", "Deadline": "liveness"}}`
	if err := os.WriteFile(filepath.Join(dir, "logs", "proof.json"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	r := &Report{Bound: CI, Layers: []Layer{{Name: "proof", Result: Held}}}
	e, err := gather(&session{Options: Options{Root: root, Dir: dir}, report: r}, machine.Delivery)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Evidence{
		"D3": {Failed, "for any number: 0 of 1 queries, by Z3 in 40 s"},
		"D4": {Held, "for any number: 1 of 1 queries, by Z3 in 2 s"},
		"D6": {NotProved, "liveness"},
		"D7": {Held, "for any number: 1 of 1 queries, by Z3 in 2 s; not proved: that it ends"},
	}
	for _, g := range e.matrix() {
		if got := g.Evidence["proof"]; got != want[g.ID] {
			t.Errorf("%s: %+v; want %+v", g.ID, got, want[g.ID])
		}
	}
}

// Another machine has its rows in the report, from its description alone.
func TestMatrixOfAnotherMachine(t *testing.T) {
	bulb := faults.Result{Fault: faults.Fault{Name: "bulb", Guarantee: "F2"}, Caught: true,
		Catches: []variant.Catch{{Layer: "doors", Result: variant.Caught, Guarantees: []string{"F2"}}}}
	r := &Report{Bound: CI, Faults: []faults.Result{bulb}}
	for _, name := range []string{"tlc", "graph", "doors", "faults"} {
		r.Layers = append(r.Layers, Layer{Name: name, Result: Held})
	}
	l := Layer{Name: "tests", Result: Failed, log: testlog.New()}
	l.log.Passed, l.log.Failed = []string{"example.org/fridge.TestF1Dark"}, []string{"example.org/fridge.TestF2Lit"}
	r.Layers = append(r.Layers, l)
	e, err := gather(&session{Options: Options{Root: root, Dir: t.TempDir()}, report: r}, fridge.Machine)
	if err != nil {
		t.Fatal(err)
	}
	tlc := Evidence{Held, "holds in 1 model; refuted in 1 weakened variant"}
	for i, want := range []map[string]Evidence{
		{"tlc": tlc, "doors": {Held, "code = model"}, "tests": {Held, "fridge 1"}},
		{"tlc": tlc, "doors": {Held, "code = model; 1 seeded fault caught here"}, "faults": {Held, "1 of 1 caught by name"}, "tests": {Failed, "failed in fridge 1"}},
	} {
		if got := e.matrix()[i]; got.ID != fridge.Machine.Guarantees[i].ID || !maps.Equal(got.Evidence, want) {
			t.Errorf("%+v; want %v", got, want)
		}
	}
}

// examplePage is a report in which something of everything went wrong.
func examplePage(t *testing.T) string {
	t.Helper()
	svg, err := os.ReadFile(filepath.Join(root, machine.Lifecycle.Picture))
	if err != nil {
		t.Fatal(err)
	}
	r := &Report{Bound: CI, Result: Failed, Unproved: []string{"Finish x Inv<3>"}, Versions: map[string]string{"go": "go1.26"},
		Layers: []Layer{{Name: "graph", Result: Failed, Failures: []string{"<script>alert(1)</script>"}}},
		Faults: []faults.Result{{Fault: faults.Fault{Name: "leaks", Guarantee: "G7", Story: "a < b"}, Catches: []variant.Catch{{Layer: "graph", Result: variant.TimedOut}}}},
	}
	r.Mutants = []mutation.Result{{Mutant: mutation.Mutant{ID: "fsm/x.go:f:negate-if:1", File: "fsm/x.go"}, Status: mutation.Survived}, {Status: mutation.Killed}}
	for _, g := range machine.Lifecycle.Guarantees {
		r.Guarantees = append(r.Guarantees, Guarantee{ID: g.ID, Name: g.Name, Promise: g.Promise, Evidence: map[string]Evidence{"graph": {Failed, "5 < 6"}}})
	}
	r.pictures = []picture{{"lifecycle", string(svg)}}
	page, err := r.page()
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// The page is one well-formed file that fetches nothing.
func TestPage(t *testing.T) {
	text := examplePage(t)
	for _, want := range []string{"<svg", "width=device-width", "prefers-color-scheme: dark", "G15 NoSelfDeadlock", "not by name", "timed out", "survived: fsm/x.go:f:negate-if:1", "Not proved", "&lt;script&gt;"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if found := regexp.MustCompile(`(?i)(src|href)=|url\(|@import|<script`).FindString(text); found != "" {
		t.Errorf("the page refers to something outside of it: %s", found)
	}
	d := xml.NewDecoder(strings.NewReader(text)) // it is HTML, written as XML
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("not well formed: %v", err)
		}
	}
}
