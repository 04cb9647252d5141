// Package models runs TLC on a machine's specification, and compares the results with the manifest.
package models

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed3893aba4/surestart/verify/internal/cli"
	"github.com/seed3893aba4/surestart/verify/internal/machine"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

const usage = `./check tlc lets TLC check the specification, and compares what it finds with tla/manifest.json:

  ./check tlc quick            the smallest models, in seconds
  ./check tlc ci               all models but the largest, and all of weak and reach
  ./check tlc deep             ci, and the models that take many minutes
  ./check tlc weak             each weakened variant is refuted, by the name of its guarantee
  ./check tlc reach            no guarantee holds for want of an occasion
  ./check tlc dump MODEL DIR   writes the whole state graph of quick, ci or abstract to DIR/MODEL.dot
  ./check tlc pin MODEL        writes what TLC finds of a model, or a variant (weak-NAME), into manifest.json
  ./check tlc pictures         draws machine.svg and one-caller.svg (needs Graphviz)

TLC is $TLC_JAR, or what is fetched.`

// words is the number of words of each command.
var words = map[string]int{"quick": 1, "ci": 1, "deep": 1, "weak": 1, "reach": 1, "pictures": 1, "pin": 2, "dump": 3}

// Main runs ./check tlc with each of the machines.
func Main(ctx context.Context, root string, machines []*machine.Machine, args []string) error {
	if len(args) == 0 || len(args) != words[args[0]] {
		return cli.Usage(usage)
	}
	t, err := tlc.Install(ctx)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "surestart-tla")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	failed := make([]error, len(machines))
	known := make([]bool, len(machines)) // the model that is named
	var wg sync.WaitGroup
	for i, m := range machines {
		if args[0] == "pictures" && m.Picture == "" {
			continue
		}
		s := m.Specification
		k := checker{Specification: s, root: root, dir: filepath.Join(root, filepath.FromSlash(s.Dir)), tlc: t, scratch: scratch}
		found, err := k.Load(root)
		if err != nil {
			known[i], failed[i] = true, err
			continue
		}
		wg.Go(func() { known[i], failed[i] = k.do(ctx, found, args) })
	}
	wg.Wait()
	if !slices.Contains(known, true) {
		failed = append(failed, fmt.Errorf("no manifest has a model %q, whose graph can be dumped or that can be pinned", args[1]))
	}
	return errors.Join(failed...)
}

// do runs one machine's part of a command. It returns false if the machine has no such model.
func (k checker) do(ctx context.Context, m *machine.Manifest, args []string) (mine bool, err error) {
	switch c := args[0]; c {
	case "quick":
		return true, k.models(ctx, m, c)
	case "ci", "deep":
		var models, reached error
		var wg sync.WaitGroup
		wg.Go(func() { models = k.models(ctx, m, c) })
		wg.Go(func() { reached = k.reach(ctx) })
		refuted := k.variants(ctx, m, c)
		wg.Wait()
		return true, errors.Join(models, refuted, reached)
	case "weak":
		return true, k.variants(ctx, m, args[0])
	case "reach":
		return true, k.reach(ctx)
	case "pictures":
		return true, k.pictures(ctx)
	case "pin":
		return k.pin(ctx, m, args[1])
	default: // dump
		return k.dumpTo(ctx, m, args[1], args[2])
	}
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "tla: "+format+"\n", args...) }

// models checks all models that belong to a command, and reports every difference between the
// manifest and TLC.
func (k checker) models(ctx context.Context, m *machine.Manifest, command string) error {
	some := slices.DeleteFunc(slices.Clone(m.Models), func(m machine.Model) bool { return !slices.Contains(m.In, command) })
	slices.SortStableFunc(some, func(a, b machine.Model) int { return b.States - a.States }) // the longest first
	return twoAtOnce(some, func(want machine.Model) error {
		got, err := k.measure(ctx, want)
		if err == nil {
			err = differ(want, got)
		}
		if err != nil {
			say("%s FAILED", want.Name)
			return fmt.Errorf("model %s (%s): %w", want.Name, want.Cfg, err)
		}
		line := fmt.Sprintf("CHECKED tla/%s states=%d", got.Name, got.States)
		if got.Graph {
			line += fmt.Sprintf(" edges=%d depth=%d", got.Edges, got.Depth)
		}
		fmt.Printf("%s properties=%d\n", line, len(got.Properties))
		return nil
	})
}

// turns lets two TLCs run at a time, of all machines, with a worker each. One with two workers takes
// a fifth more of the processors' time, and starts, ends, dumps and searches for cycles on one.
var turns = make(chan struct{}, 2)

