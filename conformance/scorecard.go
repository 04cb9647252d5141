package conformance

import (
	"fmt"
	"strings"

	"github.com/seed3893aba4/surestart/spec"
)

// Verdict is what the suite says of a guarantee.
type Verdict string

// The verdicts. Only Yes is one that a subject can be praised for.
const (
	Yes        Verdict = "yes"         // no schedule broke it, and at least one came to what it is about
	No         Verdict = "no"          // a schedule breaks it
	NotOffered Verdict = "not offered" // it was not asked as a whole: a capability is not declared. Nothing that was asked breaks it
	NotReached Verdict = "not reached" // it is offered, and no schedule came to what it is about
)

// A Scorecard is what the suite found out about a subject.
type Scorecard struct {
	Subject      string // the test's name
	Capabilities Capability
	Rows         []Row // one for each guarantee, in order
	Schedules    int
	Processes    int  // that were needed: one more for each schedule that left something running
	Outside      bool // it holds a lock while a hook runs, so that it was run in real time
	Cut          bool // it ended before all schedules had run: too many processes were lost
}

// A Row is what it found out about one guarantee.
type Row struct {
	ID, Name, Promise string
	Verdict           Verdict
	Asked             int        // schedules that came to what it is about
	Missing           Capability // what would have to be declared for it to be asked
	Why               string     // of a No: what happened that may not; of a NotReached: what did not happen, and what to change
	Again             int        // of a No: of three more runs of the schedule, how many broke it too
	Schedule          []Line     // of a No: the shortest that was found
	Stacks            string     // of a No: the goroutines that hang, or are left, or the crash
}

// Row returns the row of the guarantee with that number, "G3".
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
		r := Row{ID: g.ID, Name: g.Name, Promise: g.Promise, Asked: e.asked[g.ID], Verdict: Yes}
		f := e.broken[g.ID]
		switch missing := offered[g.ID] &^ s.Capabilities; {
		case f != nil: // also where the guarantee as a whole is not offered: what was asked of it is
			r.Verdict, r.Why, r.Again, r.Schedule, r.Stacks = No, f.Why, f.again, f.lines(), strings.TrimSpace(f.stack+f.said)
		case missing != 0:
			r.Verdict, r.Missing, r.Asked = NotOffered, missing, 0
		case r.Asked == 0:
			r.Verdict, r.Why = NotReached, reached(g.ID, e.d.runs)
		}
		card.Rows = append(card.Rows, r)
	}
	return card
}

// String is the scorecard as a table, and below it the schedule of each No.
func (c *Scorecard) String() string {
	var b strings.Builder
	for _, r := range c.Rows {
		note := fmt.Sprintf("asked in %d schedules", r.Asked)
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
