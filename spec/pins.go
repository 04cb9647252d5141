package spec

// Pin is what TLC has counted in the graph of a model of tla/, and what every
// other account of the same graph (the executable model, the implementation
// under the controlled scheduler) has to count too.
type Pin struct {
	Model  string // "quick", "ci": the configuration in tla/
	Bound  Bound
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
