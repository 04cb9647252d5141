package trace

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/seed3893aba4/surestart/spec"
)

// at is how far the steps of a trace are placed.
type at struct {
	sec   int // sections taken
	pos   []int
	model spec.Snapshot
}

// checker places the steps of one trace.
type checker struct {
	*Trace
	at
	placed []place
	stuck  *int // the thread whose next step has no place, -1: the next section has none
	tears  bool // a load may be torn: see isTorn
	torn   int
}

// Verdict describes how a trace was accepted.
type Verdict struct {
	Steps int // of the model
	// Torn counts the loads of the gate that came between the two writes of one OpenOk: see
	// docs/traces.md.
	Torn int
}

// Rejected is the error of a trace that is not a behaviour of the model.
type Rejected struct {
	Trace     *Trace
	Placed    int // steps, of
	Of        int
	What      []string // what the model says and the trace does not
	Allowed   []spec.Step
	Guarantee spec.Guarantee

	placed []place
}

// Error describes what does not fit, names the guarantee, and draws the trace.
func (r *Rejected) Error() string {
	return fmt.Sprintf("a trace of real goroutines (seed %d, %d procs, %v) is no behaviour of the model: %s %s is broken\n  %s\n  placed %d of %d steps; the model could take %v\n\n%s",
		r.Trace.Seed, r.Trace.Procs, r.Trace.Bound, r.Guarantee.ID, r.Guarantee.Name, strings.Join(r.What, "\n  "), r.Placed, r.Of, r.Allowed, r.Trace.picture(r.placed))
}

// Check places every step of the trace, or returns a *Rejected.
//
// It needs no search. A step outside the lock is placed as soon as it sees in the model what it saw
// in the run. That is never too early. Such a step changes only one thing that other goroutines'
// steps read: the number of uses of an open gate, which is not read before the gate is closed.
// Every use that was admitted, or ended, at the open gate came before that. A context ends when the
// first section that depends on it is due. (Search tries every order, and has to agree.)
func (t *Trace) Check() (Verdict, error) {
	k, err := t.checked()
	if err != nil {
		return Verdict{}, err
	}
	return Verdict{len(k.placed), k.torn}, nil
}

func (t *Trace) checked() (*checker, error) {
	k, err := t.check(false)
	if err != nil {
		if torn, bad := t.check(true); bad == nil {
			return torn, nil
		}
	}
	return k, err
}

func (t *Trace) check(tears bool) (*checker, error) {
	k := &checker{Trace: t, tears: tears, at: at{pos: make([]int, len(t.Threads)), model: t.Bound.Init()}}
	for {
		k.saturate()
		if k.sec == len(t.Sections) {
			break
		}
		if step, ds := k.section(); ds != nil {
			return k, k.reject(step, ds)
		}
	}
	if step, ds := k.over(); ds != nil {
		return k, k.reject(step, ds)
	}
	return k, nil
}

func (k *checker) saturate() {
	for moved := true; moved; {
		moved = false
		for th := range k.Threads {
			for k.pos[th] < len(k.Threads[th]) {
				e := &k.Threads[th][k.pos[th]]
				next, ok := k.free(&k.at, th, e)
				if !ok && k.tears && k.isTorn(th, e) {
					next, ok = k.model, true
					next.Callers[th].PC = spec.PCSlow
					k.torn++
				}
				if !ok {
					break
				}
				k.model, moved = next, true
				k.pos[th]++
				k.place(th)
			}
		}
	}
}

// isTorn reports whether a load came between the two writes of OpenOk. The attempt has just been
// opened. Its OpenOk writes the state word first and then the pointer to the gate. A goroutine that
// has seen the state word may not see the pointer yet. It goes on to take the lock, which decides.
func (k *checker) isTorn(th int, e *Event) bool {
	return k.sec > 0 && th < k.Bound.Callers && k.model.Callers[th].PC == spec.PCUse && e.Kind == Free && e.Action == spec.UseLoad && e.Saw == 0 &&
		k.Sections[k.sec-1].Action == spec.OpenOk && k.model.St == spec.Started
}

// free returns the state to which the step of a thread leads, and false if the step does not fit.
func (t *Trace) free(a *at, th int, e *Event) (spec.Snapshot, bool) {
	switch e.Kind {
	case Locked:
		return a.model, false
	case Cancels:
		return a.model, true
	case Looked:
		st := spec.State(e.Saw)
		return a.model, a.model.St == st || st == spec.Idle && a.sec > 0 && t.Sections[a.sec-1].through()
	}
	if th >= t.Bound.Callers {
		return a.model, false
	}
	if c := &a.model.Callers[th]; e.Action == spec.Return && (c.Out != e.Out || c.N != e.N) {
		return a.model, false
	}
	next, ok := t.Bound.Next(a.model, spec.Step{Action: e.Action, Arg: uint8(th)})
	c := &next.Callers[th]
	switch e.Action {
	case spec.InvokeStart, spec.InvokeStop, spec.InvokeShutdown, spec.InvokeUse, spec.Return:
	case spec.StartFast, spec.UseEnd:
		ok = ok && (c.PC == spec.PCDone) == (e.Saw == 1)
	case spec.UseLoad:
		ok = ok && c.On == e.Saw
	case spec.UseAdd:
		ok = ok && (c.PC == spec.PCUsing) == (e.Saw == 1)
	default: // only a section can be
		return a.model, false
	}
	return next, ok
}

