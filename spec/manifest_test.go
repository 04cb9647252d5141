package spec_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/seed3893aba4/surestart/spec"
)

// model is one of tla/manifest.json, which tla/run.sh holds TLC to.
type model struct {
	Name                 string
	States, Edges, Depth int
	Labels               map[string]int
}

func (m model) counts() spec.Counts {
	return spec.Counts{States: m.States, Edges: m.Edges, Depth: m.Depth}
}

func models(t *testing.T) map[string]model {
	text, err := os.ReadFile("../tla/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct{ Models []model }
	if err := json.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]model)
	for _, m := range manifest.Models {
		byName[m.Name] = m
	}
	return byName
}

// The pinned counts are the manifest's.
func TestPinsAreTheManifests(t *testing.T) {
	found := 0
	for _, m := range models(t) {
		pin, ok := spec.PinOf(m.Name)
		if !ok {
			continue
		}
		found++
		if m.counts() != pin.Counts {
			t.Errorf("%s: the manifest has %v, pinned is %v", m.Name, m.counts(), pin.Counts)
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
