package history

import (
	"fmt"
	"slices"

	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/spec"
)

// blamedStepped returns the guarantee for Follow, and what is wrong unless v says it, in words for a reader who does not
// know the contract.
func (b *blamer) blamedStepped(v *Violation) spec.Guarantee {
	name, why := b.blame()
	if v.Why == unsaid {
		v.Why = why
	}
	g, _ := spec.GuaranteeOf(name)
	return g
}

func (b *blamer) in(res abstract.Res) bool { return b.all(func(p point) bool { return p.Res == res }) }

// stopper reports whether a Stop or Shutdown has been called and has not returned.
func (b *blamer) stopper() bool {
	return b.h.pending(b.i)&(1<<abstract.InStop|1<<abstract.InShut) != 0
}

// stopped reports whether one was called since the latest open began.
func (b *blamer) stopped() bool {
	return b.h.called(b.i, abstract.InStop) || b.h.called(b.i, abstract.InShut)
}

func (b *blamer) blame() (name, why string) {
	switch b.e.Kind {
	case Inside:
		return "G15", unsaid
	case Left:
		if b.e.Bad {
			return "G12", unsaid
		}
		return "G7", unsaid
	case Crashed:
		return b.died(), unsaid
	case Spins:
		return "G12", unsaid
	case Quiet:
		return b.quiet()
	case OpenBegun:
		return b.openBegun()
	case ReleaseBegun:
		return b.releaseBegun()
	case Admitted:
		if b.closed() {
			return "G11", "a use is admitted after it was shut down"
		}
		return "G10", "a use is admitted while the resource is not open"
	case WasCut, NotCut, UseMayEnd:
		return "G9", "a use's context ends if, and before, what it uses is released under it"
	case FailReturned:
		return "G13", "it was reported that the resource has died, and the attempt goes on as if it had not"
	case Return:
		switch call := b.h.call(b.i); {
		case b.e.Panicked && call != abstract.InStart && call != abstract.InUse && b.in(abstract.Empty):
			return "G2", "it panics although nothing is to be stopped"
		case b.e.Panicked:
			return b.died(), "the panic or exit comes out of the call"
		case call == abstract.InStart && b.e.Out.Out == abstract.Ok:
			return b.startedNot()
		case call == abstract.InStart:
			return b.startFails()
		case call == abstract.InUse:
			return b.useReturns()
		case b.e.Out.Out == abstract.Ok:
			return b.stoppedNot(call)
		default:
			return b.stopFails(call)
		}
	}
	return "G12", fmt.Sprintf("the suite itself is wrong: %v cannot be", b.e) // its hooks allow no other
}

func (b *blamer) openBegun() (name, why string) {
	switch {
	case b.in(abstract.Open) && !b.opening:
		return "G2", "it is open already"
	case b.opening:
		return "G1", "another open runs"
	case b.closed():
		return "G11", "it was shut down"
	case b.held > 0:
		return "G1", fmt.Sprintf("of the attempt before, %s still held", countParts(b.held))
	case b.h.givenUp(b.i):
		return "G6", "no caller waits for it: the contexts of all its Starts have ended"
	case b.h.pending(b.i)&(1<<abstract.InStart) == 0:
		return "G1", "no Start waits for it"
	}
	return "G1", "the Start that waits had its attempt, which has failed or was stopped"
}

func (b *blamer) releaseBegun() (name, why string) {
	switch {
	case b.e.Ended:
		return "G4", unsaid
	case b.opening && b.stopper():
		return "G8", "the open that the Stop has to cancel and wait for still runs"
	case b.opening:
		return "G1", "an open runs"
	case b.releasing:
		return "G4", "another release runs"
	case b.held == 0 && b.everReleased():
		return "G4", "all has been released already"
	case b.held == 0:
		return "G2", "there is nothing to release"
	case b.e.Part != b.held:
		return "G4", fmt.Sprintf("part %d was acquired last, and is released first", b.held)
	case b.used():
		return "G9", "a use is in flight, and no caller was allowed to cut it off"
	case !b.stopped() && b.h.reported(b.i, FailCalled, func(attempt int) bool { return attempt < b.attempt }) &&
		!b.h.reported(b.i, FailCalled, func(attempt int) bool { return attempt == b.attempt }):
		return "G13", "what died is an attempt before this one"
	case !b.stopper() && b.ended > 0 && b.all(func(p point) bool { return p.Res == abstract.Open || p.Res == abstract.Opening }):
		return "G6", "a caller waits for it: only another caller's context has ended"
	}
	return "G4", "it was not stopped, and has not failed"
}

// everReleased reports whether the present call, or the attempt's failure, has released a part: then this is the second
// release.
func (b *blamer) everReleased() bool {
	for j := b.i - 1; j >= 0; j-- {
		switch e := b.h[j]; e.Kind {
		case ReleaseReturns:
			return true
		case OpenBegun:
			return false
		case Call:
			if e.Call == abstract.InStop || e.Call == abstract.InShut {
				return false
			}
		}
	}
	return false
}

