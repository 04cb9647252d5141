// Package trace runs small programs of calls on the shipped fsm, with real goroutines that nothing
// steps or orders. It records what each goroutine did, and decides whether that is a behaviour of
// the model of package spec.
//
// The sections that run under the lifecycle's lock are recorded there, in the order in which they
// ran. The steps outside the lock have no place in that order: the loads and adds of the fast
// paths, the beginning and the end of a call. Each goroutine keeps its own list of them, in the
// order of its program, with what it saw. The places of these steps are inferred, and none may be
// left out. A trace is accepted if there is one interleaving of the lists, with the sections in
// their order, in which every step is a step of the model and every recorded value is the model's
// value. At its end every call has returned, no operation runs and no restart is due.
//
// Files:
//   - record.go: the hook
//   - program.go, run.go: what is run
//   - check.go, search.go: the two ways of deciding
//   - corrupt.go: what must be refused
//   - tla.go: the same for TLC
//   - file.go, draw.go: how a trace is kept and shown
package trace

import (
	"errors"
	"fmt"
	"hash/maphash"
	"strings"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

// Trace is what one run did.
type Trace struct {
	Bound    spec.Bound
	Patience uint8     // how many restarts in a row the Backoff of WithRestart makes
	Seed     uint64    // of its program
	Procs    int       // GOMAXPROCS
	Sections []Section // in their order
	// Threads are the goroutines with a program: the callers, c1 first, and one without calls,
	// which ends contexts and reports failures.
	Threads [][]Event
}

// Kind is what an Event is.
type Kind uint8

// The kinds of events.
const (
	Free    Kind = iota // an action of the model outside the lock
	Locked              // a section: which one, Event.Section says
	Looked              // State was called: no step of the model, but what it saw must be so
	Cancels             // a call's context is cancelled: from here on it may end
)

// Event is a step of one goroutine.
type Event struct {
	Kind    Kind
	Action  spec.Action
	Section int // an index of Trace.Sections
	// Saw is what the step saw. StartFast: 1 if started. UseLoad: the attempt. UseAdd: 1 if
	// admitted. UseEnd: 1 if the gate was open. Looked: the state. Cancels: whose call.
	Saw  uint8
	Call uint8    // Cancels: which of the caller's calls, from 0
	Out  spec.Out // of a Return
	N    uint8
	// Left: the step depends on the end of the context of its call.
	Left bool
}

// Section is a critical section, and the values of the lifecycle's fields at its end.
type Section struct {
	Action  spec.Action
	Thread  int   // an index of Trace.Threads, -1: an operation, or a timer
	Attempt uint8 // that it concerns; 0: none, or the queued one
	Waits   bool  // it concerns one: a caller goes on to wait for it

	Word, St spec.State
	Gen, Cur uint8
	Closing  bool
	Queued   uint8 // waiters for the next attempt
	Due      bool  // a restart is to be made (fsm.WithRestart)
	Again    bool  // the current attempt is one
	Restarts uint8 // made in a row
	Views    []View
}

// View has the fields of an attempt: of the one that a section concerns, or of the current one.
type View struct {
	Number, Held, InUse, Waiters, Stoppers uint8
	Op                                     spec.Op
	Fate                                   spec.Fate
	Reported, Open, Forced, RelErr         bool
}

// through reports whether the state word was Idle within this section, between Stopping and
// Starting. In the model that is one step; a goroutine that loads the word may see it.
func (s *Section) through() bool { return s.Action == spec.Finish && s.St == spec.Starting }

// arg returns the parameter of the section's step. Restart and GivesUp belong to the attempt
// before: the section concerns the one that begins.
func (s *Section) arg() uint8 {
	switch {
	case s.Action.OfCaller():
		return uint8(s.Thread)
	case !s.supervises():
		return s.Attempt
	case s.Attempt > 0:
		return s.Attempt - 1
	}
	return s.Gen
}

// supervises reports whether the section is the supervisor's, in a timer's or an operation's
// goroutine.
func (s *Section) supervises() bool { return s.Action == spec.Restart || s.Action == spec.GivesUp }

// errLeft is the cause with which a program ends a context.
var errLeft = errors.New("the caller has left")

// outOf returns the result of a call, as the model has it.
func outOf(err error) (spec.Out, uint8) {
	switch err {
	case nil:
		return spec.OutOK, 0
	case fsm.ErrStopped:
		return spec.OutStopped, 0
	case fsm.ErrClosed:
		return spec.OutClosed, 0
	case fsm.ErrNotStarted:
		return spec.OutNotStarted, 0
	case errLeft:
		return spec.OutCtx, 0
	}
	switch err := err.(type) {
	case *fsm.LeaveError:
		if err.Err == errLeft {
			return spec.OutCtx, 0
		}
	case *fsm.StartError:
		return spec.OutFailed, uint8(err.Attempt)
	case *fsm.StopError:
		switch {
		case err.CutOff > 0:
			return spec.OutCut, uint8(err.CutOff)
		case err.Err == errLeft:
			return spec.OutCtx, 0
		}
		return spec.OutRelErr, 0
	}
	return spec.OutNone, 0 // no call of the model returns it
}

func fateOf(err error) spec.Fate {
	switch err {
	case nil:
		return spec.FateNone
	case fsm.ErrStopped:
		return spec.FateStopped
	case fsm.ErrClosed:
		return spec.FateClosed
	}
	if failed, ok := err.(*fsm.StartError); ok && errors.Is(failed, errLeft) {
		return spec.FateAbandoned
	}
	return spec.FateFailed
}

// String names the event as the picture of a trace does.
func (e *Event) String() string {
	switch e.Kind {
	case Looked:
		return "State " + spec.State(e.Saw).String()
	case Cancels:
		return fmt.Sprintf("cancels c%d's call %d", e.Saw+1, e.Call+1)
	}
	name := e.Action.String()
	switch e.Action {
	case spec.StartFast, spec.UseLoad, spec.UseAdd, spec.UseEnd:
		if e.Kind == Free {
			name += fmt.Sprintf(" saw %d", e.Saw)
		}
	case spec.Return:
		name += " " + e.Out.String()
		if e.N > 0 {
			name += fmt.Sprintf(" %d", e.N)
		}
	}
	return name
}

// String names a section of no caller as the picture of a trace does.
func (s *Section) String() string {
	if s.Attempt == 0 {
		return s.Action.String()
	}
	return fmt.Sprintf("%v #%d", s.Action, s.Attempt)
}

// values returns what a section recorded.
func (s *Section) values() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v gen=%d cur=%d", s.St, s.Gen, s.Cur)
	if s.Closing {
		b.WriteString(" closing")
	}
	if s.Queued > 0 {
		fmt.Fprintf(&b, " queued=%d", s.Queued)
	}
	if s.Due {
		b.WriteString(" due")
	}
	if s.Again {
		b.WriteString(" again")
	}
	if s.Restarts > 0 {
		fmt.Fprintf(&b, " restarts=%d", s.Restarts)
	}
	for _, v := range s.Views {
		fmt.Fprintf(&b, " | #%d %v held=%d waiters=%d stoppers=%d", v.Number, v.Op, v.Held, v.Waiters, v.Stoppers)
		if v.Open {
			b.WriteString(" open")
		} else {
			fmt.Fprintf(&b, " inuse=%d", v.InUse)
		}
		if v.Forced {
			b.WriteString(" forced")
		}
	}
	return b.String()
}

