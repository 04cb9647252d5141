package history

import (
	"fmt"
	"slices"

	"github.com/seed3893aba4/surestart/internal/abstract"
)

// The events of a run that is stepped from outside: each step waits until every goroutine
// of the lifecycle is blocked. Only Follow accepts them.
const (
	// Quiet: every goroutine is blocked. Rest has what else is known.
	Quiet = numKinds + iota
	// Inside: a call with a hook's context had to be refused at once (G15); Bad: it was not.
	Inside
	// Left: the schedule has ended, and Part goroutines are left (G7); Bad: hooks still run (G12).
	Left
	// Crashed: the process of the schedule has died.
	Crashed
	// Spins: it never becomes quiet.
	Spins
	// PartHeld: the open of attempt Attempt has acquired part Part, and continues. It is only for readers.
	PartHeld
)

// Rest is what is required and known of a lifecycle while all is quiet.
type Rest struct {
	Running  bool // a hook or a use runs: other calls may wait for it
	Leaves   bool // required: a Start whose context has ended has returned
	StopsEnd bool // required: a Stop or Shutdown, too
	Cancels  bool // required: the context of an open ends if and only if the attempt is cancelled
	Ended    bool // the context of the running open has ended
}

// Outs is a set of results, one bit each.
type Outs uint16

// OutsOf returns the set of these results.
func OutsOf(outs ...abstract.Out) (set Outs) {
	for _, out := range outs {
		set |= 1 << out
	}
	return set
}

// Follow is Check for the history of any lifecycle: results may be ambiguous (Event.May), and while all is quiet the
// contract must have no step left that it has to take. see is called before each event with every state that the contract
// can be in.
func Follow(h History, see func(i int, states []abstract.State)) error {
	c := checker{set: []point{{}}, index: map[point]int32{}}
	c.now.recalls = slices.ContainsFunc(h, func(e Event) bool { return e.Refusable || e.Unbegun })
	for i, e := range h {
		c.close(false)
		if see != nil {
			states := make([]abstract.State, len(c.set))
			for j, p := range c.set {
				states[j] = p.State
			}
			see(i, states)
		}
		before := c.now
		why := c.now.stepped(h, i)
		if why == "" && c.now.see(e) != "" {
			why = unsaid
		}
		var next []point
		if why == "" {
			why = unsaid
			clear(c.index)
			for _, p := range c.set {
				for _, q := range c.now.possible(h, i, p) {
					if e.Kind == Return {
						q.Repeated, q.Left = q.Repeated&^(1<<e.Caller), q.Left&^(1<<e.Caller)
					}
					q = c.now.recall(q)
					if _, twice := c.index[q]; !twice {
						c.index[q] = int32(len(next))
						next = append(next, q)
					}
				}
			}
		}
		if len(next) == 0 {
			v := &Violation{History: h, At: i, Why: why}
			v.Guarantee = newBlamer(h, i, c.set, &before).blamedStepped(v)
			return v
		}
		c.set = next
	}
	return nil
}

// unsaid marks an event that no order of the contract's steps explains; blamedStepped says what is wrong.
const unsaid = "?"

// stepped returns what is wrong with event i in any state of the contract, in addition to see.
func (f *facts) stepped(h History, i int) string {
	switch e := h[i]; e.Kind {
	case Inside:
		if e.Bad {
			return "a call with the context of a hook that has not returned was not refused"
		}
	case Left:
		switch {
		case e.Bad:
			return "no call has been made for many steps, and it still opens or releases"
		case f.held > 0:
			return fmt.Sprintf("every call has returned, Stop was called last, and %s still held", countParts(f.held))
		case e.Part == 1:
			return "every call has returned, nothing is held, and a goroutine is left"
		case e.Part > 0:
			return fmt.Sprintf("every call has returned, nothing is held, and %d goroutines are left", e.Part)
		}
	case Crashed:
		return "the process died"
	case Spins:
		return "it is busy for longer than Subject.Patience, and never becomes quiet"
	case ReleaseBegun:
		if e.Ended {
			return "the context of the release has ended already"
		}
	case Return:
		if e.Out.Out == abstract.Failed && h.stale(i) {
			return fmt.Sprintf("this is the failure of attempt %d, which had failed before the call", e.Attempt)
		}
	}
	return ""
}

// stale reports whether the failure that event i returns had happened before the call.
func (h History) stale(i int) bool {
	for j := i - 1; j >= 0; j-- {
		switch e := h[j]; {
		case e.Kind == OpenReturns && e.Attempt == h[i].Attempt:
			return false
		case e.Kind == Call && e.Caller == h[i].Caller:
			return true
		}
	}
	return false
}

