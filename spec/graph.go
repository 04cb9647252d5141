package spec

import (
	"fmt"
	"hash/maphash"
	"slices"
)

// A Model is a machine that can be executed, with states S and steps T: a Bound of this
// package, or of another machine's.
type Model[S comparable, T AnyStep] interface {
	Check() error
	Init() S
	Enabled(s *S, buf []T) []T
	Next(s S, st T) (S, bool)
}

// AnyStep is what a graph needs of a step: which action it is of, by its number, of how many.
type AnyStep interface {
	comparable
	fmt.Stringer
	ActionNumber() (number, of int)
}

// EdgeOf is one step of a graph.
type EdgeOf[T AnyStep] struct {
	Step T
	To   int32 // the number of the state that it leads to
}

// GraphOf is every state that a model can reach and every step between them.
// States are numbered in the order of a breadth-first search from state 0, Init.
type GraphOf[M Model[S, T], S comparable, T AnyStep] struct {
	Bound  M
	From   []T // the steps from Init to state 0; mostly none
	States []S
	Depth  int // levels of the breadth-first search, the first state's included, as TLC counts them

	index  index[S]
	edges  []EdgeOf[T]
	first  []int32 // the edges of state i are edges[first[i]:first[i+1]]
	parent []int32 // the edge by which a state was first reached
}

// A Graph is that of the lifecycle.
type Graph = GraphOf[Bound, Snapshot, Step]

// Edge is one step of a Graph.
type Edge = EdgeOf[Step]

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
	return Explore(b, start, from)
}

// After takes the steps from Init. It returns an error that names the first that
// is not enabled.
func (b Bound) After(steps []Step) (Snapshot, error) { return After(b, steps) }

// Explore returns the graph of what a model can reach from a state, to which these steps lead.
// It returns an error where the model's Check does.
func Explore[M Model[S, T], S comparable, T AnyStep](m M, start S, from []T) (*GraphOf[M, S, T], error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	g := &GraphOf[M, S, T]{Bound: m, From: slices.Clone(from), index: newIndex[S]()}
	g.add(start, -1)
	var buf []T
	for level := 0; level < len(g.States); g.Depth++ {
		for end := len(g.States); level < end; level++ {
			s := g.States[level]
			g.first = append(g.first, int32(len(g.edges)))
			buf = m.Enabled(&s, buf[:0])
			for _, st := range buf {
				next, ok := m.Next(s, st)
				if !ok {
					panic(fmt.Sprintf("spec: %v is enabled and cannot be taken in %v", st, s))
				}
				g.edges = append(g.edges, EdgeOf[T]{st, g.add(next, int32(len(g.edges)))})
			}
		}
	}
	g.first = append(g.first, int32(len(g.edges)))
	return g, nil
}

// After takes the steps of a model from its Init. It returns an error that names the
// first that is not enabled.
func After[M Model[S, T], S comparable, T AnyStep](m M, steps []T) (S, error) {
	s := m.Init()
	for i, st := range steps {
		next, ok := m.Next(s, st)
		if !ok {
			return s, fmt.Errorf("spec: step %d, %v, is not enabled in %v", i+1, st, s)
		}
		s = next
	}
	return s, nil
}

// Edges returns the steps out of state i. The slice is the graph's own.
func (g *GraphOf[M, S, T]) Edges(i int) []EdgeOf[T] { return g.edges[g.first[i]:g.first[i+1]] }

// Steps returns how many steps the graph has: all edges, also those that differ
// from another only in the parameter.
func (g *GraphOf[M, S, T]) Steps() int { return len(g.edges) }

// Lookup returns the number of state s, and false where the bound cannot reach it.
func (g *GraphOf[M, S, T]) Lookup(s *S) (int, bool) {
	i := g.index.find(g.States, s)
	return int(i), i >= 0
}

// Path returns a sequence of steps from Init to state i, a shortest after From.
func (g *GraphOf[M, S, T]) Path(i int) []T {
	var path []T
	for e := g.parent[i]; e >= 0; e = g.parent[i] {
		path = append(path, g.edges[e].Step)
		i, _ = slices.BinarySearch(g.first, e+1) // the first state whose edges begin after e
		i--
	}
	slices.Reverse(path)
	return slices.Concat(g.From, path)
}

// Counts returns the graph's size, and how many of its edges each action has.
func (g *GraphOf[M, S, T]) Counts() (Counts, []int) {
	c := Counts{States: len(g.States), Depth: g.Depth}
	var none T
	_, actions := none.ActionNumber()
	per := make([]int, actions)
	for i := range g.States {
		out := g.Edges(i)
		for j, e := range out {
			a, _ := e.Step.ActionNumber()
			if !slices.ContainsFunc(out[:j], func(o EdgeOf[T]) bool { b, _ := o.Step.ActionNumber(); return o.To == e.To && a == b }) {
				c.Edges++
				per[a]++
			}
		}
	}
	return c, per
}

func (g *GraphOf[M, S, T]) add(s S, edge int32) int32 {
	i, known := g.index.add(g.States, &s)
	if !known {
		g.States = append(g.States, s)
		g.parent = append(g.parent, edge)
	}
	return i
}

// index finds a state's number by hashing: an open-addressing table of numbers
// into a slice of states that its owner keeps, a third of the size of a map.
type index[S comparable] struct {
	seed  maphash.Seed
	slots []int32 // number+1, 0: free; the length is a power of two
}

func newIndex[S comparable]() index[S] {
	return index[S]{seed: maphash.MakeSeed(), slots: make([]int32, 1024)}
}

// slot is where s is, or where it would have to be put.
func (x *index[S]) slot(states []S, s *S) uint64 {
	mask := uint64(len(x.slots) - 1)
	h := maphash.Comparable(x.seed, *s) & mask
	for x.slots[h] != 0 && states[x.slots[h]-1] != *s {
		h = (h + 1) & mask
	}
	return h
}

func (x *index[S]) find(states []S, s *S) int32 { return x.slots[x.slot(states, s)] - 1 }

// add returns the number of s in states; where it is unknown, the number that it
// gets when its owner appends it, which has to be at once.
func (x *index[S]) add(states []S, s *S) (i int32, known bool) {
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
