package history

import (
	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/spec"
)

// blame names the guarantee that a history breaks by its event i. set is where
// the contract could be before it.
func blame(h History, i int, set []point) spec.Guarantee {
	g, _ := spec.GuaranteeOf(blamed(h, i, set))
	return g
}

func blamed(h History, i int, set []point) string {
	e := h[i]
	closed := len(set) > 0 // the contract was final for certain
	for _, p := range set {
		closed = closed && p.Final
	}
	switch e.Kind {
	case Return:
		switch h.call(i) {
		case abstract.InStart:
			switch e.Out.Out {
			case abstract.Ok:
				if closed {
					return "G11"
				}
				return "G3"
			case abstract.Failed:
				return "G5"
			case abstract.Stopped:
				return "G8"
			case abstract.Closed:
				return "G11"
			}
			return "G6"
		case abstract.InStop, abstract.InShut:
			switch e.Out.Out {
			case abstract.Ok:
				return "G8"
			case abstract.RelErr:
				return "G4"
			}
			return "G9"
		}
		if closed && e.Out.Out != abstract.Closed || e.Out.Out == abstract.Closed {
			return "G11"
		}
		return "G10"
	case Admitted:
		if closed {
			return "G11"
		}
		return "G10"
	case WasCut, UseMayEnd:
		return "G9"
	case OpenBegun:
		if closed {
			return "G11"
		}
		return "G1"
	case ReleaseBegun:
		for _, p := range set {
			if p.Res == abstract.Closing && p.At(abstract.Using) == 0 {
				return "G4" // now may be released, but not this
			}
		}
		return "G9"
	case FailReturned:
		return "G13"
	case OpenReturns:
		return "G1"
	case ReleaseReturns:
		return "G4"
	}
	return "G3"
}

// call is what the caller of event i was calling.
func (h History) call(i int) abstract.Call {
	for j := i; j >= 0; j-- {
		if h[j].Kind == Call && h[j].Caller == h[i].Caller {
			return h[j].Call
		}
	}
	return abstract.Idle
}
