package trace

import (
	"fmt"
	"strings"

	"github.com/seed3893aba4/surestart/spec"
)

// Tally counts what traces have shown.
type Tally struct {
	traces, events, inferred, torn int
	distinct                       map[uint64]bool
	classes                        [len(classNames)]int
}

// Class is something that only goroutines in each other's way bring about.
type Class struct {
	Name   string
	Traces int
}

var classNames = [...]string{
	"joined", "queued", "left", "abandoned", "cut", "forced", "dropped", "refused", "late", "timedout", "overtaken", "failed",
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

// shows are the classes that the trace is in, in the order of classNames.
func (t *Trace) shows() (in [len(classNames)]bool) {
	for i := range t.Sections {
		s := &t.Sections[i]
		var v View
		if len(s.Views) > 0 && s.Attempt > 0 {
			v = s.Views[0]
		}
		switch s.Action {
		case spec.StartEnter:
			in[0] = in[0] || v.Waiters > 1
			in[1] = in[1] || s.Waits && s.Attempt == 0
		case spec.StartLeave:
			in[2] = true
			in[3] = in[3] || v.Fate == spec.FateAbandoned
		case spec.Fail:
			in[5] = in[5] || v.Forced
			in[8] = in[8] || s.Attempt != s.Gen
		case spec.UseDrop:
			in[6] = true
		case spec.Timeout:
			in[9] = true
		case spec.OpenOk: // opened, and not wanted any more
			in[10] = in[10] || v.Op == spec.OpRelease
		}
	}
	for _, events := range t.Threads {
		for i := range events {
			switch e := &events[i]; {
			case e.Action == spec.UseAdd && e.Saw == 0 && e.Kind == Free:
				in[7] = true
			case e.Action == spec.Return && e.Out == spec.OutCut:
				in[4] = true
			case e.Action == spec.Return && e.Out == spec.OutFailed:
				in[11] = true
			}
		}
	}
	return in
}

// Classes returns how many traces showed what.
func (y *Tally) Classes() []Class {
	var all []Class
	for i, name := range classNames {
		all = append(all, Class{name, y.classes[i]})
	}
	return all
}

// String reads like a line of a report.
func (y *Tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "traces=%d distinct=%d events=%d inferred=%d torn=%d", y.traces, len(y.distinct), y.events, y.inferred, y.torn)
	for _, c := range y.Classes() {
		fmt.Fprintf(&b, " %s=%d", c.Name, c.Traces)
	}
	return b.String()
}
