package history

import (
	"slices"

	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/spec"
)

// blameStepped is blame for Follow, which knows more: it may also say in v what
// the contract has to say about it.
func blameStepped(h History, i int, set []point, now facts, v *Violation) spec.Guarantee {
	name := now.blamed(h, i, set, v)
	if name == "" {
		if name = blamed(h, i, set, now); v.Why == nowhere {
			v.Why = now.whyNot(h[i], name)
		}
	}
	g, _ := spec.GuaranteeOf(name)
	return g
}

// whyNot says in words what the contract would have to be for e.
func (f *facts) whyNot(e Event, guarantee string) string {
	switch e.Kind {
	case OpenBegun:
		switch guarantee {
		case "G11":
			return "it was shut down"
		case "G6":
			return "nobody wants it: the contexts of those who asked have ended"
		}
		return "nobody has asked, or what was open before is not given back yet"
	case ReleaseBegun:
		if guarantee == "G9" {
			return "a use is in flight, and nobody had the right to cut it off"
		}
		if guarantee == "G13" {
			return "what died is an attempt before this one"
		}
		return "nobody has stopped it, and it has not failed"
	case Admitted:
		return "it is not open"
	case WasCut, NotCut:
		return "a use is told that it is cut off if, and before, what it uses is released"
	case FailReturned:
		return "the failure has no effect"
	case Return:
		switch {
		case e.Out.Out == abstract.Ok && guarantee == "G3":
			return "nothing was open at any instant between its call and its return"
		case e.Out.Out == abstract.Ok && guarantee == "G8":
			return "something was held, or opening, at every instant between its call and its return"
		case e.Out.Out == abstract.Ok && guarantee == "G13":
			return "its resource had died before it was open"
		case f.held > 0 && guarantee == "G4":
			return "the attempt has failed, and what it had acquired is still held"
		case guarantee == "G6":
			return "its own context has not ended, and nothing else has happened to it"
		case guarantee == "G11":
			return "it was shut down, or was not and is told so"
		}
	}
	return nowhere
}

func (f *facts) blamed(h History, i int, set []point, v *Violation) string {
	e := h[i]
	all := func(is func(p point) bool) bool {
		return !slices.ContainsFunc(set, func(p point) bool { return !is(p) })
	}
	in := func(res abstract.Res) bool { return all(func(p point) bool { return p.Res == res }) }
	pending := h.pending(i)
	stopper := pending&(1<<abstract.InStop|1<<abstract.InShut) != 0
	say := func(name, why string) string { v.Why = why; return name }
	switch e.Kind {
	case Inside:
		return "G15"
	case Left:
		return "G7"
	case Crashed:
		return f.died(h, i)
	case Spins:
		return "G12"
	case Quiet:
		return f.blameQuiet(h, i, set, v)
	case OpenBegun:
		switch {
		case in(abstract.Open) && !f.opening:
			return say("G2", "it is open already")
		case f.opening:
			v.Why = "another open runs"
		}
	case ReleaseBegun:
		switch {
		case e.Ended:
			return "G4"
		case f.opening && stopper:
			return say("G8", "the open that the Stop has to cancel and wait for still runs")
		case f.opening:
			return say("G1", "an open runs")
		case f.held == 0 && in(abstract.Empty):
			return say("G2", "there is nothing to release")
		case !h.called(i, abstract.InStop) && !h.called(i, abstract.InShut) &&
			h.reported(i, FailCalled, func(attempt int) bool { return attempt < f.attempt }) &&
			!h.reported(i, FailCalled, func(attempt int) bool { return attempt == f.attempt }):
			return say("G13", "what died is an attempt before this one")
		case !stopper && f.ended > 0 && all(func(p point) bool { return p.Res == abstract.Open || p.Res == abstract.Opening }):
			return say("G6", "somebody wants it: only a caller's own context has ended")
		}
	case Return:
		switch call := h.call(i); {
		case e.Panicked && (call == abstract.InStop || call == abstract.InShut) && in(abstract.Empty):
			return say("G2", "it panics where there is nothing to stop")
		case e.Panicked:
			return say(f.died(h, i), "the panic or exit comes out of the call")
		case call == abstract.InStart && e.Out.Out != abstract.Ok && in(abstract.Open):
			return say("G2", "it is open")
		case (call == abstract.InStop || call == abstract.InShut) && e.Out.Out != abstract.Ok && in(abstract.Empty):
			return say("G2", "there is nothing to stop")
		case call == abstract.InStart && e.Out.Out == abstract.Ok && in(abstract.Opening):
			return say("G3", "it is opening, not open")
		case call == abstract.InStart && e.Out.Out == abstract.Ok && in(abstract.Empty):
			return say("G3", "nothing is open")
		case e.Lost && slices.ContainsFunc(set, func(p point) bool { return p.Out[e.Caller].Out == abstract.Failed }):
			return say("G14", "the attempt failed, and the error does not say why")
		case call == abstract.InStart && e.Out.Out == abstract.Failed && h.stale(i):
			return "G5"
		case (call == abstract.InStop || call == abstract.InShut) && e.Out.Out == Foreign && all(func(p point) bool { return p.At(abstract.Using) == 0 }):
			return say("G8", "all was given back, and the Stop returns an error")
		}
	}
	return ""
}

