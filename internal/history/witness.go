package history

import (
	"fmt"
	"slices"

	"github.com/seed3893aba4/surestart/internal/abstract"
)

// A Witness is one run of the contract that shows a history: for each of its
// events the steps, not shown, that the contract takes just before it.
type Witness [][]abstract.Step

// Find returns a run of the contract that shows h, or a *Violation.
func Find(h History) (Witness, error) {
	layers, err := run(h, true)
	if err != nil {
		return nil, err
	}
	w := make(Witness, len(h))
	at := int32(0)
	for i := len(layers) - 1; i >= 0; i-- {
		for l := layers[i].from[at]; ; l = layers[i].from[at] {
			if l.point < 0 {
				at = l.before
				break
			}
			w[i] = append(w[i], l.step)
			at = l.point
		}
		if i < len(h) {
			slices.Reverse(w[i])
		}
	}
	return w, nil
}

// Replay takes the witness through the contract, one step at a time, and returns
// why it does not show h. It shares nothing with the search but what an event
// says of a state.
func (w Witness) Replay(h History) error {
	if len(w) != len(h) {
		return fmt.Errorf("a witness for %d events, of %d", len(w), len(h))
	}
	var (
		now facts
		p   point
		ok  bool
	)
	for i, e := range h {
		for _, st := range w[i] {
			if p, ok = now.step(p, st); !ok {
				return fmt.Errorf("before event %d, %v: the contract cannot take %v", i+1, e, st)
			}
		}
		if why := now.see(e); why != "" {
			return fmt.Errorf("event %d, %v: %s", i+1, e, why)
		}
		if p, ok = now.after(p, e); !ok {
			return fmt.Errorf("event %d, %v: not in %+v", i+1, e, p)
		}
	}
	return nil
}
