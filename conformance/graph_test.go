package conformance_test

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/internal/scheduler"
	"github.com/seed3893aba4/surestart/spec"
)

// TestGraphEqualsModel walks every state and every edge of the model's graph in
// the shipped fsm: that of the quick model, or of those that SURESTART_BOUND names
// ("stoppers ci"). The model's graph is TLC's: see the tests of package spec.
func TestGraphEqualsModel(t *testing.T) {
	for _, name := range strings.Fields(cmp.Or(os.Getenv("SURESTART_BOUND"), "quick")) {
		t.Run(name, func(t *testing.T) { walk(t, name) })
	}
}

func walk(t *testing.T, name string) {
	pin, ok := spec.PinOf(name)
	if !ok {
		t.Fatalf("SURESTART_BOUND: no model is called %q; there are quick, stoppers and ci", name)
	}
	g := pin.Graph()
	if counts, _ := g.Counts(); counts != pin.Counts {
		t.Fatalf("the model's graph has %v, TLC's %v", counts, pin.Counts)
	}
	c, err := scheduler.Explore(t.Context(), g, nil)
	if err != nil {
		t.Fatal(saved(err))
	}
	if c.States != len(g.States) || c.Edges != g.Steps() {
		t.Fatalf("walked %v of %d states and %d steps", c, len(g.States), g.Steps())
	}
	c.Edges = pin.Counts.Edges // as TLC counts them
	fmt.Printf("CHECKED conformance graph:%s %v\n", name, c)
}

// saved is err and, where a schedule led to it, how to run that again.
func saved(err error) string {
	file, bad := scheduler.Save(os.Getenv("SURESTART_SCHEDULES"), err)
	if bad != nil {
		return err.Error()
	}
	return fmt.Sprintf("%v\nto run it again: go run ./cmd/surestart replay %s", err, file)
}
