package lifecycle_test

import (
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/spec"
	"github.com/seed3893aba4/surestart/verify/internal/lifecycle/scheduler"
	"github.com/seed3893aba4/surestart/verify/internal/lifecycle/sections"
	"github.com/seed3893aba4/surestart/verify/internal/variant"
)

var isSplit = flag.Bool("sections.split", false, "fsm is built with a stop before each write of a critical section: TestSections walks it")

// TestSections walks every state and every edge of tla/Sections.tla's graph in the shipped fsm, built
// with a stop before each write of a word that lock-free steps load, and before the answers. The model's
// graph is TLC's: see the tests in sections.
func TestSections(t *testing.T) {
	if *isSplit {
		walkSections(t)
		return
	}
	if testing.Short() {
		t.Skip("-short: fsm is built with the stops, and walked: some seconds")
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	files, err := sections.Split(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(t.TempDir(), "sections.test")
	if err := variant.Build(t.Context(), root, variant.Variant{Name: "sections", Files: files}, "verify/internal/lifecycle", bin); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), bin, "-test.run=^TestSections$", "-sections.split").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "CHECKED ") {
			fmt.Print(line)
			return
		}
	}
	t.Fatalf("no count of what was walked:\n%s", out)
}

func walkSections(t *testing.T) {
	b := sections.Model
	g, err := spec.Explore(b, b.Init(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := scheduler.ExploreSections(t.Context(), g, progress("sections"))
	if err != nil {
		t.Fatal(err)
	}
	if c.States != len(g.States) || c.Edges != g.Steps() {
		t.Fatalf("walked %v of %d states and %d steps", c, len(g.States), g.Steps())
	}
	fmt.Printf("CHECKED conformance sections %v\n", c)
}
