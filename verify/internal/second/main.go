// Package second checks the specification with a second model checker, the crate tla-checker, which
// shares no code with TLC. It has to find the states, edges and depths of tla/manifest.json, and to
// refute the weakened variants.
package second

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed3893aba4/surestart/verify/internal/cli"
	"github.com/seed3893aba4/surestart/verify/internal/machine"
	"github.com/seed3893aba4/surestart/verify/internal/tools"
)

// unread reports whether a property is one that the checker cannot read. Those are left out.
func (k checker) unread(property string) bool {
	return k.Second.Unread != "" && strings.HasPrefix(property, k.Second.Unread)
}

const usage = `./check second lets another model checker find what tla/manifest.json says that TLC finds:

  ./check second quick     the small models and the variants: a minute and a half
  ./check second deep      also those of CI and of three callers: what ./check deep runs, some 15 minutes on two cores
  ./check second program   prints the path of the checker's program

It is built with cargo the first time (a recent Rust; two minutes), at the pinned version, and kept in the cache.`

// Main runs ./check second with each of the machines.
func Main(ctx context.Context, root string, machines []*machine.Machine, args []string) error {
	if len(args) != 1 || !slices.Contains([]string{"quick", "deep", "program"}, args[0]) {
		return cli.Usage(usage)
	}
	cache, err := tools.Cache()
	if err != nil {
		return err
	}
	program, err := install(ctx, cache)
	if err != nil {
		return err
	}
	if args[0] == "program" {
		fmt.Println(program)
		return nil
	}
	scratch, err := os.MkdirTemp("", "surestart-second")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	var failed []error
	for _, m := range machines {
		s := m.Specification
		k := checker{s, filepath.Join(root, filepath.FromSlash(s.Dir)), program, scratch}
		manifest, err := s.Load(root)
		if err != nil {
			return err
		}
		names := s.Second.Quick
		if args[0] == "deep" {
			names = slices.Concat(s.Second.Long, names) // the longest first: two run at a time
		}
		failed = append(failed, k.control(manifest), k.models(manifest, names), k.variants(manifest), k.refusals())
	}
	return errors.Join(failed...)
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "second: "+format+"\n", args...) }

// inParallel calls f for each of 0 to n-1, as many at a time as there are processors, and returns
// all errors, in order.
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

// models checks the models of these names.
func (k checker) models(m *machine.Manifest, names []string) error {
	return inParallel(len(names), func(i int) error {
		at := slices.IndexFunc(m.Models, func(x machine.Model) bool { return x.Name == names[i] })
		if at < 0 {
			return fmt.Errorf("manifest.json has no model %s any more", names[i])
		}
		want, begin := m.Models[at], time.Now()
		got, err := k.measure(want)
		if err == nil {
			err = k.differ(want, got)
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

// measure checks a model, without the properties that the checker cannot read.
func (k checker) measure(m machine.Model) (found, error) {
	text, err := os.ReadFile(filepath.Join(k.dir, m.Cfg))
	if err != nil {
		return found{}, err
	}
	counting := ""
	if m.Module == k.Module {
		counting = k.Second.Terminated
	}
	got, err := k.run(without(string(text), k.unread), m.Module, m.States*2, counting)
	if err == nil && got.status != "ok" {
		err = fmt.Errorf("%s: %s", got.status, cmp.Or(got.broken, got.complaint))
	}
	return got, err
}

// differ returns an error that lists the differences between the manifest and the result.
func (k checker) differ(want machine.Model, got found) error {
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
		if !slices.Contains(k.Invariants, p) && !k.unread(p) {
			properties = append(properties, p)
		}
	}
	// The checker does not always report what it does not check.
	if !slices.Equal(properties, got.properties) {
		d = append(d, fmt.Sprintf("properties asked for: %v; the second checker checks %v", properties, got.properties))
	}
	invariants := 0
	for _, p := range want.Properties {
		if slices.Contains(k.Invariants, p) {
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

// variants checks that each weakened guard breaks its property here too.
func (k checker) variants(m *machine.Manifest) error {
	err := inParallel(len(m.Variants), func(i int) error {
		v := m.Variants[i]
		text, err := os.ReadFile(filepath.Join(k.dir, v.Cfg))
		if err != nil {
			return err
		}
		got, err := k.run(string(text), cmp.Or(v.Module, k.Weak), 0, "")
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

// refusals checks what the checker cannot read, with its own reason. If it can read something new,
// that has to be checked like the rest.
func (k checker) refusals() error {
	var failed []error
	for _, c := range k.Second.Cannot {
		text, err := os.ReadFile(filepath.Join(k.dir, c.Config))
		if err != nil {
			return err
		}
		got, err := k.run(string(text), c.Module, 1000, "")
		switch {
		case err != nil:
			failed = append(failed, err)
		case !strings.Contains(got.complaint, c.Says):
			failed = append(failed, fmt.Errorf("%s with %s: known to be refused with %q; now it says %s %s: hold it to TLC's counts, or name the new reason",
				c.Module, c.Config, c.Says, got.status, got.complaint))
		default:
			fmt.Printf("not read: %s with %s: %s\n", c.Module, c.Config, got.complaint)
		}
	}
	return errors.Join(failed...)
}

// control compares the checker with a wrong manifest. Each wrong figure has to be noticed;
// otherwise the comparison shows nothing.
func (k checker) control(m *machine.Manifest) error {
	for _, right := range m.Models {
		if !right.Graph || !slices.Contains(k.Second.Quick, right.Name) {
			continue
		}
		got, err := k.measure(right)
		if err != nil {
			return err
		}
		for what, wrong := range map[string]func(*machine.Model){
			"states":   func(x *machine.Model) { x.States++ },
			"edges":    func(x *machine.Model) { x.Edges-- },
			"depth":    func(x *machine.Model) { x.Depth++ },
			"property": func(x *machine.Model) { x.Properties = append(slices.Clone(x.Properties), "Another") },
		} {
			other := right
			wrong(&other)
			if k.differ(other, got) == nil {
				return fmt.Errorf("control: a wrong figure (%s) of the manifest is not noticed", what)
			}
		}
		return nil
	}
	return errors.New("control: the manifest has no model of seconds whose graph is dumped")
}
