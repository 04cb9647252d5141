package lifecycle_test

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/spec"
	"github.com/seed3893aba4/surestart/verify/internal/lifecycle/scheduler"
)

// TestGraphEqualsModel walks every state and every edge of the model's graph in
// the shipped fsm, from every position that the code has in a state (see
// scheduler.Explore): that of the quick models, or of those that SURESTART_BOUND names
// ("quick stoppers restart ci", "ci/2", "deep"), with how many tries if not as triesAt says.
// The model's graph is TLC's: see the tests in internal/spec.
func TestGraphEqualsModel(t *testing.T) {
	for _, bound := range strings.Fields(cmp.Or(os.Getenv("SURESTART_BOUND"), "restart-quick quick")) {
		t.Run(bound, func(t *testing.T) {
			name, text, given := strings.Cut(bound, "/")
			tries := triesAt(name)
			if n, err := strconv.Atoi(text); given && err == nil {
				tries = n
			} else if given {
				t.Fatalf("SURESTART_BOUND: %s: want a number of tries after the slash", bound)
			}
			walk(t, name, tries)
		})
	}
}

func walk(t *testing.T, name string, tries int) {
	pin, ok := spec.PinOf(name)
	if name == "deep" {
		pin, ok = deep(t), true
	}
	if !ok {
		t.Fatalf("SURESTART_BOUND: no model is called %q; there are quick, restart-quick, stoppers, restart, ci and deep", name)
	}
	g := pin.Graph()
	counts, _ := g.Counts()
	if counts != pin.Counts {
		t.Fatalf("the model's graph has %v, TLC's %v", counts, pin.Counts)
	}
	c, err := scheduler.Explore(t.Context(), g, tries, progress(name))
	if err != nil {
		t.Fatal(saved(err))
	}
	if c.States != len(g.States) || c.Edges != g.Steps() {
		t.Fatalf("walked %v of %d states and %d steps", c, len(g.States), g.Steps())
	}
	c.Edges = counts.Edges // as TLC counts them
	fmt.Printf("CHECKED conformance graph:%s %v\n", name, c)
}

// triesAt is how many tries of an attempt are walked. At the bounds with the most states
// none: there each edge is walked from one of the positions of its state. ci/2, in
// ./check deep, is ci from every position: ten minutes on two cores.
func triesAt(name string) int {
	switch name {
	case "quick":
		return *tries
	case "ci", "deep":
		return 0
	}
	return 2
}

var tries = flag.Int("graph.tries", 3, "how many tries of an attempt are walked at the quick bound")

// deep is the model of three callers, as tla/manifest.json has it.
func deep(t *testing.T) spec.Pin {
	text, err := os.ReadFile("../../../tla/manifest.json")
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
			return spec.Pin{Model: "deep", Bound: spec.Bound{Callers: 3, Parts: 2, Retries: true, Calls: 4, Fails: 1},
				Counts: spec.Counts{States: m.States, Edges: m.Edges, Depth: m.Depth}}
		}
	}
	t.Fatal("tla/manifest.json has no model deep-graph")
	return spec.Pin{}
}

// progress prints how far a long walk is, for a person who waits (go test -v).
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
	return fmt.Sprintf("%v\nto run it again: ./check replay %s", err, file)
}
