package machine

import (
	"fmt"
	"slices"

	"github.com/seed3893aba4/surestart/spec"
)

// Lifecycle is the start protocol: tla/Algorithm.tla, package fsm, and the model in package spec.
var Lifecycle = &Machine{
	Name:       "lifecycle",
	Guarantees: guarantees(),
	Packages: []Package{
		{"fsm/group", []Layer{ofGroup}, nil}, // before fsm: PackageOf takes the first whose directory fits
		{"fsm", slices.Concat([]Layer{TestsOf("fsm")}, walked), mutated},
		{"spec", slices.Concat([]Layer{TestsOf("fsm")}, walked, []Layer{ofSpec, ofModel}), nil},
		{"producer", []Layer{TestsOf("producer"), ofProducer}, nil}, // fsm's faults its tests notice late, and cost most
	},
	Table:   &Table{File: "spec/table_gen.go", Rows: len(spec.Table()), States: states(), Layers: slices.Concat([]Layer{ofSpec, ofModel}, mutated)},
	Picture: "tla/machine.svg",
	Specification: Specification{
		Dir: "tla", Manifest: "manifest.json", Module: "MC", Guards: "Algorithm", Weak: "Weak", Reach: "Reach",
		ReachIn: []string{"Reach.cfg"}, OthersIn: []string{"ci", "deep", "weak"},
		Properties: []string{
			"TypeOK", "Deadlock", "SingleFlight", "Idempotence", "StartedIsOpen", "Rollback", "NoStaleFailure",
			"NoForeignCancellation", "NoLeak", "StopWins", "RestartUntilStop", "DrainFirst", "UseOnlyStarted", "CloseIsFinal",
			"ProgressAwaited", "Progress", "ProgressOnContextEnd", "OwnGeneration", "KeepsContractStep",
		},
		Invariants: []string{
			"TypeOK", "Consistent", "NoLeak", "ProgressAwaited", "CountIsRight", "HeldIsOpen", "UnheldIsStopped",
			"InOrder", "NothingLeft", "AllOpen", "DependantsDown",
		},
		Fairness: map[string]string{"Progress": "Spec", "ProgressOnContextEnd": "PatientSpec"},
		Second: Second{
			Quick:      []string{"abstract", "quick", "quick-live", "quick-patient", "in-use", "restart-quick", "hold", "hold-live", "group-live"},
			Long:       []string{"ci", "deep", "restart", "group"},
			Unread:     "KeepsContract", // they speak of another module's variables, by an INSTANCE with a mapping
			Terminated: "Terminated",
			Cannot: []Unparsed{
				{"MC", "Quick.cfg", "temporal operator [A]_v (box action) reached eval"},
				{"MC", "InUse.cfg", "undefined variable `res`"},
				{"Reach", "Reach.cfg", "ACTION_CONSTRAINT 'Watch' is not yet supported"},
				{"Inductive", "Inductive.cfg", "module Randomization not found"},
				{"Trace", "Trace.cfg", "module TraceData not found"},
			},
		},
	},
	AgainstModel:    []string{"graph", "schedules", "threads"},
	AgainstContract: []string{"histories"},
}

const walks = "verify/internal/lifecycle"

var (
	graph      = Layer{Name: "graph", Dir: walks, Args: []string{"-test.run=^TestGraph", "-test.failfast", "-graph.tries=2"}}
	schedules  = Layer{Name: "schedules", Dir: walks, Args: []string{"-test.run=^TestSchedule", "-test.short"}}
	tests      = Layer{Name: "tests", Dir: "fsm", Args: []string{"-test.short"}}
	threads    = Layer{Name: "threads", Dir: walks, Args: []string{"-test.run=^TestThreads", "-test.short"}}
	histories  = Layer{Name: "histories", Dir: walks, Args: []string{"-test.run=^TestHistories", "-test.short"}}
	threeTries = Layer{Name: "three tries", Dir: walks, Args: []string{"-test.run=^TestGraph", "-test.failfast"}} // the graph's walk as it is in quick: what the others do not notice
	ofSpec     = Layer{Name: "spec", Dir: "spec", Args: []string{"-test.short"}}
	ofModel    = Layer{Name: "model", Dir: "verify/internal/lifecycle/model", Args: []string{"-test.short"}}
	ofGroup    = Layer{Name: "group", Dir: "fsm/group", Args: []string{"-test.short"}}
	ofProducer = Layer{Name: "producer", Dir: "producer", Args: []string{"-test.run=^Test[GR][0-9]", "-test.short"}}

	walked  = []Layer{graph, schedules, tests, threads, histories, threeTries}
	mutated = []Layer{graph, tests, schedules, threads, histories, threeTries}
)

func guarantees() (all []Guarantee) {
	for _, g := range spec.Guarantees() {
		all = append(all, Guarantee(g))
	}
	return all
}

func states() (names []string) {
	for _, s := range spec.States() {
		names = append(names, fmt.Sprint(s))
	}
	return names
}
