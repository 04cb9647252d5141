package partition_test

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	model "github.com/seed3893aba4/surestart/spec/delivery"
	"github.com/seed3893aba4/surestart/verify/internal/delivery/partition"
	"github.com/seed3893aba4/surestart/verify/internal/walk"
)

// TestCoreEqualsModel walks every state, every edge and every refusal of the model's graphs in the cores of a producer's
// partitions: those of the models that SURESTART_BOUND has (quick, ci or deep).
func TestCoreEqualsModel(t *testing.T) {
	bound := cmp.Or(os.Getenv("SURESTART_BOUND"), "quick")
	var steps int64
	rows := new(partition.Rows)
	began := time.Now()
	for _, one := range models {
		if !slices.Contains(one.in, bound) {
			continue
		}
		t.Run(one.name, func(t *testing.T) {
			g, err := one.bound.Graph(one.from...)
			if err != nil {
				t.Fatal(err)
			}
			counts, _ := g.Counts()
			if pin, ok := model.PinOf(one.name); ok && counts != pin.Counts {
				t.Fatalf("the model's graph has %v, TLC's %v", counts, pin.Counts)
			}
			m, err := partition.Machine(g, rows)
			if err != nil {
				t.Fatal(err)
			}
			c, err := walk.Explore(t.Context(), m, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.States != len(g.States) || c.Edges != g.Steps() {
				t.Fatalf("walked %v of %d states and %d steps", c, len(g.States), g.Steps())
			}
			steps += c.Steps + int64(c.Refusals)
			c.Edges = counts.Edges // as TLC counts them
			fmt.Printf("CHECKED delivery core:%s %v\n", strings.TrimPrefix(one.name, "delivery-"), c)
		})
	}
	// What the core has done is what the table says, which is generated from TLC's graphs.
	table, done := model.Table(), rows.Table()
	for _, row := range done {
		if !slices.Contains(table, row) {
			t.Errorf("D2 Truth is broken: the core has done %v, which is not in the table", row)
		}
	}
	for _, row := range table {
		if !slices.Contains(done, row) {
			t.Errorf("the core has never done %v", row)
		}
	}
	fmt.Printf("CHECKED delivery table rows=%d\n", len(done))
	t.Logf("%.1f million events a second, each compared", float64(steps)/time.Since(began).Seconds()/1e6)
}
