// Package fridge is a machine as small as possible: a door and a light. The tests run every tool on
// it, which shows that the tools know nothing of a particular machine.
package fridge

import "github.com/seed3893aba4/surestart/verify/internal/machine"

// Fridge is shut and dark at first.
type Fridge struct{ Ajar, Lit bool }

// Open opens the door, and the light goes on (F2).
func (f *Fridge) Open() {
	f.Ajar = true
	f.Lit = true
}

// Shut shuts the door, and the light goes off (F1).
func (f *Fridge) Shut() {
	f.Ajar = false
	f.Lit = false
}

const dir = "verify/internal/machine/fridge"

var tests = machine.Layer{Name: "tests", Dir: dir}

// Machine describes the fridge to the tools.
var Machine = &machine.Machine{
	Name: "fridge",
	Guarantees: []machine.Guarantee{
		{ID: "F1", Name: "Dark", Promise: "The light is off while the door is shut."},
		{ID: "F2", Name: "Lit", Promise: "The light is on while the door is open."},
	},
	Packages: []machine.Package{{Dir: dir, Faults: []machine.Layer{machine.TestsOf(dir), tests}, Mutants: []machine.Layer{tests}}},
	Specification: machine.Specification{
		Dir: dir + "/tla", Manifest: "manifest.json", Module: "Fridge", Guards: "Fridge", Weak: "WeakFridge", Reach: "ReachFridge",
		ReachIn: []string{"ReachFridge.cfg"}, OthersIn: []string{"ci"},
		Properties: []string{"TypeOK", "Deadlock", "Dark", "Lit", "LitAgain"},
		Invariants: []string{"TypeOK", "Dark", "Lit"},
		Fairness:   map[string]string{"LitAgain": "Spec"},
	},
	AgainstModel: []string{"doors"},
}
