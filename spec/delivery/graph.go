package delivery

import "github.com/seed3893aba4/surestart/spec"

// A Graph is a graph of the delivery model.
type Graph = spec.GraphOf[Bound, State, Step]

// Edge is one step of a Graph.
type Edge = spec.EdgeOf[Step]

// Graph returns the graph of every state that b can reach from the state to which the
// steps lead from Init. It returns an error if b.Check does, or if a step is not enabled.
// The steps may have answers that are not in b.Codes; the graph has none.
func (b Bound) Graph(from ...Step) (*Graph, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	start, err := b.After(from)
	if err != nil {
		return nil, err
	}
	return spec.Explore(b, start, from)
}

// After returns the state after the steps from Init, or an error that names the first step
// that is not enabled. The steps may have answers that are not in b.Codes.
func (b Bound) After(steps []Step) (State, error) {
	b.Codes = AllCodes
	return spec.After(b, steps)
}
