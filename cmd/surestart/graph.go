package main

import (
	"flag"
	"fmt"
	"strings"

	"github.com/seed3893aba4/surestart/internal/diagram"
)

var graphCommand = command{
	name:  "graph",
	about: "draws the state machine, the algorithm, or a call",
	help: `
Draws what the specification says, from the table that is generated from TLC's
output and from the graphs of the executable models:

  machine    the states of a lifecycle and the events of its table
  algorithm  the states with the operation that runs, and the actions between them
  calls      where a caller is in its call, and the contract's actions between

As Mermaid (GitHub shows it), DOT (for Graphviz) or SVG, a picture that needs nothing else.`,
	prepare: prepareGraph,
}

func prepareGraph(flags *flag.FlagSet) func(*world, []string) error {
	level := flags.String("level", "machine", "`what` to draw: "+strings.Join(diagram.Levels(), ", "))
	format := flags.String("format", "mermaid", "`how`: mermaid, dot or svg")
	return func(w *world, args []string) error {
		if len(args) > 0 {
			return usagef("unexpected argument %q", args[0])
		}
		d, err := diagram.Of(*level)
		if err != nil {
			return usageError{err}
		}
		text := ""
		switch *format {
		case "mermaid":
			text = d.Mermaid()
		case "dot":
			text = d.DOT()
		case "svg":
			if text, err = d.SVG(); err != nil {
				return err
			}
		default:
			return usagef("there is no format %q: want mermaid, dot or svg", *format)
		}
		fmt.Fprint(w.out, text)
		return nil
	}
}
