package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/seed3893aba4/surestart/internal/oneline"
	"github.com/seed3893aba4/surestart/internal/strict"
	"github.com/seed3893aba4/surestart/internal/terminal"
	"github.com/seed3893aba4/surestart/internal/timeline"
	"github.com/seed3893aba4/surestart/spec"
	"github.com/seed3893aba4/surestart/verify/internal/lifecycle/scheduler"
	"github.com/seed3893aba4/surestart/verify/internal/lifecycle/trace"
)

// replay shows a file that a check has kept. A schedule, on which the shipped code differed from
// its model, is run again, step by step, on the code of this program. A trace of real goroutines,
// which the model refused, is checked again, and drawn up to the event that has no place. replay
// draws in colour on a terminal, and with -html as a page to step through with the arrow keys. It
// returns an error if code and model still differ.
func replay(_ context.Context, _ string, args []string) error {
	flags := flag.NewFlagSet("replay", flag.ContinueOnError)
	html := flags.String("html", "", "also write it to this `file`, as a page of HTML")
	if err := parse(flags, args, 1); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return usagef("replay wants the name of one file")
	}
	return replayFile(os.Stdout, flags.Arg(0), *html)
}

func replayFile(out io.Writer, path, html string) error {
	text, err := os.ReadFile(path)
	if err == nil {
		if strict.Has(text, "trace") {
			err = replayTrace(out, path, text, html)
		} else {
			err = replaySchedule(out, path, text, html)
		}
	}
	if err != nil && err != errSaid {
		err = usagef("%s", oneline.Escape(strings.ReplaceAll(err.Error(), "\n", "; ")))
	}
	return err
}

func replaySchedule(out io.Writer, path string, text []byte, html string) error {
	s, err := scheduler.ReadSchedule(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	steps, err := s.Replay()
	var d *scheduler.Difference
	if err != nil && !errors.As(err, &d) {
		return fmt.Errorf("%s: %w", path, err)
	}
	t := timelineOf(s.Bound, steps)
	if d != nil {
		t = timelineOf(d.Bound, d.Steps)
		t.Title = fmt.Sprintf("%v is broken", d.Guarantee)
		t.What = d.What
	}
	if html != "" {
		if err := t.SaveHTML(html); err != nil {
			return err
		}
	}
	drawn := t.Text(terminal.Is(out, os.Getenv))
	if d != nil {
		fmt.Fprintf(out, "code and model differ after %d steps: %s\n\n%s", len(d.Steps), t.Title, drawn)
		return errSaid
	}
	fmt.Fprintf(out, "%s\nno difference: code and model agree on all %d steps\n", drawn, len(steps))
	return nil
}

func replayTrace(out io.Writer, path string, text []byte, html string) error {
	run, err := trace.Read(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	t, refused := run.Timeline()
	if html != "" {
		if err := t.SaveHTML(html); err != nil {
			return err
		}
	}
	drawn := t.Text(terminal.Is(out, os.Getenv))
	if refused != nil {
		fmt.Fprintf(out, "the trace is no behaviour of the model: %s\n\n%s", t.Title, drawn)
		return errSaid
	}
	fmt.Fprintf(out, "%s\nthe model makes all %d steps\n", drawn, len(t.Steps))
	return nil
}

// timelineOf returns a schedule as the model runs it.
func timelineOf(b spec.Bound, steps []spec.Step) timeline.Timeline {
	rows := scheduler.Rows(b, steps)
	last := len(rows[0]) - 2
	t := timeline.Timeline{Title: "A schedule of the lifecycle", Columns: rows[0][1:last]}
	for _, row := range rows[1:] {
		t.Steps = append(t.Steps, timeline.Step{Cells: row[1:last], State: row[last], Held: strings.TrimSpace(row[last+1])})
	}
	return t
}
