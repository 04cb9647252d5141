package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	recording "github.com/seed3893aba4/surestart/fsm/flight"
	"github.com/seed3893aba4/surestart/internal/scheduler"
	"github.com/seed3893aba4/surestart/internal/timeline"
	"github.com/seed3893aba4/surestart/internal/trace"
	"github.com/seed3893aba4/surestart/spec"
)

var replayCommand = command{
	name: "replay", args: " FILE",
	about: "shows a schedule that led to a difference between code and model, a trace, or a recording",
	help: `
A test or "surestart verify" that finds the shipped code to differ from its model
writes the schedule that led there into a file. replay runs it again, step by
step, on the code that this program was built from, and draws it: in colour
where there is a terminal, and with -html as a page to step through with the
arrow keys. The exit status is 1 if they still differ, 0 if not.

FILE may also be a trace that the tests of real goroutines refused and kept: it is
held against the model, as they did, and drawn up to what has no place.

Or what a recorder of package flight wrote: the last transitions of
a lifecycle in production. That is drawn, and with -check held against the
specification's machine; the exit status is 1 if it is none of its runs.`,
	prepare: prepareReplay,
}

func prepareReplay(flags *flag.FlagSet) func(*world, []string) error {
	html := flags.String("html", "", "also write it to this `file`, as a page of HTML")
	check := flags.Bool("check", false, "of a recording: hold it against the specification")
	return func(w *world, args []string) error {
		if len(args) != 1 {
			return usagef("want the name of one file, got %d", len(args))
		}
		text, err := os.ReadFile(args[0])
		if err != nil {
			return usageError{err}
		}
		var kind struct{ Recording, Trace int }
		json.Unmarshal(text, &kind) // what is none of the three is said by who reads it
		if kind.Recording > 0 {
			return replayRecording(w, args[0], text, *html, *check)
		}
		if *check {
			return usagef("%s: -check is for a recording; a schedule and a trace are always checked", args[0])
		}
		if kind.Trace > 0 {
			return replayTrace(w, args[0], text, *html)
		}
		return replaySchedule(w, args[0], text, *html)
	}
}

func replaySchedule(w *world, path string, text []byte, html string) error {
	s, err := scheduler.ReadSchedule(bytes.NewReader(text))
	if err != nil {
		return usagef("%s: %w", path, err)
	}
	steps, err := s.Replay()
	var d *scheduler.Difference
	if err != nil && !errors.As(err, &d) {
		return usagef("%s: %w", path, err)
	}
	t := timelineOf(s.Bound, steps)
	if d != nil {
		t = timelineOf(d.Bound, d.Steps)
		t.Title = fmt.Sprintf("%v is broken", d.Guarantee)
		t.What = d.What
	}
	if html != "" {
		if err := writeFile(html, t.WriteHTML); err != nil {
			return err
		}
	}
	drawn := t.Text(isTerminal(w.out, w.getenv))
	if d != nil {
		fmt.Fprintf(w.out, "code and model differ after %d steps: %s\n\n%s", len(d.Steps), t.Title, drawn)
		return errSaid
	}
	fmt.Fprintf(w.out, "%s\nno difference: code and model agree on all %d steps\n", drawn, len(steps))
	return nil
}

func replayTrace(w *world, path string, text []byte, html string) error {
	run, err := trace.Read(bytes.NewReader(text))
	if err != nil {
		return usagef("%s: %w", path, err)
	}
	t, refused := run.Timeline()
	if html != "" {
		if err := writeFile(html, t.WriteHTML); err != nil {
			return err
		}
	}
	drawn := t.Text(isTerminal(w.out, w.getenv))
	if refused != nil {
		fmt.Fprintf(w.out, "the trace is no behaviour of the model: %s\n\n%s", t.Title, drawn)
		return errSaid
	}
	fmt.Fprintf(w.out, "%s\nthe model makes all %d steps\n", drawn, len(t.Steps))
	return nil
}

func replayRecording(w *world, path string, text []byte, html string, check bool) error {
	r, err := recording.Read(bytes.NewReader(text))
	if err != nil {
		return usagef("%s: %w", path, err)
	}
	t := timeline.Timeline{Title: "The last transitions of a lifecycle", Columns: []string{"at", "event", "attempt", "cause"}}
	for _, one := range r.Transitions {
		t.Steps = append(t.Steps, timeline.Step{State: one.To.String(), Cells: []string{
			one.At.Format("2006-01-02 15:04:05.000"), one.Event.String(), fmt.Sprint(one.Attempt), strings.ReplaceAll(one.Cause, "\n", "; ")}})
	}
	var v *recording.Violation
	if check && errors.As(r.Check(), &v) {
		t.Title, t.What = fmt.Sprintf("%v is broken", v.Guarantee), []string{v.Error()}
		t.Steps = t.Steps[:v.At+1]
	}
	if html != "" {
		if err := writeFile(html, t.WriteHTML); err != nil {
			return err
		}
	}
	fmt.Fprint(w.out, t.Text(isTerminal(w.out, w.getenv)))
	if r.Dropped > 0 {
		fmt.Fprintf(w.out, "%d older transitions were not kept\n", r.Dropped)
	}
	switch {
	case v != nil:
		return errSaid
	case check:
		fmt.Fprintf(w.out, "the specification's machine makes all %d transitions\n", len(r.Transitions))
	}
	return nil
}

// timelineOf is a schedule as the model runs it.
func timelineOf(b spec.Bound, steps []spec.Step) timeline.Timeline {
	rows := scheduler.Rows(b, steps)
	last := len(rows[0]) - 2
	t := timeline.Timeline{Title: "A schedule of the lifecycle", Columns: rows[0][1:last]}
	for _, row := range rows[1:] {
		t.Steps = append(t.Steps, timeline.Step{Cells: row[1:last], State: row[last], Held: strings.TrimSpace(row[last+1])})
	}
	return t
}

// writeFile writes a file by what writes to an io.Writer.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
