package model

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/spec"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

// dumps keeps what TLC says of each model for all tests of the package: at the CI
// bound TLC needs half a minute, and the file has some 270 MB.
var dumps = map[string]func(tlc.TestingT) *Graph{}

// quickText is the quick model's dump itself, once dumps["quick"] has been called.
var quickText []byte

func init() {
	for _, model := range Models() {
		dumps[model] = tlc.Once(func(t tlc.TLC, dir string) (*Graph, error) {
			g, path, err := Dump(context.Background(), t, model, dir)
			if err == nil && model == "quick" {
				quickText, err = os.ReadFile(path)
			}
			return g, err
		})
	}
}

// dumped returns TLC's graph of a model, or skips where TLC cannot run.
func dumped(t *testing.T, model string) *Graph {
	t.Helper()
	return dumps[model](t)
}

// bounds are the models to compare in this run: all, or the quick one alone with
// -short unless SURESTART_BOUND=ci.
func bounds() []string {
	if testing.Short() && os.Getenv("SURESTART_BOUND") != "ci" {
		return []string{"quick"}
	}
	return Models()
}

// The model is TLC's graph: the same states, the same labelled edges, both ways;
// with SURESTART_BOUND=deep that of three callers too, some ten minutes and 4 GB.
func TestModelIsTLCsGraph(t *testing.T) {
	for _, model := range bounds() {
		t.Run(model, func(t *testing.T) {
			g := dumped(t, model)
			pin, ok := spec.PinOf(model)
			if !ok || pin.Bound != g.Bound {
				t.Fatalf("the bound is %v, pinned is %v: run go generate ./spec", g.Bound, pin.Bound)
			}
			if counts := same(t, g); counts != pin.Counts {
				t.Errorf("TLC has %v, pinned is %v: run go generate ./spec", counts, pin.Counts)
			}
			if !t.Failed() {
				t.Logf("CHECKED spec bound=%s %v", model, pin.Counts)
			}
		})
	}
	if os.Getenv("SURESTART_BOUND") == "deep" {
		t.Run("deep", deepIsTLCs)
	}
}

// The deep model has three callers; TLC writes its graph into a pipe.
func deepIsTLCs(t *testing.T) {
	runner, err := tlc.Find()
	if err != nil {
		t.Fatal(err)
	}
	g, err := Deep(t.Context(), runner)
	if err != nil {
		t.Fatal(err)
	}
	counts := same(t, g)
	m := manifest(t)["deep-graph"]
	if counts != countsOf(m) {
		t.Errorf("TLC has %v, tla/manifest.json %v", counts, countsOf(m))
	}
	_, taken := g.Counts()
	for _, a := range spec.Actions() {
		if taken[a] != m.Labels[a.String()] {
			t.Errorf("TLC takes %v %d times, by tla/manifest.json %d", a, taken[a], m.Labels[a.String()])
		}
	}
	if !t.Failed() {
		t.Logf("CHECKED spec bound=deep %v", counts)
	}
}

// same compares the model with TLC's graph, and returns what that has.
func same(t *testing.T, g *Graph) spec.Counts {
	r := g.Compare(g.Bound, 5)
	for _, m := range r.Mismatches {
		t.Error(m)
	}
	if r.More {
		t.Error("and perhaps more")
	}
	return r.Counts
}

// The file has what go generate ./spec would write. Without the CI bound, the test only searches
// for the quick model's rows in the table.
func TestTableIsWhatTLCGenerates(t *testing.T) {
	var graphs []*Graph
	for _, model := range bounds() {
		g := dumped(t, model)
		graphs = append(graphs, g)
		rows, err := g.Table()
		if err != nil || len(rows) == 0 {
			t.Fatalf("%s: %d rows, %v", model, len(rows), err)
		}
		for _, r := range rows {
			if !slices.Contains(spec.Table(), r) {
				t.Errorf("%s: %v is not in the table", model, r)
			}
		}
	}
	if len(graphs) < len(Models()) {
		return
	}
	want, err := Generate(Models(), graphs)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../../spec/table_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("table_gen.go is not what TLC's graph gives: run go generate ./spec\n%s", want)
	}
}

