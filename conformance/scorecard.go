package conformance

import (
	"fmt"
	"strings"

	"github.com/seed3893aba4/surestart/spec"
)

// Verdict is the result of the suite for a guarantee.
type Verdict string

// The verdicts. Only Yes says that the subject has the guarantee.
const (
	Yes        Verdict = "yes"         // no schedule broke it, and its premise held in at least one
	No         Verdict = "no"          // a schedule breaks it
	NotOffered Verdict = "not offered" // a capability that it needs is not declared; no schedule that could be drawn breaks it
	NotReached Verdict = "not reached" // it is offered, and its premise held in no schedule
)

// A Scorecard is the result of the suite for a subject.
type Scorecard struct {
	Subject      string // the test's name
	Capabilities Capability
	Rows         []Row // one for each guarantee, in order
	Schedules    int   // how many were run
	Processes    int   // how many child processes ran: one more for each schedule that left goroutines running
	Outside      bool  // the subject holds a lock while a hook runs: its schedules ran in real time
	Cut          bool  // not all schedules were run: too many child processes were lost
}

// A Row is the result for one guarantee.
type Row struct {
	ID, Name, Promise string // as in spec.Guarantee
	Verdict           Verdict
	Reached           int        // schedules in which its premise held
	Missing           Capability // NotOffered: the capabilities to declare
	Why               string     // No: what happened that must not; NotReached: what did not happen, and what to change
	Reproduced        int        // No: how many of three more runs of the schedule broke it, too
	Schedule          []Line     // No: the shortest that was found
	Stacks            string     // No: the goroutines that hang or are left, or the crash
}

// Row returns the row of the guarantee with that number, for example "G3"; the zero Row if
// no guarantee has it.
func (c *Scorecard) Row(id string) Row {
	for _, r := range c.Rows {
		if r.ID == id {
			return r
		}
	}
	return Row{}
}

func (e *exploration) scorecard(name string, s Subject) *Scorecard {
	card := &Scorecard{Subject: name, Capabilities: s.Capabilities, Schedules: e.d.runs, Processes: e.d.starts, Outside: e.d.locks, Cut: e.cut}
	for _, g := range spec.Guarantees() {
		r := Row{ID: g.ID, Name: g.Name, Promise: g.Promise, Reached: e.reached[g.ID], Verdict: Yes}
		f := e.broken[g.ID]
		switch missing := offered[g.ID] &^ s.Capabilities; {
		case f != nil: // even if the guarantee as a whole is not offered
			r.Verdict, r.Why, r.Reproduced, r.Schedule, r.Stacks = No, f.Why, f.reproduced, f.lines(), strings.TrimSpace(f.stack+f.said)
		case missing != 0:
			r.Verdict, r.Missing, r.Reached = NotOffered, missing, 0
		case r.Reached == 0:
			r.Verdict, r.Why = NotReached, notReached(g.ID, e.d.runs)
		}
		card.Rows = append(card.Rows, r)
	}
	return card
}

// String returns the scorecard as a table, and below it the schedule of each No.
func (c *Scorecard) String() string {
	var b strings.Builder
	for _, r := range c.Rows {
		note := fmt.Sprintf("reached in %d schedules", r.Reached)
		switch r.Verdict {
		case No, NotReached:
			note = r.Why
		case NotOffered:
			note = "without " + r.Missing.String()
		}
		fmt.Fprintf(&b, "%-4s%-23s%-12s %s\n", r.ID, r.Name, r.Verdict, note)
	}
	fmt.Fprintf(&b, "%d schedules", c.Schedules)
	if c.Cut {
		b.WriteString(" (ended early: too many left something running)")
	}
	if c.Outside {
		b.WriteString(", in real time: it holds a lock while a hook runs")
	}
	if without := Everything &^ c.Capabilities; without != 0 {
		fmt.Fprintf(&b, "\nnot offered: %v", without)
	}
	for _, r := range c.Rows {
		if r.Verdict == No {
			fmt.Fprintf(&b, "\n\n%s %s:\n%s", r.ID, r.Name, r.Timeline())
		}
	}
	return b.String()
}