// Events returns the number of steps of the trace, and how many of them need an inferred place.
func (t *Trace) Events() (all, inferred int) {
	all = len(t.Sections)
	for _, events := range t.Threads {
		for i := range events {
			if events[i].Kind != Locked {
				inferred++
			}
		}
	}
	return all + inferred, inferred
}

var hashSeed = maphash.MakeSeed()

// Hash is equal for runs that did the same in the same order.
func (t *Trace) Hash() uint64 {
	var h maphash.Hash
	h.SetSeed(hashSeed)
	fmt.Fprint(&h, t.Bound, t.Patience, t.Sections, t.Threads)
	return h.Sum64()
}

// picture draws the trace: a column for each goroutine, a line for each step, in the order of the
// placement that was found. Steps without a place come below.
func (t *Trace) picture(placed []place) string {
	var b strings.Builder
	const width = 24
	columns := len(t.Threads) + 1
	line := func(column int, text, values string) {
		cells := make([]string, columns)
		cells[column] = text
		var l strings.Builder
		for _, cell := range cells {
			fmt.Fprintf(&l, "%-*s ", width, cell)
		}
		b.WriteString(strings.TrimRight(l.String()+values, " ") + "\n")
	}
	for i := range t.Threads {
		name := fmt.Sprintf("c%d", i+1)
		if i == t.Bound.Callers {
			name = "outside"
		}
		fmt.Fprintf(&b, "%-*s ", width, name)
	}
	b.WriteString("operation\n")
	pos, sec := make([]int, len(t.Threads)), 0
	show := func(th int) {
		if th < 0 {
			s := &t.Sections[sec]
			line(columns-1, s.String(), s.values())
			sec++
			return
		}
		e := &t.Threads[th][pos[th]]
		pos[th]++
		values := ""
		if e.Kind == Locked {
			values = t.Sections[e.Section].values()
			sec = e.Section + 1
		}
		line(th, e.String(), values)
	}
	for _, p := range placed {
		show(p.thread)
	}
	b.WriteString("--- not placed:\n")
	for ; sec < len(t.Sections); sec++ {
		s := &t.Sections[sec]
		if s.Thread < 0 {
			line(columns-1, s.String(), s.values())
			continue
		}
		for pos[s.Thread] < len(t.Threads[s.Thread]) {
			e := &t.Threads[s.Thread][pos[s.Thread]]
			if e.Kind == Locked && e.Section > sec {
				break
			}
			pos[s.Thread]++
			if e.Kind == Locked {
				line(s.Thread, e.String(), s.values())
				break
			}
			line(s.Thread, e.String(), "")
		}
	}
	for th := range t.Threads {
		for ; pos[th] < len(t.Threads[th]); pos[th]++ {
			line(th, t.Threads[th][pos[th]].String(), "")
		}
	}
	return b.String()
}
