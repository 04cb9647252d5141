package demo

import (
	"fmt"
	"slices"
	"time"

	"github.com/seed3893aba4/surestart/internal/terminal"
)

// column is what one system did in the storm.
type column struct {
	Name       string
	Opens      int           // openings that the brokers counted while the crowd started it
	Reopens    int           // the same, for the two times that it was started again
	Early      int           // callers that got nil before anything was open
	Denied     int           // patient callers that got an error though the broker worked
	StateAfter bool          // idle after each failed start and each stop; true for the naive flag, which has no state
	Legal      bool          // every transition is in the specification's table
	Drained    bool          // each stop over a broker that works returned nil
	CutOff     int           // messages that the stop over a broker that hangs says it cut off
	InFlight   int           // messages in flight when that stop began
	HungTime   time.Duration // of that stop; stopLimit: it did not return
	Conns      int           // connections open after a stop: the most of several looks
	Goroutines int           // left after a stop: the most of several looks

	Acknowledged, Found, Lost, Duplicates int

	Stuck string // why it did not get through; the counts that follow are then zero
}

// The guarantees that the storm tests, as the specification names them.
const (
	g1  = "G1 SingleFlight"
	g3  = "G3 StartedIsOpen"
	g4  = "G4 Rollback"
	g6  = "G6 NoForeignCancellation"
	g7  = "G7 NoLeak"
	g9  = "G9 DrainFirst"
	g12 = "G12 Progress"
	d3  = "D3 Once"
)

// A promise is one thing that a system keeps or not.
type promise struct {
	what      string
	value     string
	kept      bool
	guarantee string
}

// rows are the promises in the closing table.
func rows(cfg Config, c column) []promise {
	count := func(what string, n, want int, guarantee string) promise {
		return promise{what, terminal.Commas(n), n == want, guarantee}
	}
	hung := seconds(c.HungTime)
	if c.HungTime == stopLimit {
		hung = "over " + hung
	}
	return []promise{
		count(fmt.Sprintf("openings the broker counted, %s callers", terminal.Commas(cfg.Callers)), c.Opens, 1, g1),
		count("the same, of two more starts by 8 callers", c.Reopens, 2, g1),
		count("got \"ok\" before anything was open", c.Early, 0, g3),
		{"time of the stop while the broker hung", hung, c.HungTime <= stopPromise, g12},
		count("connections open after a stop", c.Conns, 0, g7),
		count("goroutines left after a stop", c.Goroutines, 0, g7),
		count("messages acknowledged", c.Acknowledged, cfg.Messages, g12),
		count("  found on the broker", c.Found, cfg.Messages, ""),
		count("  lost", c.Lost, 0, g9),
		count("  found twice", c.Duplicates, 0, d3),
	}
}

// failures are the promises that c did not keep.
func failures(cfg Config, c column) []promise {
	all := append(rows(cfg, c),
		promise{"it did not get through the storm", c.Stuck, c.Stuck == "", g12},
		promise{"callers that waited, and got an error though the broker worked", terminal.Commas(c.Denied), c.Denied == 0, g6},
		promise{"idle after each failed start and each stop", "no", c.StateAfter, g4},
		promise{"every transition is in the specification's table", "no", c.Legal, "the table"},
		promise{"a stop over a broker that works returns nil", "no", c.Drained, g9},
		promise{"messages in flight and cut off by the stop over a broker that hangs", fmt.Sprintf("%d, %d", c.InFlight, c.CutOff), c.InFlight > 0 && c.CutOff > 0, g9},
	)
	return slices.DeleteFunc(all, func(p promise) bool { return p.kept || p.guarantee == "" })
}