// startedNot is for a Start that must not return nil.
func (b *blamer) startedNot() (name, why string) {
	switch {
	case b.cancelledUnder():
		return "G6", cancelledUnder
	case b.in(abstract.Opening):
		return "G3", "it is opening, not open"
	case b.in(abstract.Empty):
		return "G3", "nothing is open"
	case b.closed():
		return "G11", "it was shut down"
	case b.h.reported(b.i, FailReturned, func(attempt int) bool { return attempt == b.attempt }):
		return "G13", "its resource had died before it was open"
	}
	return "G3", "nothing was open at any instant between its call and its return"
}

// startFails is for a Start that must not return an error.
func (b *blamer) startFails() (name, why string) {
	opened, began := b.sinceCall(OpenReturns), b.sinceCall(OpenBegun)
	switch {
	case b.e.Out.Out == Foreign && b.e.May == 0:
		return "G6", "it returns the cause of another caller's context"
	case b.cancelledUnder():
		return "G6", cancelledUnder
	case b.e.Out.Out == abstract.Failed && b.h.stale(b.i):
		return "G5", unsaid
	case opened && b.held > 0 && !b.openFailed() && !b.stopped():
		return "G4", fmt.Sprintf("the open has succeeded, Start returns an error all the same, and %s still held", countParts(b.held))
	case b.in(abstract.Open):
		return "G2", "it is open"
	case b.e.Lost && slices.ContainsFunc(b.set, func(p point) bool { return p.Out[b.e.Caller].Out == abstract.Failed }):
		return "G14", "the attempt failed, and the error does not say why"
	case b.opening && b.in(abstract.Closing):
		return "G4", "the attempt was stopped or given up, and its open has not ended yet"
	case b.opening:
		return "G6", "the open that it waits for runs, and its own context has not ended"
	case b.held > 0:
		return "G4", fmt.Sprintf("the attempt has failed or was stopped, and %s still held", countParts(b.held))
	case b.closed():
		return "G11", "it was shut down, and the error is an attempt's"
	case began:
		return "G6", "its own context has not ended, no Stop was called, and no open failed that it waited for"
	case b.openFailed():
		return "G5", "it makes no attempt of its own, and returns the failure of an earlier one"
	case b.attempt > 0:
		return "G4", "it was stopped and everything is released, and this Start does not open again"
	}
	return "G6", "it has not opened: its own context has not ended, and no Stop was called meanwhile"
}

const cancelledUnder = "another caller left, and the context of the open ended although this caller waited for it"

// cancelledUnder reports whether the context of the latest open ended while the Start that returns now was waiting, and
// nothing had happened that cancels the open for this caller.
func (b *blamer) cancelledUnder() bool {
	c := b.e.Caller
	began := b.last(func(e Event) bool { return e.Kind == OpenBegun })
	call := b.last(func(e Event) bool { return e.Kind == Call && e.Caller == c })
	if began < 0 || b.ended&(1<<b.context[c]) != 0 || b.h.pending(began)&(1<<abstract.InStop|1<<abstract.InShut) != 0 {
		return false
	}
	for j := began; j < b.i; j++ {
		switch e := b.h[j]; {
		case e.Kind == FailCalled, e.Kind == Call && (e.Call == abstract.InStop || e.Call == abstract.InShut):
			return false
		case e.Kind == Quiet && e.Rest.Cancels && e.Rest.Ended:
			return j > call
		}
	}
	return false
}

// last returns the index of the latest such event, -1 if there is none.
func (b *blamer) last(is func(Event) bool) int {
	for j := b.i - 1; j >= 0; j-- {
		if is(b.h[j]) {
			return j
		}
	}
	return -1
}

func (b *blamer) useReturns() (name, why string) {
	switch {
	case b.e.Out.Out == Foreign && b.e.May == 0:
		return "G10", "the use returns nil, and its function was not called"
	case b.closed():
		return "G11", "it was shut down"
	}
	return "G10", "it is open, and the use is refused"
}

// stoppedNot is for a Stop or Shutdown that must not return nil.
func (b *blamer) stoppedNot(call abstract.Call) (name, why string) {
	what := callNames[call]
	switch {
	case b.used():
		return "G9", "a use is in flight, and no caller was allowed to cut it off"
	case b.opening:
		return "G8", fmt.Sprintf("%s returns nil, and the open that it has to cancel or wait for still runs", what)
	case b.held > 0 && b.sinceCall(OpenReturns):
		return "G8", fmt.Sprintf("%s returns nil, and of what was opening when it was called, %s still held", what, countParts(b.held))
	case b.held > 0:
		return "G7", fmt.Sprintf("%s returns nil, and %s still held", what, countParts(b.held))
	case b.bad:
		return "G14", fmt.Sprintf("a release failed, and %s returns nil", what)
	}
	return "G8", "something was held, or opening, at every instant between its call and its return"
}

