package partition_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	model "github.com/seed3893aba4/surestart/spec/delivery"
	"github.com/seed3893aba4/surestart/verify/internal/delivery/partition"
	"github.com/seed3893aba4/surestart/verify/internal/walk"
)

// An alteration of a guard to one of these values changes nothing: it is specified so, or other
// guards exclude what it would allow.
var nothing = []string{
	"Unsure true", "Unsent true", "Reached true", "Freed true", "NextInDoubt true", "Requeue true", "Shortened true", "Expires true",
	"MayTake true", // when the producer is stopped the queues are empty
}

// Where one guard of the model answers the same always, the walk finds the cores different, at one bound or another.
func TestAlteredModelIsNotTheCores(t *testing.T) {
	found := 0
	for _, guard := range model.GuardNames() {
		for _, says := range []bool{true, false} {
			what := fmt.Sprint(guard, " ", says)
			d := altered(t, guard, says)
			switch {
			case slices.Contains(nothing, what) == (d == nil):
			case d == nil:
				t.Errorf("with %s in the model no walk finds a difference", what)
			default:
				t.Errorf("with %s in the model nothing should differ: %v", what, d)
			}
			if d != nil {
				found++
			}
		}
	}
	fmt.Printf("CHECKED delivery controls altered=%d found=%d\n", 2*len(model.GuardNames()), found)
}

func altered(t *testing.T, guard string, says bool) *partition.Difference {
	for _, one := range models {
		if one.name == "delivery-kfake" || one.name == "split-three" { // which take longest
			continue
		}
		g := graph(one.bound.Alter(guard, says), one.from)
		if g == nil || same(g, unaltered(one.name)) {
			continue
		}
		m, err := partition.Machine(g, new(partition.Rows))
		if err != nil {
			t.Fatal(err)
		}
		var d *partition.Difference
		if _, err := walk.Explore(t.Context(), m, nil); errors.As(err, &d) {
			return d
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return nil
}

// unaltered returns the graph of a model.
var unaltered = func() func(name string) *model.Graph {
	graphs := make(map[string]*model.Graph)
	return func(name string) *model.Graph {
		if graphs[name] == nil {
			i := slices.IndexFunc(models, func(one walked) bool { return one.name == name })
			graphs[name] = graph(models[i].bound, models[i].from)
		}
		return graphs[name]
	}
}()

// same reports whether two graphs have the same states, and the same steps out of each.
func same(a, b *model.Graph) bool {
	if !slices.Equal(a.States, b.States) || a.Steps() != b.Steps() {
		return false
	}
	for i := range a.States {
		if !slices.Equal(a.Edges(i), b.Edges(i)) {
			return false
		}
	}
	return true
}

// graph is the graph of an altered model; nil where a state cannot hold it, or where the steps do not lead.
func graph(b model.Bound, from []model.Step) (g *model.Graph) {
	defer func() {
		if recover() != nil {
			g = nil
		}
	}()
	g, _ = b.Graph(from...)
	return g
}
