package delivery

import "github.com/seed3893aba4/surestart/spec"

// Graph is every state that a bound can reach and every step between them.
type Graph = spec.GraphOf[Bound, State, Step]

// Edge is one step of a Graph.
type Edge = spec.EdgeOf[Step]

// Graph explores everything that b can reach from where the steps lead; without
// steps from Init. It returns an error where the bound is none (Bound.Check), or a
// step is not enabled. Answers among the steps may be outside of Codes: a model can
// begin after answers that it leaves out from there on.
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

// After takes the steps from Init; any answers may be among them. It returns an
// error that names the first that is not enabled.
func (b Bound) After(steps []Step) (State, error) {
	b.Codes = AllCodes
	return spec.After(b, steps)
}
