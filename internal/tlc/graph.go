package tlc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/seed3893aba4/surestart/spec"
)

// Graph is a state graph as TLC has dumped it.
type Graph struct {
	Bound    spec.Bound
	From     []spec.Step // the steps from Init to where the graph begins
	States   []spec.Snapshot
	Initial  []int32
	Terminal []bool // which states have TLC's explicit step of having ended, Terminating

	edges  []edge // sorted, distinct
	first  []int32
	number map[spec.Snapshot]int32
}

type edge struct {
	from, to int32
	action   spec.Action
}

// Graph has TLC dump a model, in dir unless $SURESTART_DUMPS says where, and
// reads it. It returns the dump's path too.
func (t TLC) Graph(ctx context.Context, model, dir string) (*Graph, string, error) {
	b, err := Bound(t.Root, model)
	if err != nil {
		return nil, "", err
	}
	path, err := t.Dump(ctx, model, dir)
	if err != nil {
		return nil, "", err
	}
	g, err := Load(path, b)
	if err == nil {
		g.From = From(model)
	}
	return g, path, err
}

// Load reads a dump of a model with the given bound.
func Load(path string, b spec.Bound) (*Graph, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	g, err := Read(f, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// Read is Load from a reader.
func Read(r io.Reader, b spec.Bound) (*Graph, error) {
	g := &Graph{Bound: b, number: map[spec.Snapshot]int32{}}
	l := loader{Graph: g, ids: map[int64]int32{}, actions: map[string]spec.Action{}}
	for _, a := range spec.Actions() {
		l.actions[a.String()] = a
	}
	if err := ReadDump(r, Visitor{State: l.state, Edge: l.edge}); err != nil {
		return nil, err
	}
	return g, l.finish()
}

// loader numbers TLC's fingerprints in the order in which they appear.
type loader struct {
	*Graph
	ids     map[int64]int32
	known   []bool // whether the state of that number has been read
	actions map[string]spec.Action
}

func (l *loader) id(fingerprint int64) int32 {
	i, ok := l.ids[fingerprint]
	if !ok {
		i = int32(len(l.States))
		l.ids[fingerprint] = i
		l.States = append(l.States, spec.Snapshot{})
		l.known = append(l.known, false)
		l.Terminal = append(l.Terminal, false)
	}
	return i
}

func (l *loader) state(fingerprint int64, text []byte, initial bool) error {
	s, err := ParseState(l.Bound, text)
	if err != nil {
		return err
	}
	i := l.id(fingerprint)
	if j, ok := l.number[s]; ok {
		if i == j { // TLC may print a state again
			return nil
		}
		return fmt.Errorf("a state under two fingerprints: %v", s)
	}
	if l.known[i] {
		return fmt.Errorf("two states under one fingerprint: %v and %v", l.States[i], s)
	}
	l.States[i], l.known[i], l.number[s] = s, true, i
	if initial {
		l.Initial = append(l.Initial, i)
	}
	return nil
}

func (l *loader) edge(from, to int64, label []byte) error {
	if string(label) == "Terminating" {
		if from != to {
			return errors.New("a Terminating that changes the state")
		}
		l.Terminal[l.id(from)] = true
		return nil
	}
	a, ok := l.actions[string(label)]
	if !ok {
		return fmt.Errorf("unknown action %q", label)
	}
	l.edges = append(l.edges, edge{l.id(from), l.id(to), a})
	return nil
}

func (l *loader) finish() error {
	if i := slices.Index(l.known, false); i >= 0 {
		return fmt.Errorf("state number %d is in an edge and has no text", i)
	}
	slices.SortFunc(l.edges, func(x, y edge) int {
		return cmp.Or(cmp.Compare(x.from, y.from), cmp.Compare(x.action, y.action), cmp.Compare(x.to, y.to))
	})
	l.edges = slices.Compact(l.edges)
	l.first = make([]int32, len(l.States)+1)
	e := 0
	for i := range l.States {
		for e < len(l.edges) && int(l.edges[e].from) == i {
			e++
		}
		l.first[i+1] = int32(e)
	}
	return nil
}

func (g *Graph) out(i int32) []edge { return g.edges[g.first[i]:g.first[i+1]] }

// Counts returns the graph's size, and how many of its edges each action has.
// States that no path from an initial one reaches are not counted.
func (g *Graph) Counts() (spec.Counts, map[spec.Action]int) {
	var c spec.Counts
	per := map[spec.Action]int{}
	reached := make([]bool, len(g.States))
	level := slices.Clone(g.Initial)
	for _, i := range level {
		reached[i] = true
	}
	for ; len(level) > 0; c.Depth++ {
		var next []int32
		for _, i := range level {
			c.States++
			for _, e := range g.out(i) {
				c.Edges++
				per[e.action]++
				if !reached[e.to] {
					reached[e.to] = true
					next = append(next, e.to)
				}
			}
		}
		level = next
	}
	return c, per
}