// ends takes the step that ends the context, if the thread's next step needs that.
func (t *Trace) ends(a *at, th int) (spec.Snapshot, bool) {
	if th < 0 || th >= t.Bound.Callers || a.pos[th] == len(t.Threads[th]) {
		return a.model, false
	}
	if !t.Threads[th][a.pos[th]].Left || a.model.Callers[th].Ended || !t.cancelled(a, th) {
		return a.model, false
	}
	return t.Bound.Next(a.model, spec.Step{Action: spec.ContextEnds, Arg: uint8(th)})
}

// cancelled reports whether the context of the call that c is in was cancelled before.
func (t *Trace) cancelled(a *at, c int) bool {
	call := -1
	for i := range t.Threads[c][:a.pos[c]] {
		if e := &t.Threads[c][i]; e.Kind == Free && e.Action <= spec.InvokeUse {
			call++
		}
	}
	for th, events := range t.Threads {
		for i := range events[:a.pos[th]] {
			if e := &events[i]; e.Kind == Cancels && int(e.Saw) == c && int(e.Call) == call {
				return true
			}
		}
	}
	return false
}

// due reports whether the next section is also the next step of its thread.
func (t *Trace) due(a *at) bool {
	s := &t.Sections[a.sec]
	if s.Thread < 0 {
		return !s.Action.OfCaller()
	}
	return a.pos[s.Thread] < len(t.Threads[s.Thread]) &&
		t.Threads[s.Thread][a.pos[s.Thread]].Kind == Locked && t.Threads[s.Thread][a.pos[s.Thread]].Section == a.sec
}

// section places the next section, or describes what does not fit.
func (k *checker) section() (spec.Step, []spec.Difference) {
	s := &k.Sections[k.sec]
	k.stuck = &s.Thread
	step := spec.Step{Action: s.Action, Arg: s.arg()}
	if !k.due(&k.at) {
		if s.Thread >= 0 && k.pos[s.Thread] < len(k.Threads[s.Thread]) {
			return k.blocked(s.Thread)
		}
		return step, []spec.Difference{spec.Extra(step)}
	}
	if ended, ok := k.ends(&k.at, s.Thread); ok {
		k.model = ended
	}
	next, ok := k.Bound.Next(k.model, step)
	if !ok {
		return step, []spec.Difference{spec.Extra(step)}
	}
	if ds := k.differs(s, &k.model, &next); ds != nil {
		return step, ds
	}
	k.model, k.stuck = next, nil
	k.sec++
	if s.Thread >= 0 {
		k.pos[s.Thread]++
	}
	k.place(s.Thread)
	return step, nil
}

// blocked describes why the next step of a thread has no place.
func (k *checker) blocked(th int) (spec.Step, []spec.Difference) {
	e := &k.Threads[th][k.pos[th]]
	index := "c" + strconv.Itoa(th+1)
	step := spec.Step{Action: e.Action, Arg: uint8(th)}
	want := k.model
	saw := func(name string, want, got any) []spec.Difference {
		return []spec.Difference{{Var: name, Index: index, Want: fmt.Sprint(want), Got: fmt.Sprint(got)}}
	}
	switch {
	case e.Kind == Looked:
		return k.last(), []spec.Difference{{Var: "st", Want: want.St.String(), Got: spec.State(e.Saw).String()}}
	case e.Kind == Free && e.Action == spec.Return:
		c := want.Callers[th]
		return k.last(), saw("out", result(c.Out, c.N), result(e.Out, e.N))
	case e.Kind == Free && e.Action == spec.StartFast:
		return step, saw("pc", "enter", map[uint8]string{0: "enter", 1: "done"}[e.Saw])
	case e.Kind == Free && e.Action == spec.UseLoad:
		return step, saw("on", want.Cur, e.Saw)
	case e.Kind == Free && e.Action == spec.UseAdd && e.Saw == 1:
		return step, saw("pc", "slow", "using")
	}
	return step, []spec.Difference{spec.Extra(step)}
}

// last returns the section placed last. If a thread sees something wrong, that section caused it.
func (k *checker) last() spec.Step {
	if k.sec == 0 {
		return spec.Step{}
	}
	s := &k.Sections[k.sec-1]
	return spec.Step{Action: s.Action, Arg: s.arg()}
}

func result(o spec.Out, n uint8) string {
	if n > 0 {
		return fmt.Sprintf("%v,%d", o, n)
	}
	return o.String()
}

// over checks the end: every list is empty, every call has returned, no operation runs, and no
// restart is due.
func (k *checker) over() (spec.Step, []spec.Difference) {
	for th, events := range k.Threads {
		if k.pos[th] < len(events) {
			k.stuck = &th
			return k.blocked(th)
		}
	}
	return k.last(), k.quiet(&k.model)
}

