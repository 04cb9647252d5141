// Package faults has the seeded faults: small patches to the shipped code. Each breaks one
// guarantee, in a way that a hurried maintainer might. The checks have to notice each, and to name
// its guarantee.
//
// A file patches/NAME.patch is a unified diff below three lines of header:
//
//	Guarantee: G5 NoStaleFailure
//	Story: why somebody might write this
package faults

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/seed3893aba4/surestart/verify/internal/machine"
	"github.com/seed3893aba4/surestart/verify/internal/variant"
)

//go:embed patches/*.patch
var patches embed.FS

// Fault is one patch.
type Fault struct {
	Name      string   `json:"name"`
	Guarantee string   `json:"guarantee"` // "G5"
	Story     string   `json:"story"`
	Files     []string `json:"files"` // what it changes, from the top of the module

	diff    string
	machine *machine.Machine
	order   int // of its guarantee, among all
}

// Result is what the layers found of a fault.
type Result struct {
	Fault
	// Caught reports whether at least one layer failed and named the broken guarantee.
	Caught  bool            `json:"caught"`
	Seconds float64         `json:"seconds"` // until the first layer that did, building included
	Catches []variant.Catch `json:"catches"`
}

var (
	header  = regexp.MustCompile(`\AGuarantee: (` + machine.IDPattern + `) (\w+)\nStory: ([^\n]+)\n\n`)
	changed = regexp.MustCompile(`(?m)^\+\+\+ b/(\S+)$`)
)

// All returns the seeded faults of the machines, in the order of the guarantees.
func All(machines []*machine.Machine) ([]Fault, error) {
	dir, err := fs.Sub(patches, "patches")
	if err != nil {
		return nil, err
	}
	return Read(dir, machines)
}

// Read reads the patches in a directory.
func Read(dir fs.FS, machines []*machine.Machine) ([]Fault, error) {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return nil, err
	}
	var all []Fault
	for _, e := range entries {
		text, err := fs.ReadFile(dir, e.Name())
		if err != nil {
			return nil, err
		}
		m := header.FindStringSubmatch(string(text))
		if m == nil {
			return nil, fmt.Errorf("faults: %s: want a header of \"Guarantee: <id> <Name>\", \"Story: ...\" and an empty line", e.Name())
		}
		f := Fault{Name: strings.TrimSuffix(e.Name(), ".patch"), Guarantee: m[1], Story: m[3], diff: string(text[len(m[0]):])}
		if f.machine, f.order = machine.Of(machines, m[1]); f.machine == nil {
			return nil, fmt.Errorf("faults: %s: there is no guarantee %s %s", e.Name(), m[1], m[2])
		}
		if g, _ := f.machine.GuaranteeOf(m[1]); g.Name != m[2] {
			return nil, fmt.Errorf("faults: %s: there is no guarantee %s %s", e.Name(), m[1], m[2])
		}
		for _, c := range changed.FindAllStringSubmatch(f.diff, -1) {
			f.Files = append(f.Files, c[1])
		}
		if f.Files == nil {
			return nil, fmt.Errorf("faults: %s: changes no file", e.Name())
		}
		if f.machine.PackageOf(f.Files[0]) == nil {
			return nil, fmt.Errorf("faults: %s: %s is in no package of the %s", e.Name(), f.Files[0], f.machine.Name)
		}
		all = append(all, f)
	}
	slices.SortStableFunc(all, func(a, b Fault) int { return a.order - b.order })
	return all, nil
}

// Variant applies the patch to copies of the files of the module at root.
func (f Fault) Variant(ctx context.Context, root string) (variant.Variant, error) {
	v := variant.Variant{Name: f.Name, Files: make(map[string][]byte)}
	dir, err := os.MkdirTemp("", "surestart-fault-")
	if err != nil {
		return v, err
	}
	defer os.RemoveAll(dir)
	for _, name := range f.Files {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return v, err
		}
		if err := os.MkdirAll(filepath.Join(dir, path.Dir(name)), 0o777); err != nil {
			return v, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o666); err != nil {
			return v, err
		}
	}
	cmd := exec.CommandContext(ctx, "git", "apply", "--whitespace=nowarn", "-")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(f.diff)
	// The patch must not apply to a repository that contains dir.
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	if out, err := cmd.CombinedOutput(); err != nil {
		return v, fmt.Errorf("faults: patches/%s.patch does not apply any more (%w): write it anew: %s", f.Name, err, out)
	}
	for _, name := range f.Files {
		if v.Files[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return v, err
		}
	}
	return v, nil
}

// layers returns the layers that can notice the fault.
func (f Fault) layers() []machine.Layer {
	return f.machine.PackageOf(f.Files[0]).FaultLayers(f.Guarantee)
}

// Run runs the layers on each fault; with quick, until the first one that names the guarantee. It
// calls report once for each fault, one call at a time.
func Run(ctx context.Context, root string, all []Fault, quick bool, report func(Result)) error {
	return variant.Each(ctx, all, func(ctx context.Context, f Fault) (Result, error) { return f.try(ctx, root, quick) }, report)
}

func (f Fault) try(ctx context.Context, root string, quick bool) (Result, error) {
	r := Result{Fault: f}
	v, err := f.Variant(ctx, root)
	if err != nil {
		return r, err
	}
	// Examples name no guarantee. To compile those of fsm takes a fifth of what its tests take.
	for _, l := range f.layers() {
		examples, err := filepath.Glob(filepath.Join(root, l.Dir, "example*_test.go"))
		if err != nil {
			return r, err
		}
		for _, name := range examples {
			v.Files[path.Join(l.Dir, filepath.Base(name))] = nil
		}
	}
	began := time.Now()
	r.Catches, err = variant.Try(ctx, root, f.machine, v, f.layers(), func(c variant.Catch) bool {
		if !r.Caught && c.Result == variant.Caught && slices.Contains(c.Guarantees, f.Guarantee) {
			r.Caught, r.Seconds = true, time.Since(began).Seconds()
		}
		return r.Caught && quick
	})
	if err == nil && len(r.Catches) == 1 && r.Catches[0].Result == variant.NoBuild {
		err = errors.New("faults: " + f.Name + " does not build: " + r.Catches[0].First)
	}
	return r, err
}
