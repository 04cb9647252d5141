package models

import (
	"context"
	"os"
	"strings"

	"github.com/seed3893aba4/surestart/verify/internal/machine"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

// A checker runs TLC in the folder of the modules, with its temporary files elsewhere.
type checker struct {
	machine.Specification
	tlc                tlc.TLC
	root, dir, scratch string // dir: of the modules, under root
	small              bool   // what it runs has a few thousand states
}

// run runs TLC on a module under a configuration, given as text, that asks for these properties.
func (k checker) run(ctx context.Context, cfg, module string, properties []string, options ...string) (tlc.Verdict, error) {
	java := []string{"-XX:+UseSerialGC"}
	if k.small { // over in seconds: to begin fast is to end fast
		java = append(java, "-XX:TieredStopAtLevel=1")
	}
	v, err := k.tlc.Check(ctx, k.Dir, cfg, module, java, options...)
	if v.Broken == tlc.Temporal {
		v.Broken = k.asked(properties)
	}
	return v, err
}

// asked returns the property among these that needs fairness. A configuration that asks for one
// asks for no other.
func (k checker) asked(properties []string) string {
	for _, p := range properties {
		if k.Fairness[p] != "" {
			return p
		}
	}
	return tlc.Temporal
}

// graph is the summary of a dump.
type graph struct {
	states, edges, depth int
	labels               map[string]int
}

// size counts the states, the distinct triples of source, label and target, and the levels of a
// dump. TLC writes the dump breadth first: a state comes after the first edge that leads to it. The
// explicit step of a run that has ended is not an edge.
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

// dump writes the whole graph of a model to path. Its bytes are the same each time.
func (k checker) dump(ctx context.Context, c *config, module, path string) (tlc.Verdict, error) {
	return k.run(ctx, tlc.GraphOnly(c.text), module, nil, "-fp", "0", "-workers", "1",
		"-dump", "dot,actionlabels", strings.TrimSuffix(path, ".dot"))
}
