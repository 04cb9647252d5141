package trace

import (
	"fmt"
	"strings"

	"github.com/seed3893aba4/surestart/spec"
)

// Tally counts what traces show.
type Tally struct {
	traces, events, inferred, torn int
	distinct                       map[uint64]bool
	classes                        [numClasses]int
}

// Class is a situation that only interfering goroutines bring about.
type Class struct {
	Name   string
	Traces int
}

const (
	showsJoined    = iota // a Start joins others
	showsQueued           // a Start waits for the end of a release
	showsLeft             // a Start's context ends
	showsAbandoned        // it was the last that waited
	showsCut              // a stopper cuts the drain short
	showsForced           // a failure does
	showsDropped          // a use ends at a closed gate
	showsRefused          // a use comes to a closed gate
	showsLate             // a failure of an older attempt is reported
	showsTimedout         // the start timeout fires
	showsOvertaken        // open succeeds, and is not wanted any more
	showsFailed           // a Start gets a failure
	showsRestarted        // what died is started again
	showsAgain            // that fails, and another restart is due
	showsAwaited          // a Start waits for a restart that is due
	showsCalledoff        // a Stop calls a restart off that is due
	showsCancelled        // a Stop ends a restart that has begun
	showsKept             // the last that waits for a restart leaves, and it goes on
	showsGaveup           // the Backoff gives up
	showsInstead          // and an attempt begins for those who waited

	numClasses
)

var classNames = [numClasses]string{
	"joined", "queued", "left", "abandoned", "cut", "forced", "dropped", "refused", "late", "timedout", "overtaken", "failed",
	"restarted", "again", "awaited", "calledoff", "cancelled", "kept", "gaveup", "instead",
}

// Add counts an accepted trace.
func (y *Tally) Add(t *Trace, v Verdict) {
	if y.distinct == nil {
		y.distinct = make(map[uint64]bool)
	}
	all, inferred := t.Events()
	y.traces++
	y.events += all
	y.inferred += inferred
	y.torn += v.Torn
	y.distinct[t.Hash()] = true
	for i, shown := range t.shows() {
		if shown {
			y.classes[i]++
		}
	}
}

// shows returns the classes that the trace is in.
func (t *Trace) shows() (in [numClasses]bool) {
	note := func(class int, shown bool) { in[class] = in[class] || shown }
	before := &Section{}
	for i := range t.Sections {
		s := &t.Sections[i]
		var v View
		if len(s.Views) > 0 && s.Attempt > 0 {
			v = s.Views[0]
		}
		switch s.Action {
		case spec.StartEnter:
			note(showsJoined, v.Waiters > 1)
			waits := s.Waits && s.Attempt == 0
			note(showsQueued, waits && !s.Due)
			note(showsAwaited, waits && s.Due)
		case spec.StartLeave:
			note(showsLeft, true)
			note(showsAbandoned, v.Fate == spec.FateAbandoned)
			note(showsKept, s.Again && s.St == spec.Starting && s.Attempt == s.Gen && v.Waiters == 0)
		case spec.StopEnter, spec.ShutdownEnter:
			note(showsCalledoff, before.Due)
			note(showsCancelled, before.Again)
		case spec.Fail:
			note(showsForced, v.Forced)
			note(showsLate, s.Attempt != s.Gen)
		case spec.UseDrop:
			note(showsDropped, true)
		case spec.Timeout:
			note(showsTimedout, true)
		case spec.OpenOk:
			note(showsOvertaken, v.Op == spec.OpRelease)
		case spec.Finish:
			note(showsAgain, before.Again && s.Due)
		case spec.Restart:
			note(showsRestarted, true)
		case spec.GivesUp:
			note(showsGaveup, true)
			note(showsInstead, s.Attempt > 0)
		}
		before = s
	}
	for _, events := range t.Threads {
		for i := range events {
			e := &events[i]
			note(showsRefused, e.Action == spec.UseAdd && e.Saw == 0 && e.Kind == Free)
			note(showsCut, e.Action == spec.Return && e.Out == spec.OutCut)
			note(showsFailed, e.Action == spec.Return && e.Out == spec.OutFailed)
		}
	}
	return in
}

// Classes returns how many traces are in each class.
func (y *Tally) Classes() []Class {
	var all []Class
	for i, name := range classNames {
		all = append(all, Class{name, y.classes[i]})
	}
	return all
}

// String returns the counts in the form of a report's line.
func (y *Tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "traces=%d distinct=%d events=%d inferred=%d torn=%d", y.traces, len(y.distinct), y.events, y.inferred, y.torn)
	for _, c := range y.Classes() {
		fmt.Fprintf(&b, " %s=%d", c.Name, c.Traces)
	}
	return b.String()
}
