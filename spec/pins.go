package spec

// Pin is what TLC has counted in the graph of a model of tla/, and what every
// other account of the same graph (the executable model, the implementation
// under the controlled scheduler) has to count too.
type Pin struct {
	Model  string // "quick", "stoppers", "ci": the configuration that TLC ran
	Bound  Bound
	From   []Step // the steps from Init to where it begins, see [Pin.Graph]
	Counts Counts
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

// Graph explores the pinned model. Most begin in Init; "stoppers", which has a
// third caller, begins where its From leads, to be small enough for TLC to dump.
func (p Pin) Graph() *Graph {
	g, err := p.Bound.GraphFrom(p.From)
	if err != nil {
		panic(err) // the pins are generated, and tested
	}
	return g
}