// died is what an uncontained panic breaks: if a hook's, that a failed attempt is rolled back.
func (f *facts) died(h History, i int) string {
	for j := i - 1; j >= 0; j-- {
		if h[j].Panicked {
			return "G4"
		}
	}
	return "G12"
}

// blameQuiet finds what would have had to be different for this to be rest.
func (f *facts) blameQuiet(h History, i int, set []point, v *Violation) string {
	rests := func(change func(*Rest)) bool {
		r := h[i].Rest
		change(&r)
		return slices.ContainsFunc(set, func(p point) bool { return f.rests(p, r) })
	}
	pending := h.pending(i)
	say := func(name, why string) string { v.Why = why; return name }
	switch {
	case f.opening && !h[i].Rest.Running:
		return say("G4", "the attempt neither goes on nor gives back the parts that it holds")
	case h[i].Rest.Cancels && rests(func(r *Rest) { r.Cancels = false }):
		switch {
		case h[i].Rest.Ended:
			return say("G6", "the attempt was cancelled, and a caller whose context has not ended waits for it")
		case pending&(1<<abstract.InStop|1<<abstract.InShut) != 0:
			return say("G8", "a Stop waits, and the attempt has not been cancelled")
		}
		return say("G6", "nobody wants the attempt any more, and it has not been cancelled")
	case rests(func(r *Rest) { r.Leaves, r.StopsEnd, r.Cancels = false, false, false }):
		return say("G12", "a call whose context has ended does not return")
	case pending != 0 && !h[i].Rest.Running:
		return say("G12", "a call waits, and nothing runs that it could wait for: it hangs")
	case f.held > 0:
		name := "G7"
		switch {
		case f.openFailed(h, i):
			name = "G4"
		case h.called(i, abstract.InStop) || h.called(i, abstract.InShut):
			name = "G8"
		case f.ended > 0:
			name = "G6"
		}
		return say(name, "what was opened for nobody is not released")
	case pending != 0:
		return say("G12", "a call that has its answer does not return")
	}
	return say("G12", "it does not go on")
}

// openFailed says whether the latest open has failed.
func (f *facts) openFailed(h History, i int) bool {
	for j := i - 1; j >= 0; j-- {
		if h[j].Kind == OpenReturns {
			return h[j].Bad
		}
	}
	return false
}

// pending is what callers are in at event i, as bits.
func (h History) pending(i int) (kinds uint16) {
	var in [abstract.MaxCallers]abstract.Call
	for _, e := range h[:i] {
		switch e.Kind {
		case Call:
			in[e.Caller] = e.Call
		case Return:
			in[e.Caller] = abstract.Idle
		}
	}
	for _, call := range in {
		if call != abstract.Idle {
			kinds |= 1 << call
		}
	}
	return kinds
}

// called says whether such a call was made since the latest open began.
func (h History) called(i int, kind abstract.Call) bool {
	for j := i - 1; j >= 0 && h[j].Kind != OpenBegun; j-- {
		if h[j].Kind == Call && h[j].Call == kind {
			return true
		}
	}
	return false
}
