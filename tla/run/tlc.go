package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/seed3893aba4/surestart/internal/tlc"
)

// A verdict is what TLC said of a model.
type verdict struct {
	states int
	broken string // the property refuted, "" if none
	log    string
}

var (
	counted  = regexp.MustCompile(`(?m)^\d+ states generated, (\d+) distinct states found, 0 states left on queue\.`)
	refuted  = regexp.MustCompile(`(?m)^Error: (?:Invariant|Action property) (.+?) is violated`)
	deadlock = regexp.MustCompile(`(?m)^Error: Deadlock reached\.`)
	temporal = regexp.MustCompile(`(?m)^Error: Temporal properties were violated\.`)
	finished = regexp.MustCompile(`(?m)^Model checking completed\. No error has been found\.`)
)

// A checker runs TLC in the folder of the modules, its scratch files elsewhere.
type checker struct {
	dir, jar, scratch string
	small             bool // what it runs has a few thousand states
}

// run lets TLC check a module under a configuration, given as text, that asks
// for these properties. What TLC refutes is in the verdict; an error is that
// TLC could not do its work.
func (k checker) run(cfg, module string, properties []string, options ...string) (verdict, error) {
	meta, err := os.MkdirTemp(k.scratch, "tlc")
	if err != nil {
		return verdict{}, err
	}
	defer os.RemoveAll(meta)
	path := filepath.Join(meta, "model.cfg")
	if err := os.WriteFile(path, []byte(cfg), 0o644); err != nil {
		return verdict{}, err
	}
	java := []string{"-XX:+UseParallelGC"}
	if k.small { // over in seconds: to begin fast is to end fast
		java = []string{"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
	}
	// TLC unpacks its standard modules into Java's temporary folder: two at once
	// would read what the other is still writing.
	args := slices.Concat(java, []string{"-Djava.io.tmpdir=" + meta, "-cp", k.jar, "tlc2.TLC", "-metadir", meta,
		"-lncheck", "final", "-config", path}, options, []string{module})
	cmd := exec.Command("java", args...)
	cmd.Dir = k.dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	v, understood := read(out.String(), properties)
	var exit *exec.ExitError
	if !understood || err != nil && !(errors.As(err, &exit) && v.broken != "") {
		return v, fmt.Errorf("TLC could not check this (%v); it said:\n%s", err, v.log)
	}
	return v, nil
}

// read takes the verdict from TLC's output; false if there is none in it.
func read(log string, properties []string) (verdict, bool) {
	v := verdict{log: log}
	if m := counted.FindStringSubmatch(log); m != nil {
		v.states, _ = strconv.Atoi(m[1])
	}
	switch m := refuted.FindStringSubmatch(log); {
	case m != nil:
		v.broken = m[1]
	case deadlock.MatchString(log):
		v.broken = "Deadlock"
	case temporal.MatchString(log): // TLC does not say which: those that ask for one ask for no other
		for _, p := range properties {
			if fairness[p] != "" {
				v.broken = p
			}
		}
		v.broken = cmp.Or(v.broken, "a temporal property")
	}
	return v, v.broken != "" || finished.MatchString(log)
}

// graph is what a dump amounts to.
type graph struct {
	states, edges, depth int
	labels               map[string]int
}

// size counts the states, the distinct (source, label, target) and the levels of a dump, which
// TLC writes as it goes, breadth first: a state comes after the first edge that leads to it.
// The explicit step of a run that has ended is not an edge.
func size(path string) (graph, error) {
	f, err := os.Open(path)
	if err != nil {
		return graph{}, err
	}
	defer f.Close()
	type edge struct {
		from, to int64
		label    string
	}
	g := graph{labels: map[string]int{}}
	level := map[int64]int{} // of each state
	edges := map[edge]bool{}
	labels := map[string]string{} // one copy of each
	err = tlc.ReadDump(f, tlc.Visitor{
		State: func(id int64, _ []byte, initial bool) error {
			if initial {
				level[id] = 1
			}
			return nil
		},
		Edge: func(from, to int64, text []byte) error {
			if level[to] == 0 {
				level[to] = level[from] + 1
			}
			label, ok := labels[string(text)]
			if !ok {
				label = string(text)
				labels[label] = label
			}
			if e := (edge{from, to, label}); !edges[e] && (label != "Terminating" || from != to) {
				edges[e] = true
				g.labels[label]++
			}
			return nil
		},
	})
	for _, l := range level {
		g.depth = max(g.depth, l)
	}
	g.states, g.edges = len(level), len(edges)
	return g, err
}

// dump writes the whole graph of a model to path, byte for byte the same each time.
func (k checker) dump(c *config, module, path string) (verdict, error) {
	return k.run(c.graphOnly(), module, nil, "-fp", "0", "-workers", "1",
		"-dump", "dot,actionlabels", strings.TrimSuffix(path, ".dot"))
}
