package history

import (
	"slices"

	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/spec"
)

// blamer names the guarantee that a history breaks by its event i. set has the possible states of the contract before it,
// facts what is certain. With free-running goroutines the place of an event is between two others (blamed); with stepped
// ones it is exact (blamedStepped).
type blamer struct {
	h   History
	i   int
	e   Event
	set []point
	*facts
}

func newBlamer(h History, i int, set []point, now *facts) *blamer {
	return &blamer{h, i, h[i], set, now}
}

func (b *blamer) all(is func(p point) bool) bool {
	return !slices.ContainsFunc(b.set, func(p point) bool { return !is(p) })
}

func (b *blamer) closed() bool { return b.all(func(p point) bool { return p.Final }) }

// used reports whether a use is in flight that no caller was allowed to cut off.
func (b *blamer) used() bool {
	return b.all(func(p point) bool { return p.Res != abstract.Closing || p.At(abstract.Using) != 0 }) &&
		slices.ContainsFunc(b.set, func(p point) bool { return p.At(abstract.Using) != 0 })
}

// blamed returns the guarantee for free-running goroutines.
func (b *blamer) blamed() spec.Guarantee {
	g, _ := spec.GuaranteeOf(b.free())
	return g
}

func (b *blamer) free() string {
	h, i, e := b.h, b.i, b.e
	switch e.Kind {
	case Return:
		switch h.call(i) {
		case abstract.InStart:
			switch e.Out.Out {
			case abstract.Ok:
				switch {
				case b.closed():
					return "G11"
				case h.reported(i, FailReturned, func(attempt int) bool { return attempt == b.attempt }):
					return "G13" // a failure reported while it was opening
				}
				return "G3"
			case abstract.Failed, abstract.Stopped:
				switch {
				case b.opening || b.held > 0: // the waiters are answered once everything is released
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
			case b.used() && (e.Out.Out == abstract.Ok || e.Out.Out == abstract.RelErr):
				return "G9"
			case e.Out.Out == abstract.Ok:
				return "G8"
			case e.Out.Out == abstract.RelErr:
				return "G4"
			}
			return "G9"
		}
		if b.closed() && e.Out.Out != abstract.Closed || e.Out.Out == abstract.Closed {
			return "G11"
		}
		return "G10"
	case Admitted:
		if b.closed() {
			return "G11"
		}
		return "G10"
	case WasCut, NotCut, UseMayEnd:
		return "G9"
	case OpenBegun:
		if b.closed() {
			return "G11"
		}
		if b.all(func(p point) bool { return p.Due }) {
			return "G8" // nothing begins before the restart that is due
		}
		if h.calledOff(i) {
			return "G8"
		}
		if h.givenUp(i) {
			return "G6"
		}
		return "G1"
	case ReleaseBegun:
		switch {
		case b.used():
			return "G9"
		case h.reported(i, FailCalled, func(attempt int) bool { return attempt < b.attempt }):
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

// reported reports whether, since the latest open began, there was such an event
// about a report of such an attempt.
func (h History) reported(i int, kind Kind, of func(attempt int) bool) bool {
	for j := i - 1; j >= 0 && h[j].Kind != OpenBegun; j-- {
		if h[j].Kind == kind && of(h[j].Attempt) {
			return true
		}
	}
	return false
}

// calledOff reports whether, at event i, no Start is in its call and a Stop or Shutdown was called since the latest open
// began: it has cancelled the restart.
func (h History) calledOff(i int) bool {
	stopped, starting := false, map[uint8]bool{}
	for _, e := range h[:i] {
		switch e.Kind {
		case OpenBegun:
			stopped = false
		case Call:
			stopped = stopped || e.Call == abstract.InStop || e.Call == abstract.InShut
			starting[e.Caller] = e.Call == abstract.InStart
		case Return:
			delete(starting, e.Caller)
		}
	}
	for _, is := range starting {
		if is {
			return false
		}
	}
	return stopped && len(h) > 0 && h[0].Kind == Restarting
}

// givenUp reports whether every Start that is in its call at event i, or if there is
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

// call returns the call of the caller of event i.
func (h History) call(i int) abstract.Call {
	for j := i; j >= 0; j-- {
		if h[j].Kind == Call && h[j].Caller == h[i].Caller {
			return h[j].Call
		}
	}
	return abstract.Idle
}
