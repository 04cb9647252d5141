// Package model is the lifecycle's part of comparing TLC's state graphs: it reads their states into
// the types of package spec, compares the graphs with that executable model, and derives the
// transition table.
package model

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/seed3893aba4/surestart/spec"
	"github.com/seed3893aba4/surestart/verify/internal/compare"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

// models are the models whose graphs can be dumped, by their names in the manifest.
var models = []tlc.Model{
	{Name: "quick", Config: "tla/Quick.cfg", Module: "MC"},
	{Name: "restart-quick", Config: "tla/RestartQuick.cfg", Module: "MC"},
	{Name: "stoppers", Config: "verify/internal/lifecycle/model/tla/Stoppers.cfg", Module: "Stoppers"},
	{Name: "restart", Config: "tla/Restart.cfg", Module: "MC"},
	{Name: "ci", Config: "tla/CI.cfg", Module: "MC"},
	{Name: "deep", Config: "tla/DeepGraph.cfg", Module: "MC"},
}

func modelOf(name string) (tlc.Model, error) {
	i := slices.IndexFunc(models, func(m tlc.Model) bool { return m.Name == name })
	if i < 0 {
		return tlc.Model{}, fmt.Errorf("no model %q", name)
	}
	return models[i], nil
}

// Models lists the models whose dumps are small enough to keep, the smallest first. Deep is for the
// model deep.
func Models() []string { return []string{"quick", "restart-quick", "stoppers", "restart", "ci"} }

// From returns the steps that lead from Init to the initial state of a model. There are none,
// except for stoppers, which begins when a first Start has returned.
func From(model string) []spec.Step {
	if model != "stoppers" {
		return nil
	}
	return []spec.Step{
		{Action: spec.InvokeStart}, {Action: spec.StartFast}, {Action: spec.StartEnter},
		{Action: spec.OpenPart, Arg: 1}, {Action: spec.OpenOk, Arg: 1}, {Action: spec.Return},
	}
}

// Bound reads the bound of a model from its configuration.
func Bound(root, model string) (spec.Bound, error) {
	m, err := modelOf(model)
	if err != nil {
		return spec.Bound{}, err
	}
	return boundOf(root, m.Config)
}

func boundOf(root, config string) (spec.Bound, error) {
	c := tlc.ReadConstants(filepath.Join(root, filepath.FromSlash(config)))
	b := spec.Bound{
		Callers: c.Values("Callers", "c"), Parts: c.Number("NParts"), Retries: c.Boolean("Retries"),
		Restarts: c.Number("MaxRestarts"), Calls: c.Number("MaxCalls"), Fails: c.Number("MaxFails"),
	}
	if err := c.Err(); err != nil {
		return b, err
	}
	return b, b.Check()
}

// lifecycle is what a comparison needs to know of the lifecycle.
var lifecycle = &compare.Machine[spec.Bound, spec.Snapshot, spec.Step]{
	Names:  tlc.Names(spec.GivesUp),
	Labels: tlc.Names(spec.GivesUp),
	Parse:  ParseState,
	Diff:   spec.Diff,
	StepOf: func(action int, from, to *spec.Snapshot) (spec.Step, bool) {
		a := spec.Action(action)
		st, ok := spec.StepOf(a, from, to)
		if !ok {
			st = spec.Step{Action: a, Arg: from.Gen}
		}
		return st, ok
	},
	Blame:      spec.Blame,
	Candidates: func(b spec.Bound) []spec.Step { return b.Candidates(nil) },
}

// Graph is a state graph that TLC dumped.
type Graph struct {
	*compare.Graph[spec.Bound, spec.Snapshot, spec.Step]
}

// Dump runs TLC to dump a model and reads the dump. The dump is in dir, or in $SURESTART_DUMPS if
// that is set. Dump also returns its path.
func Dump(ctx context.Context, t tlc.TLC, model, dir string) (*Graph, string, error) {
	m, err := dumpable(t, model)
	if err != nil {
		return nil, "", err
	}
	g, path, err := lifecycle.Dump(ctx, t, m, dir)
	return &Graph{g}, path, err
}

// Deep returns the graph of the model deep, whose dump is never stored.
func Deep(ctx context.Context, t tlc.TLC) (*Graph, error) {
	m, err := dumpable(t, "deep")
	if err != nil {
		return nil, err
	}
	g, err := lifecycle.Stream(ctx, t, m)
	return &Graph{g}, err
}

func dumpable(t tlc.TLC, model string) (compare.Model[spec.Bound, spec.Snapshot, spec.Step], error) {
	m, err := modelOf(model)
	if err != nil {
		return compare.Model[spec.Bound, spec.Snapshot, spec.Step]{}, err
	}
	b, err := Bound(t.Root, model)
	return compare.Model[spec.Bound, spec.Snapshot, spec.Step]{Model: m, Bound: b, From: From(model)}, err
}

// Read reads a dump of a model with the given bound that begins in Init.
func Read(r io.Reader, b spec.Bound) (*Graph, error) {
	g, err := lifecycle.Read(r, b, nil)
	return &Graph{g}, err
}
