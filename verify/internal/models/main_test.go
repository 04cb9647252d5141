package models

import (
	"cmp"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/verify/internal/machine"
	"github.com/seed3893aba4/surestart/verify/internal/machine/fridge"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

const (
	root = "../../.."
	here = root + "/tla" // the folder of the specification
)

var lifecycle = machine.Lifecycle.Specification

func load(t *testing.T, of *machine.Machine) *machine.Manifest {
	t.Helper()
	m, err := of.Specification.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The manifest says what the configurations ask for, so that one cannot
// quietly lose a property.
func TestManifestMatchesConfigurations(t *testing.T) {
	var all []machine.Model
	for _, of := range machine.All() {
		all = append(all, load(t, of).Models...)
	}
	for _, m := range all {
		c, err := readConfig(filepath.Join(here, m.Cfg))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(c.properties, m.Properties) {
			t.Errorf("%s asks for %v, the manifest says %v", m.Cfg, c.properties, m.Properties)
		}
		if len(c.instead) > 0 || c.unchecked {
			t.Errorf("%s weakens what it checks: %v", m.Cfg, c.instead)
		}
		if m.States == 0 || m.Graph && (m.Edges == 0 || m.Depth == 0) {
			t.Errorf("%s: the sizes are not pinned", m.Name)
		}
		sum := 0
		for label, n := range m.Labels {
			sum += n
			if n == 0 {
				t.Errorf("%s: no step is labelled %s", m.Name, label)
			}
		}
		if sum != m.Edges {
			t.Errorf("%s: %d edges, %d by their labels", m.Name, m.Edges, sum)
		}
	}
}

// Every guarantee that the specification covers has a variant that must break
// it, and every guard is weakened at least once.
func TestEveryGuaranteeAndGuardHasAVariant(t *testing.T) {
	for _, of := range machine.All() {
		t.Run(of.Name, func(t *testing.T) { everyGuaranteeAndGuardHasAVariant(t, of) })
	}
}

func everyGuaranteeAndGuardHasAVariant(t *testing.T, of *machine.Machine) {
	manifest := load(t, of)
	known := slices.Clone(of.Specification.Properties)
	for _, m := range manifest.Models {
		known = append(known, m.Properties...)
	}
	weak := map[string]bool{of.Specification.Weak: true} // the modules
	guarantees, guards, cfgs := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, v := range manifest.Variants {
		weak[cmp.Or(v.Module, of.Specification.Weak)] = true
		guarantees[v.Guarantee], guards[v.Guard], cfgs[v.Cfg] = true, true, true
		c, err := readConfig(filepath.Join(here, v.Cfg))
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]string{v.Guard: v.Instead}; !reflect.DeepEqual(c.instead, want) {
			t.Errorf("%s replaces %v, the manifest says %v", v.Cfg, c.instead, want)
		}
		for _, p := range append(v.Breaks, v.Property) {
			if !slices.Contains(known, p) {
				t.Errorf("%s: unknown property %s", v.Name, p)
			}
		}
	}
	for _, g := range of.Guarantees {
		if !guarantees[g.ID] && !slices.Contains([]string{"G14", "G15", "D8", "D9"}, g.ID) { // which are no matter of the protocols
			t.Errorf("no variant must break %v", g)
		}
	}
	algorithm, err := os.ReadFile(filepath.Join(here, of.Specification.Guards+".tla"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`(?m)^(\w+)(?:\(\w+(?:, \w+)*\))? +== .*\\\* `+machine.IDPattern).FindAllSubmatch(algorithm, -1)
	if len(named) < 13 {
		t.Fatalf("found only %d guards in %s.tla", len(named), of.Specification.Guards)
	}
	for _, g := range named {
		if !guards[string(g[1])] {
			t.Errorf("no variant weakens the guard %s", g[1])
		}
	}
	for module := range weak {
		for _, dir := range []string{"", "weak/"} {
			files, err := filepath.Glob(filepath.Join(here, dir, module+"*.cfg"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if cfg := dir + filepath.Base(f); !cfgs[cfg] {
					t.Errorf("%s is not in the manifest: nothing runs it", cfg)
				}
			}
		}
	}
}

// TLC does not say which temporal property it refutes.
func TestTheTemporalPropertyIsTheOneAskedFor(t *testing.T) {
	if got := (checker{Specification: lifecycle}).asked([]string{"TypeOK", "Progress"}); got != "Progress" {
		t.Errorf("got %q", got)
	}
}

// The same edge printed twice is one; two labels between the same states are two.
func TestSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.dot")
	if err := os.WriteFile(path, []byte(`strict digraph DiskGraph {
-1 [label="/\\ x = 1",style = filled]
-1 -> 2 [label="A",color="black",fontcolor="black"];
2 [label="/\\ x = \"2 -> 3\""];
-1 -> 2 [label="B",color="black",fontcolor="black"];
-1 -> 2 [label="A",color="black",fontcolor="black"];
2 -> 2 [label="Terminating",color="black",fontcolor="black"];
{rank = same; -1;}
}
`), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := size(path)
	want := graph{states: 2, edges: 2, depth: 2, labels: map[string]int{"A": 1, "B": 1}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

func TestDifferNamesWhatDiffers(t *testing.T) {
	want := machine.Model{Name: "quick", States: 3, Edges: 5, Depth: 2, Properties: []string{"TypeOK"}, Labels: map[string]int{"A": 2, "B": 3}}
	if err := differ(want, want); err != nil {
		t.Error(err)
	}
	got := machine.Model{Name: "quick", States: 4, Edges: 5, Depth: 2, Labels: map[string]int{"A": 2, "C": 3}}
	err := differ(want, got)
	for _, part := range []string{"properties", "states: the manifest says 3, TLC found 4", "labelled B", "labelled C"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not name %q", err, part)
		}
	}
}

// A variant is checked against other properties with its own weakened guard, its own initial
// states, and the fairness that they need.
func TestAsking(t *testing.T) {
	c, err := readConfig(filepath.Join(here, "weak", "WeakDrainFirst.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	live := c.asking(lifecycle, []string{"Progress"})
	if !strings.HasPrefix(live, "SPECIFICATION SpecInUse\n") || !strings.Contains(live, "Drained <- WeakDrained") ||
		!strings.Contains(live, "CHECK_DEADLOCK FALSE") || !strings.HasSuffix(live, "PROPERTIES Progress\n") {
		t.Errorf("for Progress:\n%s", live)
	}
	steps := c.asking(lifecycle, []string{"Deadlock", "NoLeak", "StopWins"})
	if !strings.HasPrefix(steps, "INIT InitInUse\n") || strings.Contains(steps, "CHECK_DEADLOCK") ||
		!strings.Contains(steps, "INVARIANTS NoLeak\n") || !strings.HasSuffix(steps, "PROPERTIES StopWins\n") {
		t.Errorf("for steps:\n%s", steps)
	}
}

// TLC checks another machine as it checks the lifecycle: its model, its variants, its premises and
// its graph. The machine's description is enough.
func TestAnotherMachine(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: TLC is started a dozen times")
	}
	installed := tlc.ForTest(t)
	s := fridge.Machine.Specification
	m, err := s.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	k := checker{Specification: s, root: top, dir: filepath.Join(top, s.Dir), tlc: installed, scratch: t.TempDir()}
	if mine, err := k.do(t.Context(), m, []string{"ci"}); err != nil || !mine {
		t.Error(err)
	}
	if mine, err := k.do(t.Context(), m, []string{"pin", "quick"}); err != nil || mine {
		t.Errorf("quick is the lifecycle's: %v, %v", mine, err)
	}
	m.Variants[0].Breaks = []string{"Lit"}
	if err := k.variant(t.Context(), m.Variants[0], true); err == nil {
		t.Error("that Lit holds without GoesOff is not noticed")
	}
	path, err := installed.Dump(t.Context(), tlc.Model{Name: "fridge", Config: s.Dir + "/Fridge.cfg", Module: s.Module}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g, err := tlc.Read(f, []string{"Open", "Shut"}, func(text []byte) (state fridge.Fridge, err error) {
		return state, tlc.ReadState(text, []string{"door", "light"}, func(v *tlc.Values, name string) {
			if name == "light" {
				state.Lit = v.Boolean()
			} else {
				state.Ajar = tlc.Named[uint8](v, []string{"shut", "open"}) == 1
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if counts, taken := g.Counts(); counts != (tlc.Counts{States: 2, Edges: 2, Depth: 2}) || !slices.Equal(taken, []int{1, 1}) || g.States[g.Initial[0]] != (fridge.Fridge{}) {
		t.Errorf("%v, %v, %v", counts, taken, g.States)
	}
}