// stopFails is for a Stop or Shutdown that must not return an error.
func (b *blamer) stopFails(call abstract.Call) (name, why string) {
	what := callNames[call]
	switch {
	case b.used():
		return "G9", fmt.Sprintf("a use is in flight, and %s returns an error before its own context has ended", what)
	case b.opening:
		return "G8", fmt.Sprintf("%s returns an error before its own context has ended, and the open that it has to cancel or wait for still runs", what)
	case b.held > 0:
		return "G7", fmt.Sprintf("%s returns an error before its own context has ended, and %s still held", what, countParts(b.held))
	case b.sinceCall(OpenReturns):
		return "G8", fmt.Sprintf("the attempt has been rolled back, and %s returns an error", what)
	case b.sinceCall(ReleaseReturns):
		return "G14", fmt.Sprintf("no release failed, and %s returns an error", what)
	}
	return "G2", "there is nothing to stop"
}

var callNames = map[abstract.Call]string{abstract.InStart: "Start", abstract.InStop: "Stop", abstract.InShut: "Shutdown", abstract.InUse: "Use"}

// sinceCall reports whether there was such an event since the call that ends here.
func (b *blamer) sinceCall(kind Kind) bool {
	for j := b.i - 1; j >= 0; j-- {
		switch e := b.h[j]; {
		case e.Kind == kind:
			return true
		case e.Kind == Call && e.Caller == b.e.Caller:
			return false
		}
	}
	return false
}

// died returns the guarantee that an uncontained panic breaks: for a hook's panic, Rollback.
func (b *blamer) died() string {
	for j := b.i - 1; j >= 0; j-- {
		if b.h[j].Panicked {
			return "G4"
		}
	}
	return "G12"
}

// quiet finds the condition that does not hold while all is quiet.
func (b *blamer) quiet() (name, why string) {
	rests := func(change func(*Rest)) bool {
		r := b.e.Rest
		change(&r)
		return slices.ContainsFunc(b.set, func(p point) bool { return b.rests(p, r) })
	}
	pending := b.h.pending(b.i)
	switch {
	case b.opening && !b.e.Rest.Running:
		return "G4", "the attempt neither goes on nor releases the parts that it holds"
	case b.e.Rest.Cancels && rests(func(r *Rest) { r.Cancels = false }):
		switch {
		case b.e.Rest.Ended:
			return "G6", "the attempt was cancelled, and a caller whose context has not ended waits for it"
		case b.stopper():
			return "G8", "a Stop waits, and the attempt has not been cancelled"
		}
		return "G6", "no caller waits for the attempt any more, and it has not been cancelled"
	case rests(func(r *Rest) { r.Leaves, r.StopsEnd, r.Cancels = false, false, false }):
		return "G12", "a call whose context has ended does not return"
	case pending != 0 && !b.e.Rest.Running:
		return "G12", "a call waits, and nothing runs that it could wait for: it hangs"
	case b.held > 0:
		switch {
		case b.openFailed():
			return "G4", fmt.Sprintf("the attempt has failed, and %s not released", countParts(b.held))
		case b.stoppedOpening():
			return "G8", fmt.Sprintf("it was stopped while it was opening, and %s not released", countParts(b.held))
		case b.stopped():
			return "G7", fmt.Sprintf("it was stopped, and %s not released", countParts(b.held))
		case b.ended > 0:
			return "G6", fmt.Sprintf("no caller waited for it, and %s not released", countParts(b.held))
		}
		return "G7", fmt.Sprintf("no caller needs it any more, and %s not released", countParts(b.held))
	}
	return "G12", "all that a call waits for has ended, and it does not return"
}

// openFailed reports whether the latest open has failed.
func (b *blamer) openFailed() bool {
	for j := b.i - 1; j >= 0; j-- {
		if b.h[j].Kind == OpenReturns {
			return b.h[j].Bad
		}
	}
	return false
}

// stoppedOpening reports whether a Stop or Shutdown was called while the latest open ran.
func (b *blamer) stoppedOpening() bool {
	j := b.i - 1
	for j >= 0 && b.h[j].Kind != OpenReturns {
		j--
	}
	return j >= 0 && (b.h.called(j, abstract.InStop) || b.h.called(j, abstract.InShut))
}

// pending returns the callers that are in one of the calls at event i, as bits.
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

// called reports whether such a call was made since the latest open began.
func (h History) called(i int, kind abstract.Call) bool {
	for j := i - 1; j >= 0 && h[j].Kind != OpenBegun; j-- {
		if h[j].Kind == Call && h[j].Call == kind {
			return true
		}
	}
	return false
}
