package spec

import (
	"fmt"
	"hash/maphash"
	"slices"
)

// Edge is one step of a Graph.
type Edge struct {
	Step Step
	To   int32 // the number of the state that it leads to
}

// Graph is every state that a bound can reach and every step between them.
// States are numbered in the order of a breadth-first search from state 0, Init.
type Graph struct {
	Bound  Bound
	From   []Step // the steps from Init to state 0; mostly none
	States []Snapshot
	Depth  int // levels of the breadth-first search, the first state's included, as TLC counts them

	index  index
	edges  []Edge
	first  []int32 // the edges of state i are edges[first[i]:first[i+1]]
	parent []int32 // the edge by which a state was first reached
}

// Counts is how large a graph is, as TLC counts it: Edges are the distinct
// triples of a source, an action's name and a target, without self-loops.
type Counts struct{ States, Edges, Depth int }

// String reads "states=300502 edges=1344000 depth=37".
func (c Counts) String() string {
	return fmt.Sprintf("states=%d edges=%d depth=%d", c.States, c.Edges, c.Depth)
}

// Graph explores everything that b can reach. At the CI bound this takes a
// second and some 150 MB. It panics where b.Check would return an error.
func (b Bound) Graph() *Graph {
	g, err := b.GraphFrom(nil)
	if err != nil {
		panic(err)
	}
	return g
}

// GraphFrom is Graph from where the steps lead: what can happen after them.
func (b Bound) GraphFrom(from []Step) (*Graph, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	start, err := b.After(from)
	if err != nil {
		return nil, err
	}
	g := &Graph{Bound: b, From: slices.Clone(from), index: newIndex()}
	g.add(start, -1)
	var buf []Step
	for level := 0; level < len(g.States); g.Depth++ {
		for end := len(g.States); level < end; level++ {
			s := g.States[level]
			g.first = append(g.first, int32(len(g.edges)))
			buf = b.Enabled(&s, buf[:0])
			for _, st := range buf {
				next := s
				if !b.take(&next, st) {
					panic(fmt.Sprintf("spec: %v is enabled and cannot be taken in %v", st, s))
				}
				g.edges = append(g.edges, Edge{st, g.add(next, int32(len(g.edges)))})
			}
		}
	}
	g.first = append(g.first, int32(len(g.edges)))
	return g, nil
}

// After takes the steps from Init. It returns an error that names the first that
// is not enabled.
func (b Bound) After(steps []Step) (Snapshot, error) {
	s := b.Init()
	for i, st := range steps {
		next, ok := b.Next(s, st)
		if !ok {
			return s, fmt.Errorf("spec: step %d, %v, is not enabled in %v", i+1, st, s)
		}
		s = next
	}
	return s, nil
}

// Edges returns the steps out of state i. The slice is the graph's own.
func (g *Graph) Edges(i int) []Edge { return g.edges[g.first[i]:g.first[i+1]] }

// Steps returns how many steps the graph has: all edges, also those that differ
// from another only in the parameter.
func (g *Graph) Steps() int { return len(g.edges) }

// Lookup returns the number of state s, and false where the bound cannot reach it.
func (g *Graph) Lookup(s *Snapshot) (int, bool) {
	i := g.index.find(g.States, s)
	return int(i), i >= 0
}

// Path returns a sequence of steps from Init to state i, a shortest after From.
func (g *Graph) Path(i int) []Step {
	var path []Step
	for e := g.parent[i]; e >= 0; e = g.parent[i] {
		path = append(path, g.edges[e].Step)
		i, _ = slices.BinarySearch(g.first, e+1) // the first state whose edges begin after e
		i--
	}
	slices.Reverse(path)
	return slices.Concat(g.From, path)
}

// Counts returns the graph's size, and how many of its edges each action has.
func (g *Graph) Counts() (Counts, [numActions]int) {
	c := Counts{States: len(g.States), Depth: g.Depth}
	var per [numActions]int
	for i := range g.States {
		out := g.Edges(i)
		for j, e := range out {
			if !slices.ContainsFunc(out[:j], func(o Edge) bool { return o.To == e.To && o.Step.Action == e.Step.Action }) {
				c.Edges++
				per[e.Step.Action]++
			}
		}
	}
	return c, per
}

func (g *Graph) add(s Snapshot, edge int32) int32 {
	i, known := g.index.add(g.States, &s)
	if !known {
		g.States = append(g.States, s)
		g.parent = append(g.parent, edge)
	}
	return i
}

// index finds a state's number by hashing: an open-addressing table of numbers
// into a slice of states that its owner keeps, a third of the size of a map.
type index struct {
	seed  maphash.Seed
	slots []int32 // number+1, 0: free; the length is a power of two
}

func newIndex() index { return index{seed: maphash.MakeSeed(), slots: make([]int32, 1024)} }

// slot is where s is, or where it would have to be put.
func (x *index) slot(states []Snapshot, s *Snapshot) uint64 {
	mask := uint64(len(x.slots) - 1)
	h := maphash.Comparable(x.seed, *s) & mask
	for x.slots[h] != 0 && states[x.slots[h]-1] != *s {
		h = (h + 1) & mask
	}
	return h
}

func (x *index) find(states []Snapshot, s *Snapshot) int32 { return x.slots[x.slot(states, s)] - 1 }

// add returns the number of s in states; where it is unknown, the number that it
// gets when its owner appends it, which has to be at once.
func (x *index) add(states []Snapshot, s *Snapshot) (i int32, known bool) {
	if 2*len(states) >= len(x.slots) {
		x.slots = make([]int32, 2*len(x.slots))
		for i := range states {
			x.slots[x.slot(states, &states[i])] = int32(i) + 1
		}
	}
	h := x.slot(states, s)
	if x.slots[h] != 0 {
		return x.slots[h] - 1, true
	}
	x.slots[h] = int32(len(states)) + 1
	return int32(len(states)), false
}
