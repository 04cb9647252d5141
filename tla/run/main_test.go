package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const here = ".." // the folder of the specification

func load(t *testing.T) *manifest {
	t.Helper()
	m, err := loadManifest(here)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The manifest says what the configurations ask for, so that one cannot
// quietly lose a property.
func TestManifestMatchesConfigurations(t *testing.T) {
	for _, m := range load(t).Models {
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
// it, every guard is weakened at least once, and the README shows each.
func TestEveryGuaranteeAndGuardHasAVariant(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(here, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	guarantees, guards, cfgs := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, v := range load(t).Variants {
		guarantees[v.Guarantee], guards[v.Guard], cfgs[v.Cfg] = true, true, true
		c, err := readConfig(filepath.Join(here, v.Cfg))
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]string{v.Guard: v.Instead}; !reflect.DeepEqual(c.instead, want) {
			t.Errorf("%s replaces %v, the manifest says %v", v.Cfg, c.instead, want)
		}
		for _, p := range append(v.Breaks, v.Property) {
			if v.Module == "" && !slices.Contains(everything, p) {
				t.Errorf("%s: unknown property %s", v.Name, p)
			}
		}
		row := regexp.MustCompile(fmt.Sprintf("(?m)^\\| %s \\| `%s` .*\\[%s\\]\\(%s\\) \\| `%s` \\| %s \\|$",
			v.Guarantee, v.Property, v.Name, regexp.QuoteMeta(v.Cfg), v.Guard, regexp.QuoteMeta(v.Mistake)))
		if !row.Match(readme) {
			t.Errorf("README.md has no row for %s", v.Name)
		}
	}
	for g := 1; g <= 13; g++ {
		if !guarantees[fmt.Sprintf("G%d", g)] {
			t.Errorf("no variant must break G%d", g)
		}
	}
	algorithm, err := os.ReadFile(filepath.Join(here, "Algorithm.tla"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`(?m)^(\w+)(?:\(\w+(?:, \w+)*\))? +== .*\\\* G\d`).FindAllSubmatch(algorithm, -1)
	if len(named) < 13 {
		t.Fatalf("found only %d guards in Algorithm.tla", len(named))
	}
	for _, g := range named {
		if !guards[string(g[1])] {
			t.Errorf("no variant weakens the guard %s", g[1])
		}
	}
	files, err := filepath.Glob(filepath.Join(here, "Weak*.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !cfgs[filepath.Base(f)] {
			t.Errorf("%s is not in the manifest: nothing runs it", filepath.Base(f))
		}
	}
}

func TestVerdicts(t *testing.T) {
	const end = "12 states generated, 7 distinct states found, 0 states left on queue.\n"
	for _, test := range []struct {
		log, broken string
		states      int
		understood  bool
	}{
		{"Model checking completed. No error has been found.\n" + end, "", 7, true},
		{"Error: Invariant NoLeak is violated.\n", "NoLeak", 0, true},
		{"Error: Action property StopWins is violated.\n", "StopWins", 0, true},
		{"Error: Deadlock reached.\n", "Deadlock", 0, true},
		{"Error: Temporal properties were violated.\n" + end, "Progress", 7, true},
		{"Error: TLC threw an unexpected exception.\n", "", 0, false},
		{"", "", 0, false},
	} {
		v, ok := read(test.log, []string{"Progress"})
		if v.broken != test.broken || v.states != test.states || ok != test.understood {
			t.Errorf("%q: got %q, %d states, %v", test.log, v.broken, v.states, ok)
		}
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
	want := model{Name: "quick", States: 3, Edges: 5, Depth: 2, Properties: []string{"TypeOK"}, Labels: map[string]int{"A": 2, "B": 3}}
	if err := differ(want, want); err != nil {
		t.Error(err)
	}
	got := model{Name: "quick", States: 4, Edges: 5, Depth: 2, Labels: map[string]int{"A": 2, "C": 3}}
	err := differ(want, got)
	for _, part := range []string{"properties", "states: the manifest says 3, TLC found 4", "labelled B", "labelled C"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not name %q", err, part)
		}
	}
}

// A variant is asked about other properties with its own weakened guard, its
// own beginning and the fairness that they need.
func TestAsking(t *testing.T) {
	c, err := readConfig(filepath.Join(here, "WeakDrainFirst.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	live := c.asking([]string{"Progress"})
	if !strings.HasPrefix(live, "SPECIFICATION SpecInUse\n") || !strings.Contains(live, "Drained <- WeakDrained") ||
		!strings.Contains(live, "CHECK_DEADLOCK FALSE") || !strings.HasSuffix(live, "PROPERTIES Progress\n") {
		t.Errorf("for Progress:\n%s", live)
	}
	steps := c.asking([]string{"Deadlock", "NoLeak", "StopWins"})
	if !strings.HasPrefix(steps, "INIT InitInUse\n") || strings.Contains(steps, "CHECK_DEADLOCK") ||
		!strings.Contains(steps, "INVARIANTS NoLeak\n") || !strings.HasSuffix(steps, "PROPERTIES StopWins\n") {
		t.Errorf("for steps:\n%s", steps)
	}
}
