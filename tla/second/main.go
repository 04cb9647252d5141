// Command second lets a model checker that shares no code with TLC, the crate
// tla-checker, check the specification, and compares what it finds with
// manifest.json: see ../second.sh, which calls it.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// The models that it checks, of those in the manifest; in "quick" only those that
// take seconds. What else is in the manifest takes it too long, or TLC's symmetry.
var (
	quick = []string{"abstract", "quick", "quick-live", "quick-patient", "in-use"}
	long  = []string{"ci", "deep", "supervisor"}
)

// What it cannot read: a module under a configuration, and what it says. The
// refinement is a property of other models too, and is left out there (unread).
var cannot = []struct{ module, cfg, says string }{
	{"MC", "Quick.cfg", "temporal operator [A]_v (box action) reached eval"},
	{"MC", "InUse.cfg", "undefined variable `res`"},
	{"Reach", "Reach.cfg", "ACTION_CONSTRAINT 'Watch' is not yet supported"},
	{"Inductive", "Inductive.cfg", "module Randomization not found"},
	{"Trace", "Trace.cfg", "module TraceData not found"},
}

// unread tells the properties that speak of another module's variables, by an
// INSTANCE with a mapping.
func unread(property string) bool { return strings.HasPrefix(property, "KeepsContract") }

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "second: error: %v\n", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	k := checker{dir: os.Getenv("SURESTART_TLA"), program: os.Getenv("SURESTART_SECOND")}
	if k.dir == "" || k.program == "" || len(args) != 1 || args[0] != "quick" && args[0] != "deep" {
		return errors.New("use tla/second.sh")
	}
	m, err := load(k.dir)
	if err != nil {
		return err
	}
	if k.scratch, err = os.MkdirTemp("", "surestart-second"); err != nil {
		return err
	}
	defer os.RemoveAll(k.scratch)
	names := quick
	if args[0] == "deep" {
		names = slices.Concat(long, quick) // the longest first: two run at a time
	}
	return errors.Join(k.control(m), k.models(m, names), k.variants(m), k.refusals())
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "second: "+format+"\n", args...) }

// inParallel calls f for each of 0 to n-1, as many at a time as there are
// processors, and returns all that went wrong, in order.
func inParallel(n int, f func(int) error) error {
	failed := make([]error, n)
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		group.Go(func() error {
			failed[i] = f(i)
			return nil
		})
	}
	_ = group.Wait() // no f returns an error to it
	return errors.Join(failed...)
}

// models checks those of these names.
func (k checker) models(m *manifest, names []string) error {
	return inParallel(len(names), func(i int) error {
		at := slices.IndexFunc(m.Models, func(x model) bool { return x.Name == names[i] })
		if at < 0 {
			return fmt.Errorf("manifest.json has no model %s any more", names[i])
		}
		want, begin := m.Models[at], time.Now()
		got, err := k.measure(want)
		if err == nil {
			err = differ(want, got)
		}
		if err != nil {
			return fmt.Errorf("model %s (%s): %w", want.Name, want.Cfg, err)
		}
		line := fmt.Sprintf("CHECKED second model=%s states=%d", want.Name, got.States)
		if want.Graph {
			line += fmt.Sprintf(" edges=%d depth=%d", got.edges(), got.Depth)
		}
		fmt.Printf("%s properties=%d\n", line, got.invariants+len(got.properties))
		say("%s: %.0f s", want.Name, time.Since(begin).Seconds())
		return nil
	})
}

// measure checks a model, without what cannot be read.
func (k checker) measure(m model) (found, error) {
	text, err := os.ReadFile(filepath.Join(k.dir, m.Cfg))
	if err != nil {
		return found{}, err
	}
	counting := ""
	if m.Module == "MC" {
		counting = "Terminated"
	}
	got, err := k.run(without(string(text), unread), m.Module, m.States*2, counting)
	if err == nil && got.status != "ok" {
		err = fmt.Errorf("%s: %s", got.status, cmp.Or(got.broken, got.complaint))
	}
	return got, err
}

