package machine_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/seed3893aba4/surestart/verify/internal/machine"
	"github.com/seed3893aba4/surestart/verify/internal/machine/fridge"
)

// Each machine is described completely. No two share a guarantee's ID or a model's name, because
// these distinguish the machines.
func TestMachinesAreThere(t *testing.T) {
	const root = "../../.."
	id := regexp.MustCompile("^" + machine.IDPattern + "$")
	ids, models := map[string]bool{}, map[string]bool{}
	for _, m := range append(machine.All(), fridge.Machine) {
		is := func(name string) {
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(name))); err != nil {
				t.Errorf("%s: %v", m.Name, err)
			}
		}
		for _, g := range m.Guarantees {
			if !id.MatchString(g.ID) || ids[g.ID] || g.Name == "" || g.Promise == "" {
				t.Errorf("%s: %+v", m.Name, g)
			}
			ids[g.ID] = true
		}
		for _, p := range m.Packages {
			is(p.Dir)
			for _, l := range slices.Concat(p.Faults, p.Mutants) {
				is(l.Dir)
			}
		}
		if m.Table != nil {
			is(m.Table.File)
		}
		is(m.Picture)
		s := m.Specification
		for _, module := range []string{s.Module, s.Weak, s.Reach} {
			is(s.Dir + "/" + module + ".tla")
		}
		manifest, err := s.Load(root)
		if err != nil {
			t.Fatal(err)
		}
		for _, model := range manifest.Models {
			if models[model.Name] {
				t.Errorf("%s: a second model is called %s", m.Name, model.Name)
			}
			models[model.Name] = true
			is(s.Dir + "/" + model.Cfg)
		}
		for _, v := range manifest.Variants {
			if g, ok := m.GuaranteeOf(v.Guarantee); !ok || v.Module == "" && !slices.Contains(s.Properties, v.Property) {
				t.Errorf("%s: the variant %s is of %v, %s", m.Name, v.Name, g, v.Property)
			}
		}
	}
}

// A fault's layers name the guarantee that it breaks.
func TestLayersOfAFault(t *testing.T) {
	p := fridge.Machine.PackageOf("verify/internal/machine/fridge/fridge.go")
	if p == nil || fridge.Machine.PackageOf("verify/internal/machine/fridge.go") != nil {
		t.Fatal("the package of a file")
	}
	for range 2 { // what is returned is the caller's
		layers := p.FaultLayers("F1")
		if l := layers[0]; l.Name != "tests of F1" || l.Args[0] != "-test.run=^TestF1[A-Z]" || len(layers) != 2 {
			t.Errorf("%+v", layers)
		}
	}
	all := append(machine.All(), fridge.Machine)
	before := 0
	for _, m := range machine.All() {
		before += len(m.Guarantees)
	}
	if m, order := machine.Of(all, "F2"); m != fridge.Machine || order != before+1 {
		t.Errorf("F2 is of %v, the guarantee %d of all", m, order)
	}
	if m, _ := machine.Of(all, "F3"); m != nil {
		t.Errorf("F3 is of %s", m.Name)
	}
}