func countParts(n int) string {
	if n == 1 {
		return "1 part is"
	}
	return fmt.Sprintf("%d parts are", n)
}

// possible returns the points that p may lead to after event i.
func (f *facts) possible(h History, i int, p point) (all []point) {
	e := h[i]
	switch e.Kind {
	case Quiet:
		if f.rests(p, e.Rest) {
			all = append(all, p)
		}
	case Inside, Left, PartHeld:
		all = append(all, p)
	case OpenBegun:
		if p.Phase == openBad && p.Res == abstract.Opening && h.heldNothing(i) { // its Start tries again by itself, at once
			p.Phase = inOpen
			return append(all, p)
		}
	case Return:
		if e.May == 0 {
			break
		}
		s, c := p.State, e.Caller
		if out := s.Out[c].Out; s.Call[c] == abstract.Done && e.May&(1<<out) != 0 {
			p.State, _ = abstract.Next(s, abstract.Step{Action: abstract.Return, Caller: c})
			return append(all, p)
		}
		if e.Refusable && p.Repeated&(1<<c) != 0 && noEffect(s.Call[c]) || e.Unbegun && p.Left&(1<<c) != 0 && s.Call[c] == abstract.InStop || e.May&OutsOf(abstract.Stopped) != 0 && s.Call[c] == abstract.InStart && h.stoppedMeanwhile(i) {
			p.Call[c], p.Ended[c] = abstract.Idle, false
			return append(all, p)
		}
		return nil
	}
	if q, ok := f.after(p, e); ok && e.Kind < numKinds {
		all = append(all, q)
	}
	return all
}

// heldNothing reports whether the open before event i has failed without holding a part.
func (h History) heldNothing(i int) bool {
	for j := i - 1; j >= 0; j-- {
		if h[j].Kind == OpenReturns {
			return h[j].Bad && h[j].Part == 0
		}
	}
	return false
}

func noEffect(call abstract.Call) bool {
	return call == abstract.InStart || call == abstract.InStop || call == abstract.InShut
}

// recall adds to p.Repeated and p.Left the callers for whom they hold in p. A return comes later than the instant of the
// call's effect: its result must have been right at an instant since the call, and need not be right any more.
func (f *facts) recall(p point) point {
	if !f.recalls {
		return p
	}
	for c, call := range p.Call {
		switch {
		case !noEffect(call):
		case call == abstract.InStart && p.Res != abstract.Empty,
			call != abstract.InStart && (p.Res == abstract.Empty || p.Res == abstract.Closing):
			p.Repeated |= 1 << c
		case call == abstract.InStop && p.Res == abstract.Open:
			p.Left |= 1 << c
		}
	}
	return p
}

// stoppedMeanwhile reports whether a Stop or Shutdown was called during the call that event i ends. A Start that waits for
// its turn, for example in a queue, may notice it only when its turn has come: the error is right then, too.
func (h History) stoppedMeanwhile(i int) bool {
	for j := i - 1; j >= 0; j-- {
		switch e := h[j]; {
		case e.Kind != Call:
		case e.Caller == h[i].Caller:
			return false
		case e.Call == abstract.InStop || e.Call == abstract.InShut:
			return true
		}
	}
	return false
}

// rests reports whether the lifecycle may be quiet in p: each next step of the contract
// waits for a hook, a use, or a caller.
func (f *facts) rests(p point, r Rest) bool {
	s := &p.State
	idle := !f.opening && !f.releasing
	switch {
	case s.At(abstract.Done) != 0,
		s.Res == abstract.Opening && !f.opening,
		s.Res == abstract.Closing && s.At(abstract.Using) == 0 && idle,
		f.opening && !r.Running,
		f.opening && p.Phase == inOpen && r.Cancels && r.Ended != (s.Res == abstract.Closing):
		return false
	}
	for c, where := range s.Call {
		if r.Cancels && s.Res == abstract.Opening && (where == abstract.InStop || where == abstract.InShut) {
			return false
		}
		if f.ended&(1<<f.context[c]) == 0 {
			continue
		}
		switch where {
		case abstract.InStart, abstract.Join:
			if r.Leaves {
				return false
			}
		case abstract.InStop, abstract.StopWait, abstract.InShut, abstract.ShutWait:
			if r.StopsEnd {
				return false
			}
		}
	}
	if r.Running {
		return true
	}
	for _, st := range abstract.Inner(s, nil) {
		switch st.Action {
		case abstract.ContextEnds, abstract.Died, abstract.UseEnds, abstract.StartLeaves, abstract.StopLeaves:
			continue
		}
		if _, ok := f.step(p, st); ok {
			return false
		}
	}
	return !slices.Contains(s.Call[:], abstract.Join) && s.Stopping() == 0
}
