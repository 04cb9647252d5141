package delivery

import "github.com/seed3893aba4/surestart/spec"

// Pin has TLC's counts of the graph of a model of delivery. The graph of the executable
// model must have the same counts, and so must every other account of that graph.
type Pin struct {
	Model  string // "delivery-quick": the configuration that TLC ran
	Bound  Bound
	From   []Step // the steps from Init to the first state of the graph
	Counts spec.Counts
	Taken  [numActions]int // the number of edges of each Action
}

// Pins returns the pinned models, the smallest first.
func Pins() []Pin { return append([]Pin(nil), pins[:]...) }

// PinOf returns the pinned model of that name, or false if there is none.
func PinOf(model string) (Pin, bool) {
	for _, p := range pins {
		if p.Model == model {
			return p, true
		}
	}
	return Pin{}, false
}

// Graph returns the graph of the pinned model.
func (p Pin) Graph() *Graph {
	g, err := p.Bound.Graph(p.From...)
	if err != nil {
		panic(err) // the pins are generated, and tested
	}
	return g
}
