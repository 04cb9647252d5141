package second

import (
	"slices"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/verify/internal/machine"
)

var lifecycle = checker{Specification: machine.Lifecycle.Specification}

// What the second checker prints of a model, shortened.
const printed = `Checking spec: MC.tla
  Invariants: 2

{"status": "ok", "stats": {"states_explored": 10, "transitions": 25, "max_depth": 4, "elapsed_secs": 1.0}, "properties": [{"name": "Terminated", "satisfied": 3, "violated": 7, "errors": 0, "total": 10}], "properties_checked": ["SingleFlight"]}

  Found 1 initial states
`

var pinned = machine.Model{Module: "MC", Properties: []string{"TypeOK", "NoLeak", "SingleFlight", "KeepsContract"}, States: 10, Graph: true, Edges: 22, Depth: 4}

// A part of the output that is different, missing or doubtful is noticed.
func TestDiffer(t *testing.T) {
	got, err := read(printed, "Terminated")
	if err != nil {
		t.Fatal(err)
	}
	if err := lifecycle.differ(pinned, got); err != nil {
		t.Fatal(err)
	}
	for was, is := range map[string]string{
		`"states_explored": 10`: `"states_explored": 11`,
		`"transitions": 25`:     `"transitions": 26`,
		`"max_depth": 4`:        `"max_depth": 5`,
		`"satisfied": 3`:        `"satisfied": 2`,
		`"errors": 0`:           `"errors": 1`,
		`"Terminated"`:          `"Something"`,
		`["SingleFlight"]`:      `[]`,
		`Invariants: 2`:         `Invariants: 1`,
		`  Found`:               "  Warning: failed to parse operator 'UseSlow': unexpected\n  Found",
		"\n{":                   "\nWarning: ACTION_CONSTRAINT 'Watch' is not yet supported, ignoring\n{",
	} {
		if !strings.Contains(printed, was) {
			t.Fatalf("%q is not in what is printed", was)
		}
		got, err := read(strings.Replace(printed, was, is, 1), "Terminated")
		if err == nil && lifecycle.differ(pinned, got) == nil {
			t.Errorf("%s for %s is not noticed", is, was)
		}
	}
}

// What it refuses is known with its reason, and no answer is an answer.
func TestReadRefusals(t *testing.T) {
	const reason = "error applying Quick.cfg: PROPERTY `P` is defined, but its definition did not parse"
	if got, err := read(reason+"\n", ""); err != nil || got.status != "refused" || got.complaint != reason {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := read("Checking spec: MC.tla\n", ""); err == nil {
		t.Errorf("no answer is taken for one: %+v", got)
	}
}

// The models that it is given are in the manifest, and a variant for each of its own.
func TestModelsAreTheManifests(t *testing.T) {
	m, err := lifecycle.Load("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Concat(lifecycle.Second.Quick, lifecycle.Second.Long) {
		i := slices.IndexFunc(m.Models, func(x machine.Model) bool { return x.Name == name })
		if i < 0 || m.Models[i].States == 0 {
			t.Errorf("manifest.json has no counts of %s", name)
		}
	}
	if len(m.Variants) == 0 {
		t.Error("manifest.json has no variants")
	}
}
