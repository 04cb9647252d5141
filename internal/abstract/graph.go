package abstract

import "fmt"

// Model is the contract with a number of callers.
type Model struct {
	Callers  int
	Restarts bool // a resource that died is restarted
}

func (m Model) init() State { return State{Restarts: m.Restarts} }

// Enabled appends the steps that are enabled in s to steps.
func (m Model) Enabled(s *State, steps []Step) []Step {
	for c := range uint8(m.Callers) {
		switch s.Call[c] {
		case Idle:
			for _, kind := range []Call{InStart, InStop, InShut, InUse} {
				steps = append(steps, Step{Action: Invoke, Caller: c, Kind: kind})
			}
		case Done:
			steps = append(steps, Step{Action: Return, Caller: c})
		}
	}
	return Inner(s, steps)
}

// Inner appends the enabled steps of s that are neither the invocation of a call nor its
// return: a history of calls does not show them.
func Inner(s *State, steps []Step) []Step {
	add := func(st Step) {
		if _, ok := Next(*s, st); ok {
			steps = append(steps, st)
		}
	}
	waiting := s.At(InStart)
	for i, where := range s.Call {
		c := uint8(i)
		switch where {
		case InStart:
			add(Step{Action: ContextEnds, Caller: c})
			add(Step{Action: StartOfOpen, Caller: c})
			add(Step{Action: StartRefused, Caller: c})
			add(Step{Action: StartJoins, Caller: c})
		case Join:
			add(Step{Action: ContextEnds, Caller: c})
			add(Step{Action: StartLeaves, Caller: c})
		case InStop, InShut:
			add(Step{Action: ContextEnds, Caller: c})
			each(waiting, func(S Set) {
				add(Step{Action: StopOfEmpty, Caller: c, S: S})
				add(Step{Action: StopTakesEffect, Caller: c, S: S})
			})
		case StopWait, ShutWait:
			add(Step{Action: ContextEnds, Caller: c})
			add(Step{Action: StopLeaves, Caller: c})
		case InUse:
			add(Step{Action: UseAdmitted, Caller: c})
			add(Step{Action: UseRefused, Caller: c})
		case Using, Cut:
			add(Step{Action: UseEnds, Caller: c})
		}
	}
	add(Step{Action: Opened})
	add(Step{Action: OpenFails})
	add(Step{Action: Died})
	each(waiting, func(S Set) {
		add(Step{Action: Released, S: S})
		add(Step{Action: Released, S: S, Bad: true})
		add(Step{Action: RestartEnds, S: S})
		add(Step{Action: RestartEnds, S: S, Begins: true})
	})
	return steps
}

// each calls f with every subset of all.
func each(all Set, f func(Set)) {
	for some := all; ; some = (some - 1) & all {
		f(some)
		if some == 0 {
			return
		}
	}
}

// Counts is the size of a graph, as TLC counts it: Edges is the number of distinct triples
// of a source, an action's name and a target.
type Counts struct{ States, Edges, Depth int }

// String returns, for example, "states=5245 edges=19751 depth=27".
func (c Counts) String() string {
	return fmt.Sprintf("states=%d edges=%d depth=%d", c.States, c.Edges, c.Depth)
}

// Edge is a labelled step of a Graph.
type Edge struct {
	From, To State
	Action   Action
}

// Graph has every state that a model reaches, and counts the edges between them. State 0 is
// Init; the states are in the order of a breadth-first search.
type Graph struct {
	States []State
	Counts Counts
	Taken  [numActions]int // the number of edges of each action

	number map[State]bool
}

// Graph returns the graph of the model. It calls edge, unless that is nil, for each distinct
// edge.
func (m Model) Graph(edge func(Edge)) *Graph {
	g := &Graph{States: []State{m.init()}, number: map[State]bool{m.init(): true}}
	type labelled struct {
		a  Action
		to State
	}
	var steps []Step
	seen := map[labelled]bool{}
	for i, end := 0, 1; i < end; end = len(g.States) {
		for g.Counts.Depth++; i < end; i++ {
			s := g.States[i]
			clear(seen)
			steps = m.Enabled(&s, steps[:0])
			for _, st := range steps {
				to, _ := Next(s, st)
				if l := (labelled{st.Action, to}); !seen[l] {
					seen[l] = true
					g.Counts.Edges++
					g.Taken[st.Action]++
					if edge != nil {
						edge(Edge{s, to, st.Action})
					}
				}
				if !g.number[to] {
					g.number[to] = true
					g.States = append(g.States, to)
				}
			}
		}
	}
	g.Counts.States = len(g.States)
	return g
}
