package trace

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/seed3893aba4/surestart/spec"
)

// Corruption is a trace with one error in it, which must be rejected.
type Corruption struct {
	*Trace
	Kind string // "dropped", "swapped" or "altered"
	What string
}

// Corruptions draws one of each kind from an accepted trace, if the trace has something that
// becomes wrong by the change. It makes no change that could give the trace of another run. These
// could: a State more or less; a cancelled context that no step read; a failure report that came
// too late; two sections that do not touch what the other one recorded. So it drops one of a call's
// own steps, or swaps one with the next, which the program does not allow. Or it alters a value
// that the earlier steps determine.
func (t *Trace) Corruptions(r *rand.Rand) (all []Corruption) {
	for _, f := range []func(*rand.Rand) (Corruption, bool){t.drop, t.swap, t.swapSections, t.alterStep, t.alterSection} {
		if c, ok := f(r); ok {
			c.mark()
			all = append(all, c)
		}
	}
	return all
}

// own returns the steps of calls without which their caller's next step is impossible.
func (t *Trace) own() (all [][2]int) {
	for th := range t.Bound.Callers {
		for i, e := range t.Threads[th] {
			if e.Kind == Free || e.Kind == Locked && e.Action != spec.Fail {
				all = append(all, [2]int{th, i})
			}
		}
	}
	return all
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// drop drops a step of a call, or a section of an operation.
func (t *Trace) drop(r *rand.Rand) (Corruption, bool) {
	c := t.Clone()
	var ofOps []int
	for i := range t.Sections {
		if s := &t.Sections[i]; !s.Action.OfCaller() && s.Action != spec.Fail && s.Action != spec.Timeout && !t.redundant(i) {
			ofOps = append(ofOps, i)
		}
	}
	if len(ofOps) > 0 && r.IntN(2) == 0 {
		i := pick(r, ofOps)
		c.dropSection(i)
		return Corruption{c, "dropped", fmt.Sprintf("section %d, %v", i, t.Sections[i].Action)}, true
	}
	own := t.own()
	if len(own) == 0 {
		return Corruption{}, false
	}
	at := pick(r, own)
	e := t.Threads[at[0]][at[1]]
	c.Threads[at[0]] = slices.Delete(c.Threads[at[0]], at[1], at[1]+1)
	if e.Kind == Locked {
		c.dropSection(e.Section)
	}
	return Corruption{c, "dropped", fmt.Sprintf("c%d's step %d, %v", at[0]+1, at[1], &e)}, true
}

// redundant reports whether section n changes nothing at the end. The supervisor gives up, no
// caller waits, and the next section is that of a Stop, which cancels a restart that is still due.
func (t *Trace) redundant(n int) bool {
	if t.Sections[n].Action != spec.GivesUp || t.Sections[n].Attempt > 0 || n+1 == len(t.Sections) {
		return false
	}
	next := t.Sections[n+1].Action
	return next == spec.StopEnter || next == spec.ShutdownEnter
}

func (t *Trace) dropSection(n int) {
	t.Sections = slices.Delete(t.Sections, n, n+1)
	for _, events := range t.Threads {
		for i := range events {
			if e := &events[i]; e.Kind == Locked && e.Section > n {
				e.Section--
			}
		}
	}
}

// swap swaps two adjacent steps of one caller.
func (t *Trace) swap(r *rand.Rand) (Corruption, bool) {
	var pairs [][2]int
	own := t.own()
	for i, at := range own {
		if i+1 < len(own) && own[i+1] == [2]int{at[0], at[1] + 1} {
			pairs = append(pairs, at)
		}
	}
	if len(pairs) == 0 {
		return Corruption{}, false
	}
	c, at := t.Clone(), pick(r, pairs)
	x := c.Threads[at[0]]
	what := fmt.Sprintf("c%d's steps %d and %d, %v and %v", at[0]+1, at[1], at[1]+1, &x[at[1]], &x[at[1]+1])
	x[at[1]], x[at[1]+1] = x[at[1]+1], x[at[1]]
	return Corruption{c, "swapped", what}, true
}

// swapSections swaps two adjacent sections that each changed the state. The first one then starts
// from a state from which the table does not lead to its destination.
func (t *Trace) swapSections(r *rand.Rand) (Corruption, bool) {
	var firsts []int
	before := spec.Idle
	for i := range t.Sections {
		if i+1 < len(t.Sections) && !possible(t.Sections[i+1].Action, before, t.Sections[i+1].St) {
			firsts = append(firsts, i)
		}
		before = t.Sections[i].St
	}
	if len(firsts) == 0 {
		return Corruption{}, false
	}
	c, n := t.Clone(), pick(r, firsts)
	what := fmt.Sprintf("sections %d and %d, %v and %v", n, n+1, c.Sections[n].Action, c.Sections[n+1].Action)
	c.Sections[n], c.Sections[n+1] = c.Sections[n+1], c.Sections[n]
	for _, events := range c.Threads {
		for i := range events {
			if e := &events[i]; e.Kind == Locked && (e.Section == n || e.Section == n+1) {
				e.Section = 2*n + 1 - e.Section
			}
		}
	}
	return Corruption{c, "swapped", what}, true
}

// possible reports whether the table has a path for the action from one state to the other.
func possible(a spec.Action, from, to spec.State) bool {
	events, err := a.Events(from, to)
	if err != nil {
		return false
	}
	for _, e := range events {
		next, ok := spec.Next(e, from)
		if !ok {
			return false
		}
		from = next
	}
	return from == to
}

// alterStep alters what a step outside the lock saw or returned, or which step it was.
func (t *Trace) alterStep(r *rand.Rand) (Corruption, bool) {
	var at [][2]int
	for _, one := range t.own() {
		if t.Threads[one[0]][one[1]].Kind == Free {
			at = append(at, one)
		}
	}
	if len(at) == 0 {
		return Corruption{}, false
	}
	c, n := t.Clone(), pick(r, at)
	e := &c.Threads[n[0]][n[1]]
	was := e.String()
	switch {
	case e.Action <= spec.InvokeUse:
		e.Action = (e.Action + 1 + spec.Action(r.IntN(3))) % 4
	case e.Action == spec.Return && e.N > 0 && r.IntN(2) == 0:
		e.N++
	case e.Action == spec.Return:
		e.Out, e.N = spec.OutOK+(e.Out+spec.Out(r.IntN(7)))%8, 0
		if e.Out == spec.OutFailed || e.Out == spec.OutCut {
			e.N = 1
		}
	case e.Action == spec.UseLoad: // an attempt that there never was
		e.Saw += spec.MaxAttempts
	default:
		e.Saw ^= 1
	}
	return Corruption{c, "altered", fmt.Sprintf("c%d's step %d, %s to %v", n[0]+1, n[1], was, e)}, true
}

// alterSection alters a value that a section recorded, or which section it was.
func (t *Trace) alterSection(r *rand.Rand) (Corruption, bool) {
	if len(t.Sections) == 0 {
		return Corruption{}, false
	}
	c := t.Clone()
	n := r.IntN(len(c.Sections))
	s := &c.Sections[n]
	fields := []func() string{
		func() string { s.St, s.Word = (s.St+1)%5, (s.Word+1)%5; return "st" },
		func() string { s.Gen++; return "gen" },
		func() string { s.Cur++; return "cur" },
		func() string { s.Closing = !s.Closing; return "closing" },
		func() string { s.Queued++; return "queued" },
		func() string { s.Due = !s.Due; return "due" },
		func() string { s.Again = !s.Again; return "again" },
		func() string { s.Restarts++; return "restarts" },
	}
	if len(s.Views) > 0 {
		v := &s.Views[r.IntN(len(s.Views))]
		fields = append(fields,
			func() string { v.Op = (v.Op + 1) % 4; return "op" },
			func() string { v.Held++; return "held" },
			func() string { v.Fate = (v.Fate + 1) % 5; return "fate" },
			func() string { v.Open = !v.Open; return "open" },
			func() string { v.Forced = !v.Forced; return "forced" },
			func() string { v.RelErr = !v.RelErr; return "relerr" },
			func() string { v.Reported = !v.Reported; return "reported" },
			func() string { v.Waiters++; return "waiters" },
			func() string { v.Stoppers++; return "stoppers" })
		if !v.Open {
			fields = append(fields, func() string { v.InUse++; return "inuse" })
		}
	}
	if s.Action == spec.OpenPart || s.Action == spec.ReleaseOk {
		fields = append(fields, func() string { s.Action ^= spec.OpenPart ^ spec.ReleaseOk; return "action" })
	}
	if s.Waits && (s.Action != spec.Fail || s.Attempt == s.Gen) { // of an attempt before, any other would do
		fields = append(fields, func() string { s.Attempt++; return "attempt" })
	}
	what := pick(r, fields)()
	return Corruption{c, "altered", fmt.Sprintf("%s in section %d, %v", what, n, t.Sections[n].Action)}, true
}