// unnoticed lists, for each model, the alterations of a guard that change nothing in it, because
// the guard matters only with more calls or callers. Each is noticed in another model. An
// alteration that is not listed here has to be noticed; one that is listed must not be.
var unnoticed = map[string]string{
	// A Start, a use and a Stop are three calls; nothing is started again.
	"quick": "Forgets == true, KeepsOn == true, StopTells == false, Drained == true, MayForce == true, MayForce == false, " +
		"WaitsFor == false, GivesUpFor == false, MayRestart == false",
	// There are no retries.
	"restart-quick": "MayRetry == false, StillAlive == true, RolledBack == true, RolledBack == false, StopTells == false, " +
		"Drained == true, MayForce == true, MayForce == false",
	// No failure is reported, so that nothing is started again.
	"stoppers": "StillAlive == true, Forgets == true, KeepsOn == true, StopTells == false, Current == true, Current == false, " +
		"WaitsFor == false, GivesUpFor == false, MayRestart == false",
	// There are no retries. Two callers that wait to stop and one that uses would be three callers.
	"restart": "MayRetry == false, StillAlive == true, RolledBack == true, RolledBack == false, MayForce == true",
	// Nothing is started again, and there are two callers.
	"ci": "Forgets == true, KeepsOn == true, StopTells == false, MayForce == true, WaitsFor == false, GivesUpFor == false, MayRestart == false",
}

// asSpecified are the alterations that change nothing by what the guards are.
var asSpecified = []string{"Undo == true", "Forgets == false", "KeepsOn == false", "StopTells == true", "Queued == true", "GivesUpFor == true"}

// The comparison notices each named guard of the model altered, one at a time, to
// be always true and to be always false, and blames a guarantee.
func TestComparisonNoticesEveryGuard(t *testing.T) {
	for _, model := range bounds() {
		t.Run(model, func(t *testing.T) {
			g := dumped(t, model)
			var missed []string
			for _, name := range spec.GuardNames() {
				for _, says := range []bool{true, false} {
					alteration := fmt.Sprintf("%s == %v", name, says)
					if slices.Contains(asSpecified, alteration) {
						continue
					}
					r := g.Compare(g.Bound.Alter(name, says), 1)
					if len(r.Mismatches) == 0 {
						missed = append(missed, alteration)
						continue
					}
					t.Logf("%s: %v", alteration, r.Mismatches[0])
				}
			}
			if got := strings.Join(missed, ", "); got != unnoticed[model] {
				t.Errorf("not noticed: %s; want %s", got, unnoticed[model])
			}
		})
	}
}

// The comparison notices a dump in which one line is other than TLC's: an edge
// dropped, its label swapped, a value changed, a state given other fingerprints.
func TestComparisonNoticesALine(t *testing.T) {
	g := dumped(t, "quick") // skips where TLC cannot run
	lines := strings.SplitAfter(string(quickText), "\n")
	find := func(parts ...string) int { // a line from the middle on with all the parts
		for i := len(lines) / 3; i < len(lines); i++ {
			if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(lines[i], p) }) {
				return i
			}
		}
		t.Fatalf("no line with %q", parts)
		return 0
	}
	replace := func(i int, old, new string) string {
		if !strings.Contains(lines[i], old) {
			t.Fatalf("no %q in line %d", old, i)
		}
		return strings.Replace(lines[i], old, new, 1)
	}
	for name, alter := range map[string]func() (line int, text string){
		"as it is":     func() (int, string) { return 0, lines[0] },
		"edge dropped": func() (int, string) { return find(" -> ", `"Finish"`), "" },
		"label swapped": func() (int, string) {
			i := find(" -> ", `"ReleaseOk"`)
			return i, replace(i, "ReleaseOk", "ReleaseErr")
		},
		"label unknown": func() (int, string) { i := find(" -> ", `"Finish"`); return i, replace(i, "Finish", "Finished") },
		"state dropped": func() (int, string) { return find(`inuse = <<1, 0>>`), "" },
		"value changed": func() (int, string) {
			i := find(`\"stopwait\"`, "relerr = <<FALSE")
			return i, replace(i, "relerr = <<FALSE", "relerr = <<TRUE")
		},
		"value unknown":        func() (int, string) { i := find(`st = \"Started\"`); return i, replace(i, "Started", "Running") },
		"variable unknown":     func() (int, string) { i := find(`closing = `); return i, replace(i, "closing", "closed") },
		"parts out of order":   func() (int, string) { i := find(`held = <<<<1>>`); return i, replace(i, "<<<<1>>", "<<<<2>>") },
		"second initial state": func() (int, string) { i := find(`/\\ st = `, `"];`); return i, replace(i, `"];`, `",style = filled]`) },
		"terminal no more":     func() (int, string) { return find(" -> ", `"Terminating"`), "" },
		"end cut off":          func() (int, string) { return len(lines) - 2, "" },
	} {
		i, line := alter()
		altered := slices.Concat(lines[:i], []string{line}, lines[i+1:])
		got, err := Read(strings.NewReader(strings.Join(altered, "")), g.Bound)
		var what string
		if err != nil {
			what = err.Error()
		} else if r := got.Compare(g.Bound, 1); len(r.Mismatches) > 0 {
			what = r.Mismatches[0].String()
		}
		t.Logf("%s: %s", name, what)
		if (what == "") != (name == "as it is") {
			t.Errorf("%s: the comparison says %q", name, what)
		}
	}
}
