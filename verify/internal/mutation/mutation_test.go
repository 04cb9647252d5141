package mutation

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/verify/internal/machine"
	"github.com/seed3893aba4/surestart/verify/internal/machine/fridge"
)

const root = "../../.."

// Every operator finds something to change. Each mutant differs from the source and has an id of
// its own, and every listed equivalent still is one of them.
func TestMutants(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: to type-check every mutant takes half a minute")
	}
	all, err := All(root, machine.All())
	if err != nil {
		t.Fatal(err)
	}
	operators, seen := make(map[string]int), make(map[string]bool)
	for _, m := range all {
		operators[m.Operator]++
		if seen[m.ID] {
			t.Errorf("two mutants are called %s", m.ID)
		}
		seen[m.ID] = true
		if was, err := os.ReadFile(filepath.Join(root, m.File)); err != nil || bytes.Equal(was, m.text) {
			t.Errorf("%s changes nothing (%v)", m.ID, err)
		}
	}
	for _, o := range []string{"remove-statement", "remove-case", "negate-if", "if-true", "if-false", "drop-operand", "swap-operator",
		"constant", "nil-result", "drop-return", "swap-statements", "remove-lock", "replace-argument", "swap-assignment", "move-in", "move-out", "drop-row", "redirect-row", "swap-events", "add-row"} {
		if operators[o] == 0 {
			t.Errorf("the operator %s gives no mutant that compiles", o)
		}
		t.Logf("%s: %d", o, operators[o])
	}
	listed, err := equivalents()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range slices.Sorted(maps.Keys(listed)) {
		if !seen[id] {
			t.Errorf("equivalent.txt lists %s, which is no mutant any more: strike it out", id)
		}
	}
	fmt.Printf("CHECKED mutation operators=%d equivalent-listed=%d\n", len(operators), len(listed))
}

func TestSampleIsDrawnBySeed(t *testing.T) {
	all := make([]Mutant, 100)
	for i := range all {
		all[i].ID = fmt.Sprint(i)
	}
	ids := func(s []Mutant) (ids []string) {
		for _, m := range s {
			ids = append(ids, m.ID)
		}
		return ids
	}
	a, b, c := ids(Sample(all, 10, 1)), ids(Sample(all, 10, 1)), ids(Sample(all, 10, 2))
	if len(a) != 10 || !slices.Equal(a, b) || slices.Equal(a, c) || len(Sample(all, 0, 1)) != 100 {
		t.Errorf("seed 1: %v and %v; seed 2: %v", a, b, c)
	}
	slices.Sort(a)
	if len(slices.Compact(a)) != 10 {
		t.Errorf("drawn twice: %v", a)
	}
	changed := slices.Clone(all)
	changed[50].Diff = "x → y"
	if Seed(all) != Seed(slices.Clone(all)) || Seed(all) == Seed(changed) {
		t.Errorf("the seeds of %d mutants, of the same, of others: %d, %d, %d", len(all), Seed(all), Seed(slices.Clone(all)), Seed(changed))
	}
}

// A mutant of another machine is tried by that one's tests, and it has no table.
func TestMutantOfAnotherMachine(t *testing.T) {
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	all, err := All(top, []*machine.Machine{fridge.Machine})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 4 {
		t.Errorf("%d mutants", len(all))
	}
	i := slices.IndexFunc(all, func(m Mutant) bool { return m.Operator == "remove-statement" })
	if i < 0 {
		t.Fatalf("%+v", all)
	}
	if err := Run(t.Context(), top, all[i:i+1], func(r Result) {
		if r.Status != Killed || r.Layer != "tests" || !slices.Contains([]string{"F1", "F2"}, strings.Join(r.Guarantees, " ")) {
			t.Errorf("%v", r)
		}
	}); err != nil {
		t.Fatal(err)
	}
}
