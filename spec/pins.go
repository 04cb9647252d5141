package spec

// Pin has TLC's counts of the graph of a model of tla/. The graphs of the executable model
// and of the implementation under the scheduler must have the same counts.
type Pin struct {
	Model  string // the configuration that TLC ran: "quick", "stoppers", "ci"
	Bound  Bound
	From   []Step // the steps from Init to the first state of the graph, see [Pin.Graph]
	Counts Counts
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

// Graph returns the graph of the pinned model. Most begin in Init. "stoppers", which has a
// third caller, begins in a later state, to be small enough for TLC to dump.
func (p Pin) Graph() *Graph {
	g, err := p.Bound.GraphFrom(p.From)
	if err != nil {
		panic(err) // the pins are generated, and tested
	}
	return g
}
