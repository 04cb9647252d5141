package delivery

import "github.com/seed3893aba4/surestart/spec"

// Pin is what TLC has counted in the graph of a model of delivery, and what every
// other account of the same graph has to count too.
type Pin struct {
	Model  string // "delivery-quick": the configuration that TLC ran
	Bound  Bound
	From   []Step // the steps from Init to where it begins, see [Bound.Graph]
	Counts spec.Counts
	Taken  [numActions]int // how many of the edges are of each Action
}

// Pins returns the pinned models, the smallest first.
func Pins() []Pin { return append([]Pin(nil), pins[:]...) }

// PinOf returns the pinned model of that name, and false where there is none.
func PinOf(model string) (Pin, bool) {
	for _, p := range pins {
		if p.Model == model {
			return p, true
		}
	}
	return Pin{}, false
}

// Graph explores the pinned model.
func (p Pin) Graph() *Graph {
	g, err := p.Bound.Graph(p.From...)
	if err != nil {
		panic(err) // the pins are generated, and tested
	}
	return g
}
