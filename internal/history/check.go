package history

import (
	"fmt"
	"slices"

	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/spec"
)

// A checker follows a history through the contract: after each event it has every state
// that the contract can be in. Between two events the contract may take any steps that a
// history does not show.
//
// Events other than calls and returns restrict these steps: a context ends only if it was
// cancelled, an opening ends as its open does or because a failure was reported, and a
// release ends only when every part is released. So a history is accepted if and only if
// the contract, in this environment, has a run with these events in this order.
type checker struct {
	now   facts
	set   []point
	index map[point]int32
	steps []abstract.Step
}

// point is a state of the contract, with the phase of its current attempt.
type point struct {
	abstract.State
	Phase phase
	// Callers, as bits, whose call has had no effect so far, and could have returned without one at an instant since it
	// began: Repeated because the request had been made already, Left because the resource stayed open. Kept only if
	// facts.recalls.
	Repeated, Left uint8
}

// phase is the place of the current attempt's hook, for the contract.
type phase uint8

const (
	noOpen   phase = iota // no attempt, or its open has not begun
	inOpen                // open runs
	openOk                // open is about to return the resource
	openBad               // open is about to fail
	accepted              // the resource is open
)

// facts is what the events so far show for certain.
type facts struct {
	ended     uint64                     // the contexts that may have ended, as bits
	context   [abstract.MaxCallers]uint8 // the context of the caller's call
	mayLeave  [abstract.MaxCallers]bool  // the use may have ended
	attempt   int                        // the latest open
	opening   bool                       // its open runs
	held      int                        // parts that it has registered and that are not released
	releasing bool                       // a release runs
	released  bool                       // a release has begun
	bad       bool                       // one of its releases failed
	reports   []int                      // attempts whose failure is being reported
	again     bool                       // since the latest open, the Backoff's last answer is another restart
	gaveUp    bool                       // since the latest open, the Backoff's last answer is no restart
	recalls   bool                       // point.Repeated and point.Left are kept: a return of the history needs them
}

// A Violation is an event of a history that the contract does not allow.
type Violation struct {
	History   History
	At        int // the index of that event
	Why       string
	Guarantee spec.Guarantee
}

func (v *Violation) Error() string {
	return fmt.Sprintf("%v is broken: event %d, %v: %s\n%v", v.Guarantee, v.At+1, v.History[v.At], v.Why, v.History)
}

// Check returns nil, or a *Violation.
func Check(h History) error {
	_, err := run(h, false)
	return err
}

// frontier has the points that are reached at one event, with the predecessor of each.
type frontier struct {
	points []point
	from   []link
}

// link is a step from another point of the same frontier or, with point -1, the event itself, from a point of the frontier
// before.
type link struct {
	point, before int32
	step          abstract.Step
}

// run checks h. If keep is true, it keeps the predecessor of each point.
func run(h History, keep bool) ([]frontier, error) {
	c := checker{set: []point{{}}, index: map[point]int32{}}
	frontiers := []frontier{{c.set, []link{{-1, -1, abstract.Step{}}}}}
	for i, e := range h {
		var links []link
		if e.observes() || keep {
			links = c.close(keep)
			if keep {
				last := &frontiers[len(frontiers)-1]
				last.points, last.from = c.set, append(last.from, links...)
			}
		}
		why := c.now.see(e)
		next := make([]point, 0, len(c.set))
		var from []link
		if why == "" {
			why = "the contract is in no state in which this can be"
			clear(c.index)
			for j, p := range c.set {
				q, ok := c.now.after(p, e)
				if _, twice := c.index[q]; !ok || twice {
					continue
				}
				c.index[q] = int32(len(next))
				next = append(next, q)
				if keep {
					from = append(from, link{-1, int32(j), abstract.Step{}})
				}
			}
		}
		if len(next) == 0 {
			return nil, &Violation{h, i, why, newBlamer(h, i, c.set, &c.now).blamed()}
		}
		c.set = next
		if keep {
			frontiers = append(frontiers, frontier{next, from})
		}
	}
	return frontiers, nil
}

// observes reports whether the event depends on the contract's state. Before one that does not, the steps in between need
// not be taken: they can be taken after it, as it enables more of them and disables none.
func (e Event) observes() bool {
	switch e.Kind {
	case Call, ContextMayEnd, UseMayEnd, OpenReturns, ReleaseReturns, FailCalled:
		return false
	}
	return true
}

// close adds to the set every point that the contract's own steps lead to.
func (c *checker) close(keep bool) (links []link) {
	clear(c.index)
	for i, p := range c.set {
		c.index[p] = int32(i)
	}
	for i := 0; i < len(c.set); i++ {
		p := c.set[i]
		c.steps = abstract.Inner(&p.State, c.steps[:0])
		for _, st := range c.steps {
			q, ok := c.now.step(p, st)
			if !ok {
				continue
			}
			if _, known := c.index[q]; known {
				continue
			}
			c.index[q] = int32(len(c.set))
			c.set = append(c.set, q)
			if keep {
				links = append(links, link{int32(i), -1, st})
			}
		}
	}
	return links
}

