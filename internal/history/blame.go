package history

import (
	"slices"

	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/spec"
)

// blame names the guarantee that a history breaks by its event i. set is where
// the contract could be before it, now what was seen for certain.
func blame(h History, i int, set []point, now facts) spec.Guarantee {
	g, _ := spec.GuaranteeOf(blamed(h, i, set, now))
	return g
}

func blamed(h History, i int, set []point, now facts) string {
	e := h[i]
	all := func(is func(p point) bool) bool {
		return !slices.ContainsFunc(set, func(p point) bool { return !is(p) })
	}
	var (
		closed = all(func(p point) bool { return p.Final })
		used   = all(func(p point) bool { return p.Res != abstract.Closing || p.At(abstract.Using) != 0 }) &&
			slices.ContainsFunc(set, func(p point) bool { return p.At(abstract.Using) != 0 })
		held = now.opening || now.held > 0
	)
	switch e.Kind {
	case Return:
		switch h.call(i) {
		case abstract.InStart:
			switch e.Out.Out {
			case abstract.Ok:
				switch {
				case closed:
					return "G11"
				case h.reported(i, FailReturned, func(attempt int) bool { return attempt == now.attempt }):
					return "G13" // a failure reported while it was opening
				}
				return "G3"
			case abstract.Failed, abstract.Stopped:
				switch {
				case held: // whoever waits is told when all is given back
					return "G4"
				case e.Out.Out == abstract.Failed:
					return "G5"
				}
				return "G8"
			case abstract.Closed:
				return "G11"
			}
			return "G6"
		case abstract.InStop, abstract.InShut:
			switch {
			case used && (e.Out.Out == abstract.Ok || e.Out.Out == abstract.RelErr):
				return "G9"
			case e.Out.Out == abstract.Ok:
				return "G8"
			case e.Out.Out == abstract.RelErr:
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
	case WasCut, NotCut, UseMayEnd:
		return "G9"
	case OpenBegun:
		if closed {
			return "G11"
		}
		if h.givenUp(i) {
			return "G6"
		}
		return "G1"
	case ReleaseBegun:
		switch {
		case used:
			return "G9"
		case h.reported(i, FailCalled, func(attempt int) bool { return attempt < now.attempt }):
			return "G13" // an older attempt's failure
		}
		return "G4"
	case FailReturned:
		return "G13"
	case OpenReturns:
		return "G1"
	case ReleaseReturns:
		return "G4"
	}
	return "G3"
}

// reported says whether, since the latest open began, there was such an event
// about a report of such an attempt.
func (h History) reported(i int, kind Kind, of func(attempt int) bool) bool {
	for j := i - 1; j >= 0 && h[j].Kind != OpenBegun; j-- {
		if h[j].Kind == kind && of(h[j].Attempt) {
			return true
		}
	}
	return false
}

// givenUp says whether every Start that is in its call at event i, or if there is
// none the last one, had a context that had ended before.
func (h History) givenUp(i int) bool {
	in, last := map[uint8]bool{}, false
	for _, e := range h[:i] {
		switch {
		case e.Kind == Call && e.Call == abstract.InStart:
			in[e.Caller], last = e.Ended, e.Ended
		case e.Kind == Return:
			delete(in, e.Caller)
		}
	}
	for _, ended := range in {
		if !ended {
			return false
		}
	}
	return last || len(in) > 0
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
