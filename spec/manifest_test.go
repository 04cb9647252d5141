package spec_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/seed3893aba4/surestart/spec"
)

// The pinned counts are those of tla/manifest.json, which tla/run.sh holds TLC to.
func TestPinsAreTheManifests(t *testing.T) {
	text, err := os.ReadFile("../tla/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Models []struct {
			Name                 string
			States, Edges, Depth int
			Labels               map[string]int
		}
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range manifest.Models {
		pin, ok := spec.PinOf(m.Name)
		if !ok {
			continue
		}
		found++
		if got := (spec.Counts{States: m.States, Edges: m.Edges, Depth: m.Depth}); got != pin.Counts {
			t.Errorf("%s: the manifest has %v, pinned is %v", m.Name, got, pin.Counts)
		}
		for _, a := range spec.Actions() {
			if m.Labels[a.String()] != pin.Taken[a] {
				t.Errorf("%s: %v is taken %d times by the manifest, pinned is %d", m.Name, a, m.Labels[a.String()], pin.Taken[a])
			}
		}
	}
	if found < 2 {
		t.Errorf("the manifest has %d of the pinned models, want quick and ci", found)
	}
}
