// Package machine describes the project's machines to the tools that check them: what each
// guarantees, where its code and its specification are, and which tests notice a change of the
// code. A tool takes a machine as an argument. Each machine has a file of its own here.
package machine

import (
	"slices"
	"strings"
)

// All returns the machines whose code is compared with their specification.
func All() []*Machine { return []*Machine{Lifecycle, Delivery} }

// Machine is a state machine with a specification, and with code that is compared with it.
type Machine struct {
	Name          string
	Guarantees    []Guarantee
	Packages      []Package
	Table         *Table // nil: it has no generated table
	Specification Specification
	Picture       string // for the report, an SVG file; "": none

	// AgainstModel are the layers of ./check, by name, that compare the code with the model, step
	// by step. AgainstContract are those that compare what is visible from outside with the
	// contract.
	AgainstModel, AgainstContract []string
}

// Guarantee is one of the promises of a machine. ID is a letter and a number: see IDPattern. The
// specification has a property of that Name, or several whose names begin with it.
type Guarantee struct{ ID, Name, Promise string }

// String reads "G1 SingleFlight".
func (g Guarantee) String() string { return g.ID + " " + g.Name }

// Is reports whether a property of the specification states the guarantee.
func (g Guarantee) Is(property string) bool { return strings.HasPrefix(property, g.Name) }

// IDPattern is a regular expression that matches the ID of a guarantee of any machine.
const IDPattern = `[A-Z][0-9]+`

// GuaranteeOf returns the guarantee with that ID, and false if the machine has none.
func (m *Machine) GuaranteeOf(id string) (Guarantee, bool) {
	i := m.order(id)
	if i < 0 {
		return Guarantee{}, false
	}
	return m.Guarantees[i], true
}

func (m *Machine) order(id string) int {
	return slices.IndexFunc(m.Guarantees, func(g Guarantee) bool { return g.ID == id })
}

// Of returns the machine that has the guarantee with that ID, and a number by which the guarantees
// of all machines can be sorted. It returns nil if none has it.
func Of(all []*Machine, id string) (m *Machine, order int) {
	before := 0
	for _, m := range all {
		if i := m.order(id); i >= 0 {
			return m, before + i
		}
		before += len(m.Guarantees)
	}
	return nil, 0
}

// Package is a directory with code of the machine. Paths are from the top of the checkout.
type Package struct {
	Dir string
	// Faults are the layers that can notice a fault seeded in it, Mutants those that can notice a
	// mutant of its files. The one that decides most in the least time comes first. Without Mutants
	// no mutants are made.
	Faults, Mutants []Layer
}

// PackageOf returns the first package whose directory has the file; nil: none.
func (m *Machine) PackageOf(file string) *Package {
	for i, p := range m.Packages {
		if strings.HasPrefix(file, p.Dir+"/") {
			return &m.Packages[i]
		}
	}
	return nil
}

// Layer is one way to notice a change of the code: some tests of one package.
type Layer struct {
	Name string
	Dir  string   // of the package, from the top of the checkout
	Args []string // to its test binary
	Tags string   // with which it is built; "": none
}

// anyGuarantee is the placeholder, in a layer, for the ID of the broken guarantee.
const anyGuarantee = "GUARANTEE"

// TestsOf returns the layer of a package's tests that have the broken guarantee in their names.
// They run by themselves: in a run of all tests, a panic in one would keep those after it from
// running.
func TestsOf(dir string) Layer {
	return Layer{Name: "tests of " + anyGuarantee, Dir: dir, Args: []string{"-test.run=^Test" + anyGuarantee + "[A-Z]"}}
}

// FaultLayers returns the layers that can notice a fault in the package that breaks a guarantee.
func (p *Package) FaultLayers(guarantee string) []Layer {
	var layers []Layer
	for _, l := range p.Faults {
		l.Name = strings.ReplaceAll(l.Name, anyGuarantee, guarantee)
		l.Args = slices.Clone(l.Args)
		for i := range l.Args {
			l.Args[i] = strings.ReplaceAll(l.Args[i], anyGuarantee, guarantee)
		}
		layers = append(layers, l)
	}
	return layers
}

// Layers returns the layers of these names.
func (m *Machine) Layers(names ...string) []Layer {
	var some []Layer
	for _, name := range names {
		for _, p := range m.Packages {
			if i := slices.IndexFunc(p.Faults, func(l Layer) bool { return l.Name == name }); i >= 0 {
				some = append(some, p.Faults[i])
				break
			}
		}
	}
	return some
}

// Table is the generated table of transitions. Mutants are made of it too.
type Table struct {
	File   string // from the top of the checkout
	Rows   int
	States []string // the names of their constants
	Layers []Layer  // that can notice a mutant of it
}

// Specification is the machine's specification in TLA+, and what the model checkers do with it.
type Specification struct {
	Dir      string // of the modules and configurations
	Manifest string // what is to be found, a file of Dir
	Module   string // the one that is checked, for a configuration that says no other
	Guards   string // the module with the named guards
	Weak     string // the module with the weakened guards, with which the names of their configurations begin
	Reach    string // the module of what must occur lest a guarantee holds for want of an occasion
	// ReachIn are configurations. Each situation must occur in one of them.
	ReachIn []string
	// OthersIn are the commands that also check a variant against the other properties. Without
	// one, the manifest does not say what else the variant breaks.
	OthersIn []string

	// Properties are the properties that every variant is checked against, in order. Deadlock is
	// TLC's own check.
	Properties []string
	Invariants []string          // the properties of a single state
	Fairness   map[string]string // a property that needs fairness -> the specification that has it

	Second Second
}

// Second is what the second model checker can do with a specification.
type Second struct {
	Quick, Long []string   // the models that it checks: those that take seconds, and the others
	Unread      string     // how the properties begin that it cannot read
	Cannot      []Unparsed // what it cannot read at all
	Terminated  string     // what holds of a state with the step Terminating, which is not counted; "": there is none
}

// Unparsed is a module under a configuration, and the second checker's message about it.
type Unparsed struct{ Module, Config, Says string }
