package history

import (
	"fmt"
	"slices"

	"github.com/seed3893aba4/surestart/internal/abstract"
)

// A Witness is a run of the contract that explains a history: for each event, the hidden
// steps that the contract takes directly before it.
type Witness [][]abstract.Step

// Find returns a run of the contract that explains h, or a *Violation.
func Find(h History) (Witness, error) {
	frontiers, err := run(h, true)
	if err != nil {
		return nil, err
	}
	w := make(Witness, len(h))
	at := int32(0)
	for i := len(frontiers) - 1; i >= 0; i-- {
		for l := frontiers[i].from[at]; ; l = frontiers[i].from[at] {
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

// Replay takes the steps of the witness in the contract, one at a time. It returns an error
// that says why they do not explain h. It shares with the search only the meaning of events.
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
