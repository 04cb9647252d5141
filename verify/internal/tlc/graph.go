package tlc

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Graph is a state graph that TLC dumped, with states of type S.
type Graph[S comparable] struct {
	States   []S
	Initial  []int32
	Terminal []bool // which states have TLC's explicit step of having ended, Terminating
	Edges    []Edge // sorted, distinct

	first   []int32
	number  map[S]int32
	actions int
}

// Edge is a labelled step between two states, each by its number.
type Edge struct {
	From, To int32
	Action   uint8 // its number among those that Read was given
}

// Counts is the size of a graph. Edges are the distinct triples of a source, an action's name and a
// target.
type Counts struct{ States, Edges, Depth int }

// Read reads a dump. Its edges have the names of these actions; parse reads its states.
func Read[S comparable](r io.Reader, actions []string, parse func(text []byte) (S, error)) (*Graph[S], error) {
	g := &Graph[S]{number: map[S]int32{}, actions: len(actions)}
	l := loader[S]{Graph: g, parse: parse, ids: map[int64]int32{}, names: map[string]uint8{}}
	for i, name := range actions {
		l.names[name] = uint8(i)
	}
	if err := ReadDump(r, Visitor{State: l.state, Edge: l.edge}); err != nil {
		return nil, err
	}
	return g, l.finish()
}

// loader numbers TLC's fingerprints in the order in which they appear.
type loader[S comparable] struct {
	*Graph[S]
	parse func(text []byte) (S, error)
	ids   map[int64]int32
	known []bool // whether the state of that number has been read
	names map[string]uint8
}

func (l *loader[S]) id(fingerprint int64) int32 {
	i, ok := l.ids[fingerprint]
	if !ok {
		i = int32(len(l.States))
		l.ids[fingerprint] = i
		var none S
		l.States = append(l.States, none)
		l.known = append(l.known, false)
		l.Terminal = append(l.Terminal, false)
	}
	return i
}

func (l *loader[S]) state(fingerprint int64, text []byte, initial bool) error {
	s, err := l.parse(text)
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

func (l *loader[S]) edge(from, to int64, label []byte) error {
	if string(label) == "Terminating" {
		if from != to {
			return errors.New("a Terminating that changes the state")
		}
		l.Terminal[l.id(from)] = true
		return nil
	}
	a, ok := l.names[string(label)]
	if !ok {
		return fmt.Errorf("unknown action %q", label)
	}
	l.Edges = append(l.Edges, Edge{l.id(from), l.id(to), a})
	return nil
}

func (l *loader[S]) finish() error {
	if i := slices.Index(l.known, false); i >= 0 {
		return fmt.Errorf("state number %d is in an edge and has no text", i)
	}
	slices.SortFunc(l.Edges, func(x, y Edge) int {
		return cmp.Or(cmp.Compare(x.From, y.From), cmp.Compare(x.Action, y.Action), cmp.Compare(x.To, y.To))
	})
	l.Edges = slices.Compact(l.Edges)
	l.first = make([]int32, len(l.States)+1)
	e := 0
	for i := range l.States {
		for e < len(l.Edges) && int(l.Edges[e].From) == i {
			e++
		}
		l.first[i+1] = int32(e)
	}
	return nil
}

// Out returns the edges from a state.
func (g *Graph[S]) Out(i int32) []Edge { return g.Edges[g.first[i]:g.first[i+1]] }

// Lookup returns the number of a state, and false if there is none.
func (g *Graph[S]) Lookup(s S) (int32, bool) {
	i, ok := g.number[s]
	return i, ok
}

// Counts returns the size of the graph, and the number of edges of each action. States that cannot
// be reached from an initial one do not count.
func (g *Graph[S]) Counts() (c Counts, taken []int) {
	taken = make([]int, g.actions)
	reached := make([]bool, len(g.States))
	level := slices.Clone(g.Initial)
	for _, i := range level {
		reached[i] = true
	}
	for ; len(level) > 0; c.Depth++ {
		var next []int32
		for _, i := range level {
			c.States++
			for _, e := range g.Out(i) {
				c.Edges++
				taken[e.Action]++
				if !reached[e.To] {
					reached[e.To] = true
					next = append(next, e.To)
				}
			}
		}
		level = next
	}
	return c, taken
}

// Executable is a model that can be executed and compared with TLC's graph. It also receives the
// differences.
type Executable[S comparable] interface {
	// Start returns the initial state of the model.
	Start() (S, error)
	// Steps returns the steps that the model can take from a state.
	Steps(s *S) []Step[S]
	// Terminated reports whether the run has ended in a state, on purpose.
	Terminated(s *S) bool

	// Wrong is called with a state and a difference from TLC there.
	Wrong(s S, what string)
	// Same is called with the index of one of the Steps that TLC takes too.
	Same(s *S, step int)
	// Extra is called with the index of one of the Steps that TLC does not take. out are all edges
	// that TLC takes from the state.
	Extra(s *S, step int, out []Edge)
	// Missing is called with an edge that none of the Steps has.
	Missing(s *S, e Edge)
	// Enough ends the comparison early.
	Enough() bool
}

// Step is a step of a model: the number of its action, and the state to which it leads.
type Step[S comparable] struct {
	Action uint8
	To     S
}

// Compare compares a model with the graph, both ways: the initial state; from every state of TLC
// the same labelled steps, to the same states; the same terminal states; every state of TLC
// reached. Since both begin in the same state and take the same steps from each, they are the same
// graph. It returns false if it ended early.
func (g *Graph[S]) Compare(x Executable[S]) (whole bool) {
	start, err := x.Start()
	if err != nil {
		x.Wrong(start, err.Error())
	} else if len(g.Initial) != 1 || g.States[g.Initial[0]] != start {
		x.Wrong(start, fmt.Sprintf("TLC has %d initial states, the model has this one", len(g.Initial)))
	}
	var matched []bool
	for i := range g.States {
		if x.Enough() {
			return false
		}
		s, out := &g.States[i], g.Out(int32(i))
		matched = append(matched[:0], make([]bool, len(out))...)
		steps := x.Steps(s)
		if terminated := x.Terminated(s); terminated != g.Terminal[i] {
			x.Wrong(*s, fmt.Sprintf("Terminated: TLC says %v, the model %v", g.Terminal[i], terminated))
		}
		for k, st := range steps {
			j := -1
			if to, known := g.number[st.To]; known {
				j = slices.Index(out, Edge{int32(i), to, st.Action})
			}
			if j < 0 {
				x.Extra(s, k, out)
				continue
			}
			matched[j] = true
			x.Same(s, k)
		}
		for j, e := range out {
			if !matched[j] {
				x.Missing(s, e)
			}
		}
	}
	if counts, _ := g.Counts(); counts.States < len(g.States) {
		var none S
		x.Wrong(none, fmt.Sprintf("%d states of TLC's dump are not reached from its initial state", len(g.States)-counts.States))
	}
	return true
}
