package conformance

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/internal/history"
)

// A Line is one event of a schedule.
type Line struct {
	Who    int    // a caller, counted from 0, or Resource
	Said   string // what happened
	Breaks bool   // this event breaks the guarantee
}

// Resource is the Who of an event of the resource.
const Resource = callers

var callNames = map[abstract.Call]string{abstract.InStart: "Start", abstract.InStop: "Stop", abstract.InShut: "Shutdown", abstract.InUse: "Use"}

// lines returns the events of a finding, up to the one that breaks the guarantee.
func (f *finding) lines() (all []Line) {
	in := map[uint8]history.Event{}
	for i, e := range f.History[:f.At+1] {
		l := Line{Who: Resource, Breaks: i == f.At}
		if e.Kind.OfCaller() {
			l.Who = int(e.Caller)
		}
		switch e.Kind {
		case history.Call:
			in[e.Caller] = e
			if l.Said = callNames[e.Call]; e.Ended {
				l.Said += ", context ended"
			}
		case history.Return:
			l.Said = callNames[in[e.Caller].Call] + " returns nil"
			if e.Said != "" {
				l.Said = callNames[in[e.Caller].Call] + ": " + e.Said
			}
			delete(in, e.Caller)
		case history.Admitted:
			l.Said = "is admitted"
		case history.WasCut:
			l.Said = "sees that it is cut off"
		case history.NotCut:
			l.Said = "is not cut off"
			if !l.Breaks {
				continue
			}
		case history.UseMayEnd:
			l.Said = "ends its use"
		case history.ContextMayEnd:
			who := -1
			for c, call := range in {
				if call.Context == e.Context {
					who = int(c)
				}
			}
			if who < 0 {
				continue
			}
			l.Who, l.Said = who, "context ends"
		case history.OpenBegun:
			l.Said = fmt.Sprintf("open %d begins", e.Attempt)
		case history.OpenReturns:
			l.Said = fmt.Sprintf("open %d is done, holds %d", e.Attempt, e.Part)
			if e.Bad {
				how := "fails"
				if e.Panicked {
					how = "panics"
				}
				l.Said = fmt.Sprintf("open %d %s, holds %d", e.Attempt, how, e.Part)
			}
		case history.PartHeld:
			l.Said = fmt.Sprintf("open %d holds part %d", e.Attempt, e.Part)
		case history.ReleaseBegun:
			l.Said = fmt.Sprintf("release of part %d begins", e.Part)
		case history.ReleaseReturns:
			if l.Said = fmt.Sprintf("part %d is released", e.Part); e.Bad {
				l.Said = fmt.Sprintf("release of part %d fails", e.Part)
			}
		case history.FailCalled:
			l.Said = fmt.Sprintf("the resource of attempt %d dies", e.Attempt)
		case history.Inside:
			if l.Said = "a call from inside is refused"; e.Bad {
				l.Said = "a call from inside is not refused"
			}
		case history.Left:
			l.Said = "all is over"
		case history.Crashed:
			l.Said = "the process dies"
		case history.Spins:
			l.Said = "busy forever"
		case history.Quiet:
			if l.Said = "all is quiet"; !l.Breaks {
				continue
			}
		default:
			continue
		}
		all = append(all, l)
	}
	return all
}

// Timeline returns the schedule of a No as text: a column for each caller and one for the
// hooks, time downwards. It returns "" for other verdicts.
func (r Row) Timeline() string {
	if len(r.Schedule) == 0 {
		return ""
	}
	var width [callers + 1]int
	heads := [callers + 1]string{"c1", "c2", "c3", "hooks"}
	for _, l := range r.Schedule {
		width[l.Who] = max(width[l.Who], utf8.RuneCountInString(cell(l.Said)), len(heads[l.Who]))
	}
	var b strings.Builder
	row := func(mark string, cells [callers + 1]string) {
		text := mark
		for who, c := range cells {
			if width[who] > 0 {
				text += "  " + c + strings.Repeat(" ", width[who]-utf8.RuneCountInString(c))
			}
		}
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	row("   ", heads)
	for i, l := range r.Schedule {
		var cells [callers + 1]string
		cells[l.Who] = cell(l.Said)
		mark := fmt.Sprintf("%3d", i+1)
		if l.Breaks {
			mark = "  ✗"
		}
		row(mark, cells)
	}
	fmt.Fprintf(&b, "  ✗  %s", r.Why)
	if r.Reproduced < 3 {
		fmt.Fprintf(&b, " (and again in %d of 3 runs)", r.Reproduced)
	}
	if r.Stacks != "" && strings.HasPrefix(r.Stacks, "goroutine ") {
		fmt.Fprintf(&b, "\n\n%s", shorten(r.Stacks))
	}
	return b.String()
}

// cell returns text shortened to the width of a column.
func cell(said string) string {
	said = strings.ReplaceAll(said, "\n", " ")
	if runes := []rune(said); len(runes) > 44 {
		return string(runes[:43]) + "…"
	}
	return said
}

// shorten returns the lines of stacks that name functions.
func shorten(stacks string) string {
	var b strings.Builder
	for line := range strings.Lines(stacks) {
		if !strings.HasPrefix(line, "\t") {
			b.WriteString(line)
		}
	}
	return strings.TrimSpace(b.String())
}
