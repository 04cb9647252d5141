package model

import (
	"testing"

	"github.com/seed3893aba4/surestart/spec"
	"github.com/seed3893aba4/surestart/verify/internal/machine"
)

func countsOf(m machine.Model) spec.Counts {
	return spec.Counts{States: m.States, Edges: m.Edges, Depth: m.Depth}
}

// manifest is the models of tla/manifest.json, which ./check tlc holds TLC to.
func manifest(t *testing.T) map[string]machine.Model {
	m, err := machine.Lifecycle.Specification.Load("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]machine.Model)
	for _, m := range m.Models {
		byName[m.Name] = m
	}
	return byName
}

// The pinned counts are the manifest's.
func TestPinsAreTheManifests(t *testing.T) {
	found := 0
	for _, m := range manifest(t) {
		pin, ok := spec.PinOf(m.Name)
		if !ok {
			continue
		}
		found++
		if countsOf(m) != pin.Counts {
			t.Errorf("%s: the manifest has %v, pinned is %v", m.Name, countsOf(m), pin.Counts)
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
