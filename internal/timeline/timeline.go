// Package timeline shows a run step by step: as text for a terminal, and as a page of HTML
// with keys for the steps.
package timeline

import (
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/seed3893aba4/surestart/internal/oneline"
)

// A Timeline is a table with a column for each party, time downwards.
type Timeline struct {
	Title   string
	Columns []string // one for each party
	Steps   []Step
	What    []string // what is wrong with the last step; empty: nothing
}

// A Step is one line of a Timeline.
type Step struct {
	Cells []string // as many as Columns
	State string   // the state after it: one of fsm's, perhaps with more text after a comma
	Held  string   // the parts held after it
}

// Breaks reports whether step i is the last one, and wrong.
func (t Timeline) Breaks(i int) bool { return len(t.What) > 0 && i == len(t.Steps)-1 }

// colours are the ANSI codes of the states.
var colours = map[string]string{"Idle": "37", "Starting": "33", "Started": "32", "Stopping": "35", "Closed": "90"}

// printable returns t with escaped texts: an escape sequence in a recorded file must not
// reach the terminal.
func (t Timeline) printable() Timeline {
	all := func(texts []string) []string {
		escaped := make([]string, 0, len(texts))
		for _, text := range texts {
			escaped = append(escaped, oneline.Escape(text))
		}
		return escaped
	}
	shown := Timeline{Title: oneline.Escape(t.Title), Columns: all(t.Columns)}
	for _, s := range t.Steps {
		shown.Steps = append(shown.Steps, Step{all(s.Cells), oneline.Escape(s.State), oneline.Escape(s.Held)})
	}
	for _, what := range t.What {
		shown.What = append(shown.What, strings.Join(all(strings.Split(what, "\n")), "\n"))
	}
	return shown
}

// Text returns the table for a terminal, in colours if colour is true. Characters that do
// not print are escaped.
func (t Timeline) Text(colour bool) string {
	t = t.printable()
	head := append(append([]string{"step"}, t.Columns...), "state", "held")
	rows := [][]string{head}
	for i, s := range t.Steps {
		rows = append(rows, append(append([]string{fmt.Sprint(i + 1)}, s.Cells...), s.State, s.Held))
	}
	width := make([]int, len(head))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	paint := func(code, text string) string {
		if !colour || code == "" || strings.TrimSpace(text) == "" {
			return text
		}
		return "\x1b[" + code + "m" + text + "\x1b[0m"
	}
	var b strings.Builder
	for n, row := range rows {
		line := ""
		for i, cell := range row {
			text := cell + strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i == len(row)-1 {
				text = cell
			}
			code := ""
			switch {
			case n == 0:
				code = "1"
			case t.Breaks(n - 1):
				code = "1;31"
			case i == len(row)-2:
				code = colours[word(cell)]
			}
			if line += paint(code, text); i < len(row)-1 {
				line += "  "
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	for _, what := range t.What {
		b.WriteString(paint("1;31", "✗ "+what) + "\n")
	}
	return b.String()
}

func word(state string) string {
	state, _, _ = strings.Cut(state, ",")
	return state
}

//go:embed timeline.html
var page string

var pageTemplate = template.Must(template.New("timeline").Funcs(template.FuncMap{
	"word": word, "add": func(a, b int) int { return a + b },
}).Parse(page))

// WriteHTML writes a self-contained page. The arrow keys, j and k, Home and End step through
// it. Characters that do not print are escaped. It returns the error of w.
func (t Timeline) WriteHTML(w io.Writer) error { return pageTemplate.Execute(w, t.printable()) }

// SaveHTML writes the page into a file.
func (t Timeline) SaveHTML(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(t.WriteHTML(f), f.Close())
}