// quiet returns what still runs at the end of a trace.
func (t *Trace) quiet(m *spec.Snapshot) []spec.Difference {
	for c := range t.Bound.Callers {
		if pc := m.Callers[c].PC; pc != spec.PCIdle {
			return []spec.Difference{{Var: "pc", Index: "c" + strconv.Itoa(c+1), Want: pc.String(), Got: "idle"}}
		}
	}
	for g := range t.Bound.Attempts() {
		if op := m.Attempts[g].Op; op != spec.OpNone {
			return []spec.Difference{{Var: "op", Index: strconv.Itoa(g + 1), Want: op.String(), Got: "none"}}
		}
	}
	if m.Due {
		return []spec.Difference{{Var: "due", Want: "true", Got: "false"}}
	}
	return nil
}

func (k *checker) reject(step spec.Step, ds []spec.Difference) *Rejected {
	r := &Rejected{Trace: k.Trace, Placed: len(k.placed), placed: k.placed, Guarantee: spec.Blame(step, ds[0])}
	r.Of, _ = k.Events()
	for _, d := range ds {
		r.What = append(r.What, fmt.Sprintf("%v: %v", step, d))
	}
	r.Allowed = k.Bound.Enabled(&k.model, nil)
	return r
}

// differs compares what a section recorded with the model before and after it.
func (t *Trace) differs(s *Section, before, m *spec.Snapshot) (ds []spec.Difference) {
	add := func(name, index string, want, got any) {
		if want != got {
			ds = append(ds, spec.Difference{Var: name, Index: index, Want: fmt.Sprint(want), Got: fmt.Sprint(got)})
		}
	}
	add("st", "", m.St, s.St)
	add("st", "word", m.St, s.Word)
	add("gen", "", m.Gen, s.Gen)
	add("closing", "", m.Closing, s.Closing)
	add("cur", "", m.Cur, s.Cur)
	add("due", "", m.Due, s.Due)
	add("again", "", m.Again, s.Again)
	add("restarts", "", m.Restarts, s.Restarts)
	add("on", "queued", count(m, m.Gen+1, spec.PCWait, spec.PCWait), s.Queued)
	for i := range s.Views {
		v := &s.Views[i]
		index := strconv.Itoa(int(v.Number))
		if v.Number > m.Gen {
			add("gen", index, m.Gen, v.Number)
			continue
		}
		w := m.Attempt(v.Number)
		add("op", index, w.Op, v.Op)
		add("held", index, w.Held, v.Held)
		add("reported", index, w.Reported, v.Reported)
		add("fate", index, w.Fate, v.Fate)
		add("open", index, w.Open, v.Open)
		add("forced", index, w.Forced, v.Forced)
		add("relerr", index, w.RelErr, v.RelErr)
		if !w.Open {
			add("inuse", index, w.InUse, v.InUse)
		}
		add("on", index, count(m, v.Number, spec.PCWait, spec.PCWait), v.Waiters)
		stoppers := count(m, v.Number, spec.PCStopWait, spec.PCShutWait)
		if s.enters(v) { // he is counted right after the record
			stoppers--
		}
		add("on", index+" stoppers", stoppers, v.Stoppers)
	}
	if s.Action.OfCaller() {
		index := "c" + strconv.Itoa(s.Thread+1)
		on := s.concerns(before, m)
		add("pc", index, on > 0, s.Waits)
		if on > m.Gen { // queued
			on = 0
		}
		add("on", index, on, s.Attempt)
	}
	if s.supervises() {
		begun := uint8(0)
		if m.Gen > before.Gen {
			begun = m.Gen
		}
		add("on", "", begun, s.Attempt)
		if again := before.Restarts < t.Patience; again != (s.Action == spec.Restart) { // not what the Backoff said
			ds = append(ds, spec.Extra(spec.Step{Action: s.Action, Arg: s.arg()}))
		}
	}
	return ds
}

// concerns returns the attempt that a caller's section concerns; 0: none.
func (s *Section) concerns(before, after *spec.Snapshot) uint8 {
	switch s.Action {
	case spec.StartEnter, spec.StopEnter, spec.ShutdownEnter: // that he is to wait for
		return after.Callers[s.Thread].On
	case spec.UseSlow: // the current one
		if before.St == spec.Idle || before.St == spec.Closed {
			return 0
		}
		return before.Gen
	}
	return before.Callers[s.Thread].On
}

// enters reports whether the section belongs to a Stop or Shutdown that goes on to wait for v.
func (s *Section) enters(v *View) bool {
	return (s.Action == spec.StopEnter || s.Action == spec.ShutdownEnter) && s.Attempt == v.Number
}

// count returns how many callers wait for attempt g, at one of two places, without an answer.
func count(m *spec.Snapshot, g uint8, one, other spec.PC) (n uint8) {
	for i := range m.Callers {
		if c := &m.Callers[i]; (c.PC == one || c.PC == other) && c.On == g && c.Out == spec.OutNone {
			n++
		}
	}
	return n
}