// twoAtOnce calls do with each element, in turns, and joins the errors in order.
func twoAtOnce[T any](all []T, do func(T) error) error {
	failed := make([]error, len(all))
	var wg sync.WaitGroup
	for i, each := range all {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			failed[i] = do(each)
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

// measure runs TLC on a model and returns the model with the sizes that TLC found.
func (k checker) measure(ctx context.Context, m machine.Model) (machine.Model, error) {
	begin := time.Now()
	c, err := readConfig(filepath.Join(k.dir, m.Cfg))
	if err != nil {
		return m, err
	}
	say("%s: %s", m.Name, m.Bound)
	k.small = m.States < 20_000
	m.Properties = c.properties
	v, err := k.run(ctx, c.text, m.Module, c.properties, "-workers", "1")
	if err != nil {
		return m, err
	}
	if v.Broken != "" {
		return m, fmt.Errorf("%s is violated:\n%s", v.Broken, v.Log)
	}
	m.States = v.States
	if m.Graph {
		path, ok := tlc.Dumped(k.root, m.Name, k.Dir)
		if !ok {
			path = filepath.Join(k.scratch, m.Name+".dot")
			if _, err := k.dump(ctx, c, m.Module, path); err != nil {
				return m, err
			}
			defer os.Remove(path)
		}
		g, err := size(path)
		if err != nil {
			return m, fmt.Errorf("reading the dump: %w", err)
		}
		if g.states != v.States {
			return m, fmt.Errorf("TLC found %d states, and dumped %d", v.States, g.states)
		}
		m.Edges, m.Depth, m.Labels = g.edges, g.depth, g.labels
	}
	say("%s: %d states, %d properties, %.0f s", m.Name, m.States, len(m.Properties), time.Since(begin).Seconds())
	return m, nil
}

// differ returns an error that lists the differences between the manifest and what TLC found.
func differ(want, got machine.Model) error {
	var d []string
	add := func(what string, want, got any) {
		if !reflect.DeepEqual(want, got) {
			d = append(d, fmt.Sprintf("%s: the manifest says %v, TLC found %v", what, want, got))
		}
	}
	add("properties", want.Properties, got.Properties)
	add("distinct states", want.States, got.States)
	add("distinct (source, label, target)", want.Edges, got.Edges)
	add("depth", want.Depth, got.Depth)
	for _, label := range slices.Sorted(maps.Keys(union(want.Labels, got.Labels))) {
		add("edges labelled "+label, want.Labels[label], got.Labels[label])
	}
	if d == nil {
		return nil
	}
	return fmt.Errorf("%s\nIf the change is meant: ./check tlc pin %s", strings.Join(d, "\n"), want.Name)
}

func union(a, b map[string]int) map[string]int {
	u := maps.Clone(a)
	if u == nil {
		u = map[string]int{}
	}
	maps.Copy(u, b)
	return u
}

// pin writes what TLC finds of a model, or of the variant weak-NAME, into the manifest. It returns
// false if there is none of that name.
func (k checker) pin(ctx context.Context, m *machine.Manifest, name string) (mine bool, err error) {
	for i, mod := range m.Models {
		if mod.Name != name {
			continue
		}
		if m.Models[i], err = k.measure(ctx, mod); err != nil {
			return true, err
		}
		return true, k.Save(k.root, m)
	}
	for i, v := range m.Variants {
		if "weak-"+v.Name != name {
			continue
		}
		if m.Variants[i].Breaks, err = k.findBreaks(ctx, v); err != nil {
			return true, err
		}
		return true, k.Save(k.root, m)
	}
	return false, nil
}

// dumpTo writes the graph of a model into dir. It returns false if there is none of that name.
func (k checker) dumpTo(ctx context.Context, m *machine.Manifest, name, dir string) (mine bool, err error) {
	i := slices.IndexFunc(m.Models, func(mod machine.Model) bool { return mod.Name == name && mod.Graph })
	if i < 0 {
		return false, nil
	}
	mod := m.Models[i]
	c, err := readConfig(filepath.Join(k.dir, mod.Cfg))
	if err != nil {
		return true, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return true, err
	}
	path, err := filepath.Abs(filepath.Join(dir, name+".dot"))
	if err != nil {
		return true, err
	}
	say("dumping the graph of %s: %s", name, mod.Bound)
	v, err := k.dump(ctx, c, mod.Module, path)
	if err != nil {
		return true, err
	}
	say("%d states in %s", v.States, path)
	return true, nil
}
