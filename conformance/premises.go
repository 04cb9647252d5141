package conformance

import (
	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/internal/history"
)

// followed checks h against the contract, and counts in reached the guarantees whose
// premise held in h.
func followed(h history.History, reached map[string]int) error {
	came := map[string]bool{}
	pending := map[uint8]history.Event{}
	running, failed := 0, false // hooks; the latest open has failed
	err := history.Follow(h, func(i int, states []abstract.State) {
		all := func(is func(abstract.State) bool) bool {
			for _, s := range states {
				if !is(s) {
					return false
				}
			}
			return true
		}
		in := func(res abstract.Res) bool { return all(func(s abstract.State) bool { return s.Res == res }) }
		switch e := h[i]; e.Kind {
		case history.Call:
			switch {
			case all(func(s abstract.State) bool { return s.Final }):
				came["G11"] = true
			case e.Call == abstract.InUse:
				came["G10"] = true
			case e.Call == abstract.InStart:
				came["G1"] = came["G1"] || running > 0
				came["G2"] = came["G2"] || in(abstract.Open)
				came["G5"] = came["G5"] || failed || in(abstract.Closing)
			default:
				came["G2"] = came["G2"] || in(abstract.Empty)
				came["G8"] = came["G8"] || in(abstract.Opening)
				came["G9"] = came["G9"] || all(func(s abstract.State) bool { return s.At(abstract.Using) != 0 })
			}
			pending[e.Caller] = e
		case history.Return:
			call := pending[e.Caller].Call
			delete(pending, e.Caller)
			came["G3"] = came["G3"] || call == abstract.InStart && e.Out.Out == abstract.Ok
			came["G14"] = came["G14"] || call == abstract.InStart && (e.Out.Out == abstract.Failed || e.Lost)
		case history.ContextMayEnd:
			for _, call := range pending {
				came["G6"] = came["G6"] || call.Context == e.Context && call.Call == abstract.InStart
			}
		case history.OpenBegun, history.ReleaseBegun:
			running++
		case history.OpenReturns:
			running--
			failed = e.Bad
			came["G4"] = came["G4"] || e.Bad
		case history.ReleaseReturns:
			running--
		case history.Quiet:
			came["G12"] = came["G12"] || len(pending) > 0
		case history.FailCalled:
			came["G13"] = true
		case history.Inside:
			came["G15"] = true
		case history.Left:
			came["G7"] = true
		}
	})
	if reached != nil {
		for id, ok := range came {
			if ok {
				reached[id]++
			}
		}
	}
	return err
}
