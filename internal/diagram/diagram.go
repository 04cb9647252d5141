// Package diagram draws the states of a lifecycle from the specification: from the
// generated table, and from the graphs of the two executable models.
package diagram

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/spec"
)

// A Diagram has states and edges between them. The first node is the initial state.
type Diagram struct {
	level string
	Title string
	Nodes []string
	Final []string // the nodes that are final states
	Edges []Edge
}

// An Edge has every label from one node to another, in order.
type Edge struct {
	From, To string
	Labels   []string
}

// Levels returns the names of levels for Of.
func Levels() []string { return []string{"machine", "algorithm", "calls"} }

// Of returns the diagram of a level. "machine" is the transition table. "algorithm" has the
// state and the attempt's operation, with the actions of tla/Algorithm.tla that change them.
// "calls" has the places of a caller in its call, with the actions of tla/Abstract.tla. Of
// returns an error for any other level.
func Of(level string) (Diagram, error) {
	switch level {
	case "machine":
		return machine(), nil
	case "algorithm":
		return algorithm(), nil
	case "calls":
		return calls(), nil
	}
	return Diagram{}, fmt.Errorf("no level %q; want one of %s", level, strings.Join(Levels(), ", "))
}

// collector collects the labels of each edge.
type collector struct {
	Diagram
	index map[[2]string]int
}

func (c *collector) node(name string) {
	if !slices.Contains(c.Nodes, name) {
		c.Nodes = append(c.Nodes, name)
	}
}

func (c *collector) edge(from, to, label string) {
	c.node(from)
	c.node(to)
	i, ok := c.index[[2]string{from, to}]
	if !ok {
		if c.index == nil {
			c.index = map[[2]string]int{}
		}
		i = len(c.Edges)
		c.index[[2]string{from, to}] = i
		c.Edges = append(c.Edges, Edge{From: from, To: to})
	}
	if e := &c.Edges[i]; !slices.Contains(e.Labels, label) {
		e.Labels = append(e.Labels, label)
	}
}

// done sorts the edges and their labels.
func (c *collector) done() Diagram {
	slices.SortFunc(c.Edges, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(slices.Index(c.Nodes, a.From), slices.Index(c.Nodes, b.From)),
			cmp.Compare(slices.Index(c.Nodes, a.To), slices.Index(c.Nodes, b.To)))
	})
	for _, e := range c.Edges {
		slices.Sort(e.Labels)
	}
	return c.Diagram
}

func machine() Diagram {
	c := collector{Diagram: Diagram{level: "machine", Title: "The state machine", Final: []string{spec.Closed.String()}}}
	for _, s := range spec.States() {
		c.node(s.String())
	}
	for _, r := range spec.Table() {
		c.edge(r.From.String(), r.To.String(), r.Event.String())
	}
	return c.Diagram
}

// algorithm walks the algorithm's model at bounds at which every action is taken.
func algorithm() Diagram {
	c := collector{Diagram: Diagram{level: "algorithm", Title: "The algorithm", Final: []string{spec.Closed.String()}}}
	name := func(s *spec.Snapshot) string {
		if s.Gen > 0 {
			if op := s.Attempt(s.Gen).Op; op != spec.OpNone {
				return fmt.Sprintf("%v: %v", s.St, op)
			}
		}
		return s.St.String()
	}
	for _, b := range []spec.Bound{
		{Callers: 2, Parts: 1, Retries: true, Calls: 3, Fails: 1},
		{Callers: 2, Parts: 1, Restarts: 1, Calls: 2, Fails: 1},
	} {
		g := b.Graph()
		for i := range g.States {
			from := name(&g.States[i])
			for _, e := range g.Edges(i) {
				if to := name(&g.States[e.To]); to != from {
					c.edge(from, to, e.Step.Action.String())
				}
			}
		}
	}
	return c.done()
}

// calls walks the contract's model with two callers.
func calls() Diagram {
	c := collector{Diagram: Diagram{level: "calls", Title: "A call"}}
	abstract.Model{Callers: 2}.Graph(func(e abstract.Edge) {
		for i := range 2 {
			if was, is := e.From.Call[i], e.To.Call[i]; was != is {
				c.edge(was.String(), is.String(), e.Action.String())
			}
		}
	})
	return c.done()
}
