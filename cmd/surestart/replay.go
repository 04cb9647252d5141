package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/seed3893aba4/surestart/internal/scheduler"
)

var replayCommand = command{
	name: "replay", args: "FILE",
	about: "runs a schedule again that led to a difference between code and model",
	help: `A test or "surestart verify" that finds the shipped code to differ from its model
writes the schedule that led there into a file. replay runs it again, step by
step, on the code that this program was built from, and draws it. The exit
status is 1 if they still differ, 0 if not.`,
	prepare: func(*flag.FlagSet) func(*world, []string) error { return replay },
}

func replay(w *world, args []string) error {
	if len(args) != 1 {
		return usagef("want the name of one file, got %d", len(args))
	}
	f, err := os.Open(args[0])
	if err != nil {
		return usageError{err}
	}
	defer f.Close()
	s, err := scheduler.ReadSchedule(f)
	if err != nil {
		return usagef("%s: %w", args[0], err)
	}
	steps, err := s.Replay()
	var d *scheduler.Difference
	switch {
	case errors.As(err, &d):
		fmt.Fprintln(w.out, d)
		return errSaid
	case err != nil:
		return usagef("%s: %w", args[0], err)
	}
	fmt.Fprintf(w.out, "%s\nno difference: code and model agree on all %d steps\n", scheduler.Timeline(s.Bound, steps), len(steps))
	return nil
}
