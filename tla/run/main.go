// Command run lets TLC check the specification and compares what it finds with
// manifest.json: see run.sh, which calls it.
package main

import (
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

	"github.com/seed3893aba4/surestart/internal/tlc"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "tla: error: %v\n", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	k := checker{dir: os.Getenv("SURESTART_TLA"), jar: os.Getenv("TLC_JAR")}
	if len(args) == 0 || k.dir == "" || k.jar == "" {
		return errors.New("use tla/run.sh")
	}
	m, err := loadManifest(k.dir)
	if err != nil {
		return err
	}
	if k.scratch, err = os.MkdirTemp("", "surestart-tla"); err != nil {
		return err
	}
	defer os.RemoveAll(k.scratch)
	switch c := args[0]; {
	case c == "quick" && len(args) == 1:
		return k.models(m, c)
	case (c == "ci" || c == "deep") && len(args) == 1:
		return errors.Join(k.models(m, c), k.reach(), k.variants(m))
	case c == "weak" && len(args) == 1:
		return k.variants(m)
	case c == "reach" && len(args) == 1:
		return k.reach()
	case c == "pictures" && len(args) == 1:
		return k.pictures()
	case c == "pin" && len(args) == 2:
		return k.pin(m, args[1])
	case c == "dump" && len(args) == 3:
		return k.dumpTo(m, args[1], args[2])
	}
	return fmt.Errorf("do not know how to %q", args)
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "tla: "+format+"\n", args...) }

// models checks the models that belong to a command, every one, and reports
// all in which the manifest and TLC differ.
func (k checker) models(m *manifest, command string) error {
	some := slices.DeleteFunc(slices.Clone(m.Models), func(m model) bool { return !slices.Contains(m.In, command) })
	return twoAtOnce(some, func(want model) error {
		got, err := k.measure(want)
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

// twoAtOnce does something with each, and joins the errors in their order. TLC begins,
// ends, dumps and searches for cycles on one processor.
func twoAtOnce[T any](all []T, do func(T) error) error {
	failed := make([]error, len(all))
	var wg sync.WaitGroup
	turn := make(chan struct{}, 2)
	for i, each := range all {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			failed[i] = do(each)
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

// measure lets TLC check a model and returns it with the sizes that TLC found.
func (k checker) measure(m model) (model, error) {
	begin := time.Now()
	c, err := readConfig(filepath.Join(k.dir, m.Cfg))
	if err != nil {
		return m, err
	}
	say("%s: %s", m.Name, m.Bound)
	k.small = m.States < 20_000
	m.Properties = c.properties
	v, err := k.run(c.text, m.Module, c.properties, "-workers", "auto")
	if err != nil {
		return m, err
	}
	if v.broken != "" {
		return m, fmt.Errorf("%s is violated:\n%s", v.broken, v.log)
	}
	m.States = v.states
	if m.Graph {
		path, ok := tlc.Dumped(filepath.Dir(k.dir), m.Name)
		if !ok {
			path = filepath.Join(k.scratch, m.Name+".dot")
			if _, err := k.dump(c, m.Module, path); err != nil {
				return m, err
			}
			defer os.Remove(path)
		}
		g, err := size(path)
		if err != nil {
			return m, fmt.Errorf("reading the dump: %w", err)
		}
		if g.states != v.states {
			return m, fmt.Errorf("TLC found %d states, and dumped %d", v.states, g.states)
		}
		m.Edges, m.Depth, m.Labels = g.edges, g.depth, g.labels
	}
	say("%s: %d states, %d properties, %.0f s", m.Name, m.States, len(m.Properties), time.Since(begin).Seconds())
	return m, nil
}

// differ says in what the manifest is not what TLC found.
func differ(want, got model) error {
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
	return fmt.Errorf("%s\nIf the change is meant: tla/run.sh pin %s", strings.Join(d, "\n"), want.Name)
}

func union(a, b map[string]int) map[string]int {
	u := maps.Clone(a)
	if u == nil {
		u = map[string]int{}
	}
	maps.Copy(u, b)
	return u
}

// pin writes what TLC finds of a model, or of the variant weak-NAME, into the
// manifest.
func (k checker) pin(m *manifest, name string) error {
	for i, mod := range m.Models {
		if mod.Name != name {
			continue
		}
		got, err := k.measure(mod)
		if err != nil {
			return err
		}
		m.Models[i] = got
		return m.save(k.dir)
	}
	for i, v := range m.Variants {
		if "weak-"+v.Name != name {
			continue
		}
		breaks, err := k.findBreaks(v)
		if err != nil {
			return err
		}
		m.Variants[i].Breaks = breaks
		return m.save(k.dir)
	}
	return fmt.Errorf("no model %q in manifest.json", name)
}

func (k checker) dumpTo(m *manifest, name, dir string) error {
	for _, mod := range m.Models {
		if mod.Name != name || !mod.Graph {
			continue
		}
		c, err := readConfig(filepath.Join(k.dir, mod.Cfg))
		if err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		path, err := filepath.Abs(filepath.Join(dir, name+".dot"))
		if err != nil {
			return err
		}
		say("dumping the graph of %s: %s", name, mod.Bound)
		v, err := k.dump(c, mod.Module, path)
		if err != nil {
			return err
		}
		say("%d states in %s", v.states, path)
		return nil
	}
	return fmt.Errorf("no model %q whose graph can be dumped", name)
}