// differ says in what the manifest is not what was found.
func differ(want model, got found) error {
	var d []string
	add := func(what string, want, got int) {
		if want != got {
			d = append(d, fmt.Sprintf("%s: the manifest says %d, the second checker finds %d", what, want, got))
		}
	}
	add("distinct states", want.States, got.States)
	if want.Graph {
		add("distinct (source, label, target)", want.Edges, got.edges())
		add("depth", want.Depth, got.Depth)
	}
	var properties []string
	for _, p := range want.Properties {
		if !invariant[p] && !unread(p) {
			properties = append(properties, p)
		}
	}
	// What it does not check it does not always say so.
	if !slices.Equal(properties, got.properties) {
		d = append(d, fmt.Sprintf("properties asked for: %v; the second checker checks %v", properties, got.properties))
	}
	invariants := 0
	for _, p := range want.Properties {
		if invariant[p] {
			invariants++
		}
	}
	add("invariants", invariants, got.invariants)
	if got.complaint != "" {
		d = append(d, got.complaint)
	}
	if d == nil {
		return nil
	}
	return errors.New(strings.Join(d, "\n"))
}

// variants lets it refute what TLC refutes: each weakened guard breaks its property.
func (k checker) variants(m *manifest) error {
	err := inParallel(len(m.Variants), func(i int) error {
		v := m.Variants[i]
		text, err := os.ReadFile(filepath.Join(k.dir, v.Cfg))
		if err != nil {
			return err
		}
		got, err := k.run(string(text), cmp.Or(v.Module, "Weak"), 0, "")
		if err == nil && got.broken != v.Property {
			err = fmt.Errorf("%s must be refuted; the second checker says %s %s %s", v.Property, got.status, got.broken, got.complaint)
		}
		if err != nil {
			return fmt.Errorf("variant %s: %w", v.Name, err)
		}
		return nil
	})
	if err == nil {
		fmt.Printf("CHECKED second variants refuted=%d\n", len(m.Variants))
	}
	return err
}

// refusals names what it cannot read, with its own reason. What it can read all
// of a sudden is to be checked like the rest.
func (k checker) refusals() error {
	var failed []error
	for _, c := range cannot {
		text, err := os.ReadFile(filepath.Join(k.dir, c.cfg))
		if err != nil {
			return err
		}
		got, err := k.run(string(text), c.module, 1000, "")
		switch {
		case err != nil:
			failed = append(failed, err)
		case !strings.Contains(got.complaint, c.says):
			failed = append(failed, fmt.Errorf("%s with %s: known to be refused with %q; now it says %s %s: hold it to TLC's counts, or name the new reason",
				c.module, c.cfg, c.says, got.status, got.complaint))
		default:
			fmt.Printf("not read: %s with %s: %s\n", c.module, c.cfg, got.complaint)
		}
	}
	return errors.Join(failed...)
}

// control holds a wrong manifest against it: each of the wrong figures has to be
// noticed, or the comparison shows nothing.
func (k checker) control(m *manifest) error {
	for _, right := range m.Models {
		if right.Name != "quick" {
			continue
		}
		got, err := k.measure(right)
		if err != nil {
			return err
		}
		for what, wrong := range map[string]func(*model){
			"states":   func(x *model) { x.States++ },
			"edges":    func(x *model) { x.Edges-- },
			"depth":    func(x *model) { x.Depth++ },
			"property": func(x *model) { x.Properties = append(slices.Clone(x.Properties), "Progress") },
		} {
			other := right
			wrong(&other)
			if differ(other, got) == nil {
				return fmt.Errorf("control: a wrong figure (%s) of the manifest is not noticed", what)
			}
		}
		return nil
	}
	return errors.New("control: manifest.json has no model quick any more")
}
