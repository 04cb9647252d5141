package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	recording "github.com/seed3893aba4/surestart/fsm/flight"
	"github.com/seed3893aba4/surestart/internal/strict"
	"github.com/seed3893aba4/surestart/internal/timeline"
)

var replayCommand = command{
	name: "replay", args: " FILE",
	about: "draws a recording of a lifecycle's last transitions, and checks it",
	help: `
Draws the last transitions of a lifecycle, which a recorder of package flight wrote
to FILE: as text, and with -html as a page to step through with the arrow keys. With
-check it compares them with the specification's machine, and the exit status is 1 if
the machine does not allow them.

A schedule or a trace that a check has kept is drawn in a clone: ./check replay FILE.`,
	prepare: prepareReplay,
}

func prepareReplay(flags *flag.FlagSet) func(*world, []string) error {
	html := flags.String("html", "", "also write it to this `file`, as a page of HTML")
	check := flags.Bool("check", false, "compare it with the specification")
	return func(w *world, args []string) error {
		if len(args) != 1 {
			return usagef("want the name of one file, got %d names", len(args))
		}
		text, err := os.ReadFile(args[0])
		if err != nil {
			return usageError{err}
		}
		if !strict.Has(text, "recording") {
			// To draw the files of the checks takes the code that was checked.
			return usagef("%s is not a recording of package flight; for a schedule or a trace of a check, run ./check replay in a clone of surestart", args[0])
		}
		return replayRecording(w, args[0], text, *html, *check)
	}
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
		if err := t.SaveHTML(html); err != nil {
			return err
		}
	}
	fmt.Fprint(w.out, t.Text(w.terminal))
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
