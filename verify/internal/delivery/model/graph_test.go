package model

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/internal/checkout"
	"github.com/seed3893aba4/surestart/spec/delivery"
	"github.com/seed3893aba4/surestart/verify/internal/machine"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

// dumps keeps what TLC says of each model for all tests of the package.
var dumps = map[string]func(tlc.TestingT) *Graph{}

func init() {
	for _, model := range append(Models(), Deep) {
		dumps[model] = tlc.Once(func(t tlc.TLC, dir string) (*Graph, error) {
			g, _, err := Dump(context.Background(), t, model, dir)
			return g, err
		})
	}
}

// dumped returns TLC's graph of a model, or skips where TLC cannot run.
func dumped(t *testing.T, model string) *Graph {
	t.Helper()
	return dumps[model](t)
}

// bounds returns the models to compare in this run: with -short two of a second each, unless
// SURESTART_BOUND=ci; with SURESTART_BOUND=deep also the one of half a minute.
func bounds() []string {
	switch bound := os.Getenv("SURESTART_BOUND"); {
	case bound == "deep":
		return append(Models(), Deep)
	case testing.Short() && bound != "ci":
		return []string{"delivery-fenced", "delivery-quick"}
	}
	return Models()
}

// The model is TLC's graph: the same states, the same labelled edges, both ways.
func TestModelIsTLCsGraph(t *testing.T) {
	for _, model := range bounds() {
		t.Run(model, func(t *testing.T) {
			t.Parallel() // TLC writes a graph on one processor
			g := dumped(t, model)
			r := g.Compare(g.Bound, 5)
			for _, m := range r.Mismatches {
				t.Error(m)
			}
			if r.More {
				t.Error("and perhaps more")
			}
			if pin, ok := delivery.PinOf(model); ok && r.Counts != pin.Counts {
				t.Errorf("TLC has %v, pinned is %v: run go generate ./spec", r.Counts, pin.Counts)
			}
			if !t.Failed() {
				t.Logf("CHECKED delivery model=%s %v", model, r.Counts)
			}
		})
	}
}

// The files have what go generate ./spec would write. If some models are left out, the test only
// searches for the rows of the others in the table.
func TestTableIsWhatTLCGenerates(t *testing.T) {
	if len(bounds()) < len(Models()) {
		t.Skip("the table is of all models")
	}
	var graphs []*Graph
	for _, model := range Models() {
		graphs = append(graphs, dumped(t, model))
	}
	want, err := Generate(Models(), graphs)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../../spec/delivery/table_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("table_gen.go is not what TLC's graphs give: run go generate ./spec\n%s", want)
	}
}

// unnoticed are the alterations of a guard that change nothing in any model, because the guard has
// that value anyway. MayTake is one: when the producer is stopped there is nothing to take.
const unnoticed = "Unsure == true, Unsent == true, Reached == true, Freed == true, NextInDoubt == true, Requeue == true, " +
	"Shortened == true, Expires == true, MayTake == true"

// The comparison notices each named guard of the model altered, one at a time, in one of the models.
func TestComparisonNoticesEveryGuard(t *testing.T) {
	if len(bounds()) < len(Models()) {
		t.Skip("it takes all models to notice every guard")
	}
	var missed []string
	for _, name := range delivery.GuardNames() {
		for _, says := range []bool{true, false} {
			alteration := fmt.Sprintf("%s == %v", name, says)
			noticed := slices.ContainsFunc(Models(), func(model string) bool {
				g := dumped(t, model)
				r := g.Compare(g.Bound.Alter(name, says), 1)
				for _, m := range r.Mismatches {
					t.Logf("%s, by %s: %v", alteration, model, m)
				}
				return len(r.Mismatches) > 0
			})
			if !noticed {
				missed = append(missed, alteration)
			}
		}
	}
	if got := strings.Join(missed, ", "); got != unnoticed {
		t.Errorf("not noticed: %s; want %s", got, unnoticed)
	}
}

// The pinned models are those that the configurations say, and the manifest counts as many states; of those that it
// has the graph of, as many of everything.
func TestPinsAreTheManifests(t *testing.T) {
	root, err := checkout.Root()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := machine.Delivery.Specification.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	states, graphs := 0, 0
	for i, name := range Models() {
		model, err := ModelOf(root, name)
		if err != nil {
			t.Fatal(err)
		}
		pin := delivery.Pins()[i]
		if pin.Model != name || pin.Bound != model.Bound || !slices.Equal(pin.From, model.From) {
			t.Errorf("%s is %v from %v, pinned is %s, %v from %v", name, model.Bound, model.From, pin.Model, pin.Bound, pin.From)
		}
		for _, m := range manifest.Models {
			if m.Name != name || name == "delivery-partitions" { // that is counted under symmetry
				continue
			}
			states++
			if m.States != pin.Counts.States {
				t.Errorf("%s: the manifest has %d states, pinned are %d", name, m.States, pin.Counts.States)
			}
			if !m.Graph {
				continue
			}
			graphs++
			if m.Edges != pin.Counts.Edges || m.Depth != pin.Counts.Depth {
				t.Errorf("%s: the manifest has %d edges, depth %d, pinned is %v", name, m.Edges, m.Depth, pin.Counts)
			}
			for a, label := range labels() {
				if m.Labels[label] != pin.Taken[a] {
					t.Errorf("%s: %v is taken %d times by the manifest, pinned is %d", name, delivery.Action(a), m.Labels[label], pin.Taken[a])
				}
			}
		}
	}
	if states < 10 || graphs < 2 {
		t.Errorf("the manifest has %d of the pinned models, and %d graphs", states, graphs)
	}
}