// step takes a step of the contract if the events allow it.
func (f *facts) step(p point, st abstract.Step) (point, bool) {
	switch st.Action {
	case abstract.ContextEnds:
		if f.ended&(1<<f.context[st.Caller]) == 0 {
			return p, false
		}
	case abstract.UseEnds:
		// A use whose context has ended may end at once, without having run.
		if !f.mayLeave[st.Caller] && f.ended&(1<<f.context[st.Caller]) == 0 {
			return p, false
		}
	case abstract.Opened:
		if p.Phase != openOk {
			return p, false
		}
		p.Phase = accepted
	case abstract.OpenFails:
		if p.Phase != openBad && !f.reported(p) {
			return p, false
		}
	case abstract.Died:
		if !f.reported(p) {
			return p, false
		}
	case abstract.Released:
		if p.Phase == noOpen || p.Phase == inOpen || f.held > 0 || f.releasing || st.Bad != f.bad {
			return p, false
		}
		p.Phase = noOpen
	case abstract.RestartEnds:
		if st.Begins && !f.again || !st.Begins && !f.gaveUp {
			return p, false
		}
	}
	s, ok := abstract.Next(p.State, st)
	p.State = s
	return f.recall(p), ok
}

// reported reports whether a failure of the current attempt is being reported.
func (f *facts) reported(p point) bool {
	return p.Phase != noOpen && slices.Contains(f.reports, f.attempt)
}

// see records e, and returns what is wrong with it in any state of the contract.
func (f *facts) see(e Event) string {
	switch e.Kind {
	case Call:
		f.context[e.Caller], f.mayLeave[e.Caller] = e.Context, false
		if e.Ended && f.ended&(1<<e.Context) == 0 {
			return "this context was not ended"
		}
	case ContextMayEnd:
		if e.Context == 0 || e.Context > maxContexts {
			return "there is no such context"
		}
		f.ended |= 1 << e.Context
	case UseMayEnd:
		f.mayLeave[e.Caller] = true
	case OpenBegun:
		if f.opening || e.Attempt != f.attempt+1 {
			return "another open runs, or this one began already"
		}
		f.attempt, f.opening, f.held, f.released, f.bad = e.Attempt, true, 0, false, false
		f.again, f.gaveUp = false, false
	case OpenReturns:
		if !f.opening || e.Attempt != f.attempt {
			return "this open does not run"
		}
		f.opening, f.held = false, e.Part
	case ReleaseBegun:
		if e.Attempt != f.attempt || f.opening || f.releasing || e.Part != f.held || f.held == 0 {
			return fmt.Sprintf("the part to release next is %d of attempt %d, alone, once open has returned", f.held, f.attempt)
		}
		f.releasing, f.released = true, true
	case ReleaseReturns:
		if !f.releasing || e.Part != f.held || e.Attempt != f.attempt {
			return "this release does not run"
		}
		f.releasing, f.held, f.bad = false, f.held-1, f.bad || e.Bad
	case FailCalled:
		f.reports = append(slices.Clone(f.reports), e.Attempt)
	case FailReturned:
		i := slices.Index(f.reports, e.Attempt)
		if i < 0 {
			return "this failure was not reported"
		}
		f.reports = slices.Delete(slices.Clone(f.reports), i, i+1)
	case BackoffAnswers:
		f.again, f.gaveUp = !e.Bad, e.Bad
	}
	return ""
}

// after returns p after e; false if e cannot happen in p.
func (f *facts) after(p point, e Event) (point, bool) {
	s, c := &p.State, e.Caller
	ok := true
	switch e.Kind {
	case Call:
		*s, ok = abstract.Next(*s, abstract.Step{Action: abstract.Invoke, Caller: c, Kind: e.Call})
		if ok && e.Ended && e.Call != abstract.InUse {
			*s, ok = abstract.Next(*s, abstract.Step{Action: abstract.ContextEnds, Caller: c})
		}
	case Return:
		ok = s.Out[c] == e.Out && s.Call[c] == abstract.Done
		*s, _ = abstract.Next(*s, abstract.Step{Action: abstract.Return, Caller: c})
	case UseMayEnd:
		ok = s.Call[c] == abstract.InUse || s.Call[c] == abstract.Using || s.Call[c] == abstract.Cut
	case Admitted:
		ok = s.Call[c] == abstract.Using || s.Call[c] == abstract.Cut
	case WasCut:
		ok = s.Call[c] == abstract.Cut
	case NotCut:
		// The contexts of uses end before a release that does not wait for them begins (G9).
		ok = s.Call[c] == abstract.Using || s.Call[c] == abstract.Cut && e.Attempt == f.attempt && !f.released
	case OpenBegun:
		ok = p.Phase == noOpen && (s.Res == abstract.Opening || s.Res == abstract.Closing)
		p.Phase = inOpen
	case OpenReturns:
		ok = p.Phase == inOpen
		if p.Phase = openOk; e.Bad {
			p.Phase = openBad
		}
	case ReleaseBegun:
		// Every admitted use has ended or was cut off (G9, G10).
		ok = s.Res == abstract.Closing && p.Phase > inOpen && s.At(abstract.Using) == 0
	case FailReturned:
		// A failure of the present attempt has taken effect (G13).
		ok = p.Phase == noOpen || e.Attempt != f.attempt || s.Res == abstract.Closing || s.Res == abstract.Empty
	case Restarting:
		ok, s.Restarts = *s == abstract.Init(), true
	}
	return p, ok
}
