package scheduler

import (
	"fmt"
	"strings"

	"github.com/seed3893aba4/surestart/spec"
)

// Timeline draws a schedule as the model runs it: a column for each caller, one for the operations,
// and one for events from outside; a line for each step, with the state after it.
func Timeline(b spec.Bound, steps []spec.Step) string { return table(Rows(b, steps)) }

// Rows returns the timeline as a table, the header first. The last two columns are the state and
// the held parts.
func Rows(b spec.Bound, steps []spec.Step) [][]string {
	header := []string{"step"}
	for i := range b.Callers {
		header = append(header, fmt.Sprintf("c%d", i+1))
	}
	header = append(header, "operation", "outside", "state", "held")
	rows := [][]string{header}
	s := b.Init()
	for i, st := range steps {
		row := make([]string, len(header))
		row[0] = fmt.Sprint(i + 1)
		before := s
		st, modelled := Unmarked(st)
		next, ok := s, true
		if modelled {
			next, ok = b.Next(s, st)
		}
		if !ok {
			row[1] = fmt.Sprintf("%v: not enabled", st)
			rows = append(rows, row)
			break
		}
		s = next
		text := st.Action.String()
		switch {
		case !modelled:
			text = "chooses " + text
		case steps[i].Arg&marked != 0:
			text += " by the scope"
		}
		switch {
		case st.Action == spec.Timeout || st.Action == spec.Fail:
			row[b.Callers+2] = fmt.Sprintf("%s #%d", text, st.Arg)
		case !st.Action.OfCaller():
			row[b.Callers+1] = fmt.Sprintf("%s #%d", text, st.Arg)
		case st.Action == spec.Return:
			row[1+st.Arg] = text + " " + result(before.Callers[st.Arg])
		default:
			row[1+st.Arg] = text
		}
		for c := range b.Callers { // callers that another's step answered
			if uint8(c) != st.Arg || !st.Action.OfCaller() {
				if now := s.Callers[c]; now.Out != before.Callers[c].Out && now.Out != spec.OutNone {
					row[1+c] = "  answered " + result(now)
				}
			}
		}
		row[len(row)-2] = s.St.String()
		if s.Closing {
			row[len(row)-2] += ", closing"
		}
		for g := uint8(1); g <= s.Gen; g++ {
			if held := s.Attempt(g).Held; held > 0 {
				row[len(row)-1] += fmt.Sprintf("#%d: %d ", g, held)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func result(c spec.CallerVars) string {
	if c.N > 0 {
		return fmt.Sprintf("%v %d", c.Out, c.N)
	}
	return c.Out.String()
}

func table(rows [][]string) string {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			fmt.Fprintf(&line, "%-*s  ", width[i], cell)
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	return b.String()
}
