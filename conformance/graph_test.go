package conformance_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/internal/scheduler"
	"github.com/seed3893aba4/surestart/spec"
)

// TestGraphEqualsModel walks every state and every edge of the model's graph in
// the shipped fsm: that of the quick model, or of those that SURESTART_BOUND names
// ("stoppers ci", "deep"). The model's graph is TLC's: see the tests of package
// spec.
func TestGraphEqualsModel(t *testing.T) {
	for _, name := range strings.Fields(cmp.Or(os.Getenv("SURESTART_BOUND"), "quick")) {
		t.Run(name, func(t *testing.T) { walk(t, name) })
	}
}

func walk(t *testing.T, name string) {
	pin, ok := spec.PinOf(name)
	if name == "deep" {
		pin, ok = deep(t), true
	}
	if !ok {
		t.Fatalf("SURESTART_BOUND: no model is called %q; there are quick, stoppers, ci and deep", name)
	}
	g := pin.Graph()
	counts, _ := g.Counts()
	if counts != pin.Counts {
		t.Fatalf("the model's graph has %v, TLC's %v", counts, pin.Counts)
	}
	c, err := scheduler.Explore(t.Context(), g, progress(name))
	if err != nil {
		t.Fatal(saved(err))
	}
	if c.States != len(g.States) || c.Edges != g.Steps() {
		t.Fatalf("walked %v of %d states and %d steps", c, len(g.States), g.Steps())
	}
	c.Edges = counts.Edges // as TLC counts them
	fmt.Printf("CHECKED conformance graph:%s %v\n", name, c)
}

// deep is the model of three callers, as tla/manifest.json has it.
func deep(t *testing.T) spec.Pin {
	text, err := os.ReadFile("../tla/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Models []struct {
			Name                 string
			States, Edges, Depth int
		}
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	for _, m := range manifest.Models {
		if m.Name == "deep-graph" {
			return spec.Pin{Model: "deep", Bound: spec.Bound{Callers: 3, Parts: 2, Calls: 4, Fails: 1},
				Counts: spec.Counts{States: m.States, Edges: m.Edges, Depth: m.Depth}}
		}
	}
	t.Fatal("tla/manifest.json has no model deep-graph")
	return spec.Pin{}
}

// progress tells somebody who waits (go test -v) how far a long walk is.
func progress(name string) func(scheduler.Progress) {
	if !testing.Verbose() {
		return nil
	}
	var last time.Duration
	return func(p scheduler.Progress) {
		if p.Elapsed-last > 5*time.Second {
			last = p.Elapsed
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, p)
		}
	}
}

// saved is err and, where a schedule led to it, how to run that again.
func saved(err error) string {
	file, bad := scheduler.Save(os.Getenv("SURESTART_SCHEDULES"), err)
	if bad != nil {
		return err.Error()
	}
	return fmt.Sprintf("%v\nto run it again: go run ./cmd/surestart replay %s", err, file)
}

// TestGraphOfSupervisor walks, in the shipped fsm, all that a lifecycle with
// WithRestart can do, and holds it against the model of tla/Supervisor.tla, whose
// graph is TLC's: see the tests of internal/supervisor.
func TestGraphOfSupervisor(t *testing.T) {
	bounds := []spec.Bound{{Callers: 2, Parts: 1, Calls: 3, Fails: 2}} // the supervisor is the last
	if cmp.Or(os.Getenv("SURESTART_BOUND"), "quick") != "quick" {
		bounds = append(bounds, spec.Bound{Callers: 3, Parts: 1, Calls: 3, Fails: 1}, spec.Bound{Callers: 2, Parts: 1, Calls: 4, Fails: 2})
	}
	for _, b := range bounds {
		c, err := scheduler.ExploreSupervised(t.Context(), b)
		if err != nil {
			t.Fatal(saved(err))
		}
		fmt.Printf("CHECKED conformance graph:supervisor callers=%d calls=%d fails=%d %v\n", b.Callers, b.Calls, b.Fails, c)
	}
}
