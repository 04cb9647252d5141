package demo

import (
	"fmt"
	"time"
)

// A Failure is a promise that was not kept.
type Failure struct {
	Guarantee string `json:"guarantee"` // as in the specification: "G1 SingleFlight"
	What      string `json:"what"`
}

// The guarantees that the storm is about, as the specification names them.
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

// verdict is what of the promises col does not keep.
func verdict(col Column) []Failure {
	var failures []Failure
	check := func(kept bool, guarantee, what string, args ...any) {
		if !kept {
			failures = append(failures, Failure{guarantee, fmt.Sprintf(what, args...)})
		}
	}
	check(col.Stuck == "", g12, "it did not get through the storm: %s", col.Stuck)
	check(col.Opens == 1, g1, "the broker counted %s while the callers started it, not 1", plural(col.Opens, "opening"))
	check(col.Reopens == 2, g1, "the broker counted %s for the two times that it was started again", plural(col.Reopens, "opening"))
	check(col.ToldEarly == 0, g3, "%s told \"ok\" before anything was open", plural(col.ToldEarly, "caller"))
	check(col.Denied == 0, g6, "%s not told \"ok\" though the broker worked and they waited", plural(col.Denied, "caller"))
	check(col.StateAfter, g4, "it was not idle after a failed start or a stop")
	check(col.Legal, "the table", "a transition was seen that the specification does not have")
	check(col.Drained, g9, "a stop over a broker that works did not end well")
	check(col.InFlight > 0 && col.CutOff > 0, g9, "no message was in flight when the broker hung: the stop was not tried (%d in flight, %d cut off)", col.InFlight, col.CutOff)
	check(stoppedInTime(col), g12, "the stop over a broker that hangs took %s, not 2 s at most", hungTime(col))
	check(col.Conns == 0, g7, "%s open after a stop", plural(col.Conns, "connection"))
	check(col.Goroutines == 0, g7, "%s left after a stop", plural(col.Goroutines, "goroutine"))
	check(col.Acknowledged == col.Messages, g12, "%s of %s messages were acknowledged", Commas(col.Acknowledged), Commas(col.Messages))
	check(col.Lost == 0, g9, "%s acknowledged and not on the broker", plural(col.Lost, "message"))
	check(col.Duplicates == 0, d3, "messages are on the broker twice: %s", Commas(col.Duplicates))
	return failures
}

func hungTime(c Column) string {
	if c.Stuck != "" && c.HungTime == 0 {
		return "-"
	}
	if !c.HungEnded {
		return fmt.Sprintf("over %d s", int(stopLimit.Seconds()))
	}
	return seconds(time.Duration(c.HungTime) * time.Millisecond)
}

// A row of the closing table: what was seen of each column, whether that is as
// promised, and by which guarantee.
type row struct {
	what      string
	value     func(Column) string
	kept      func(Column) bool
	guarantee string
}

func count(what string, value func(Column) int, kept func(int) bool, guarantee string) row {
	return row{what, func(c Column) string { return Commas(value(c)) }, func(c Column) bool { return kept(value(c)) }, guarantee}
}

func rows(cfg Config) []row {
	is := func(want int) func(int) bool { return func(n int) bool { return n == want } }
	return []row{
		count(fmt.Sprintf("openings the broker counted, %s callers", Commas(cfg.Callers)), func(c Column) int { return int(c.Opens) }, is(1), g1),
		count("the same, of two more starts by 8 callers", func(c Column) int { return int(c.Reopens) }, is(2), g1),
		count("told \"ok\" before anything was open", func(c Column) int { return c.ToldEarly }, is(0), g3),
		{"time of the stop while the broker hung", hungTime, stoppedInTime, g12},
		count("connections open after a stop", func(c Column) int { return c.Conns }, is(0), g7),
		count("goroutines left after a stop", func(c Column) int { return c.Goroutines }, is(0), g7),
		count("messages acknowledged", func(c Column) int { return c.Acknowledged }, is(cfg.Messages), g12),
		count("  found on the broker", func(c Column) int { return c.Found }, is(cfg.Messages), ""),
		count("  lost", func(c Column) int { return c.Lost }, is(0), g9),
		count("  found twice", func(c Column) int { return c.Duplicates }, is(0), d3),
	}
}

func stoppedInTime(c Column) bool {
	return c.HungEnded && c.HungTime <= stopPromise.Milliseconds()
}

// table prints the columns side by side.
func (s *Screen) table(cfg Config, cols []Column) {
	const width = 46
	head := fmt.Sprintf("%-*s", width, "")
	for _, c := range cols {
		head += fmt.Sprintf("%14s", c.Name)
	}
	s.title(head)
	for _, r := range rows(cfg) {
		line := fmt.Sprintf("%-*s", width, r.what)
		for _, c := range cols {
			colour := green
			if !r.kept(c) {
				colour = red
			}
			value := r.value(c)
			if c.Stuck != "" && value == "0" { // not counted
				value, colour = "-", dim
			}
			line += s.paint(colour, fmt.Sprintf("%14s", value))
		}
		if r.guarantee != "" {
			line += "   " + s.paint(dim, r.guarantee)
		}
		s.line("%s", line)
	}
}
