package spec

import (
	"fmt"
	"hash/maphash"
	"slices"
)

// A Model is an executable machine with states S and steps T: a Bound of this package, or
// of package delivery.
type Model[S comparable, T AnyStep] interface {
	Check() error
	Init() S
	Enabled(s *S, buf []T) []T
	Next(s S, st T) (S, bool)
}

// AnyStep is the constraint of a step: it has the number of its action, and the number of
// actions.
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

// GraphOf has every state that a model can reach, and every step between them. States are
// numbered in the order of a breadth-first search from state 0.
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

// A Graph is a graph of the lifecycle's model.
type Graph = GraphOf[Bound, Snapshot, Step]

// Edge is one step of a Graph.
type Edge = EdgeOf[Step]

// Counts is the size of a graph, as TLC counts it: Edges is the number of distinct triples
// of a source, an action's name and a target, without self-loops.
type Counts struct{ States, Edges, Depth int }

// String returns, for example, "states=300502 edges=1344000 depth=37".
func (c Counts) String() string {
	return fmt.Sprintf("states=%d edges=%d depth=%d", c.States, c.Edges, c.Depth)
}

// Graph returns the graph of every state that b can reach. At the CI bound this takes about a
// second and 150 MB. It panics if b.Check returns an error.
func (b Bound) Graph() *Graph {
	g, err := b.GraphFrom(nil)
	if err != nil {
		panic(err)
	}
	return g
}

// GraphFrom returns the graph from the state to which the steps lead. It returns an error
// if b.Check does, or if a step is not enabled.
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

// After returns the state after the steps from Init, or an error that names the first step
// that is not enabled.
func (b Bound) After(steps []Step) (Snapshot, error) { return After(b, steps) }

// Explore returns the graph of every state that a model can reach from start, to which the
// steps from lead. It returns an error if m.Check does.
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

// After returns the state after the steps from a model's Init, or an error that names the
// first step that is not enabled.
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

// Edges returns the steps out of state i. The slice must not be modified.
func (g *GraphOf[M, S, T]) Edges(i int) []EdgeOf[T] { return g.edges[g.first[i]:g.first[i+1]] }

// Steps returns the number of steps: all edges, also those that differ from another one
// only in the parameter.
func (g *GraphOf[M, S, T]) Steps() int { return len(g.edges) }

// Lookup returns the number of state s, or false if the graph does not have it.
func (g *GraphOf[M, S, T]) Lookup(s *S) (int, bool) {
	i := g.index.find(g.States, s)
	return int(i), i >= 0
}

// Path returns steps from Init to state i: From, then a shortest path.
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

// Counts returns the size of the graph, and the number of edges of each action.
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

// index is a hash table from states to their numbers, with open addressing. The states are
// in a slice that its owner keeps; it takes a third of the memory of a map.
type index[S comparable] struct {
	seed  maphash.Seed
	slots []int32 // number+1, 0: free; the length is a power of two
}

func newIndex[S comparable]() index[S] {
	return index[S]{seed: maphash.MakeSeed(), slots: make([]int32, 1024)}
}

// slot returns the slot of s, or the slot to put it into.
func (x *index[S]) slot(states []S, s *S) uint64 {
	mask := uint64(len(x.slots) - 1)
	h := maphash.Comparable(x.seed, *s) & mask
	for x.slots[h] != 0 && states[x.slots[h]-1] != *s {
		h = (h + 1) & mask
	}
	return h
}

func (x *index[S]) find(states []S, s *S) int32 { return x.slots[x.slot(states, s)] - 1 }

// add returns the number of s in states. If s is not known, the caller appends it at once,
// and it gets that number.
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
