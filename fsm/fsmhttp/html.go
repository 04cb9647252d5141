package fsmhttp

import (
	"bytes"
	_ "embed"
	"html/template"
	"strconv"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/oneline"
)

//go:embed page.html
var pageHTML string

var page = template.Must(template.New("").Parse(pageHTML))

// A row is a source on the page.
type row struct {
	Name string
	fsm.Status
	For     time.Duration // how long the state has lasted; 0: not known
	Since   string        // when the state began
	Again   string        // when the resource is restarted; "": it is not
	Why     string        // the text of Cause
	Verdict string        // of Ready; "" on a Page
	Problem string        // of a ping
}

// newRow escapes the characters of names and errors that do not print: they could change the
// direction of text, or move the cursor of a terminal.
func newRow(name string, s fsm.Status) row {
	r := row{Name: oneline.Escape(name), Status: s, Since: s.Since.Format(time.RFC3339)}
	r.Held = nil
	for _, part := range s.Held {
		r.Held = append(r.Held, oneline.Escape(part))
	}
	r.Acquiring, r.Releasing = oneline.Escape(s.Acquiring), oneline.Escape(s.Releasing)
	if !s.Since.IsZero() {
		r.For = time.Since(s.Since).Truncate(time.Millisecond)
		if r.For > time.Minute {
			r.For = r.For.Truncate(time.Second)
		}
	}
	if !s.RestartAt.IsZero() {
		r.Again = s.RestartAt.Format(time.RFC3339)
	}
	if s.Cause != nil {
		r.Why = oneline.Line(s.Cause)
	}
	return r
}

// html writes the page. refresh is the query's number of seconds after which it reloads.
func (v view) html(to *bytes.Buffer, refresh string) error {
	seconds, err := strconv.ParseUint(refresh, 10, 16)
	if err != nil {
		seconds = 5
	}
	verdicts, columns := len(v.rows) > 0 && v.rows[0].Verdict != "", 8
	if verdicts {
		columns = 9
	}
	return page.Execute(to, struct {
		Title, Class string
		Rows         []row
		Table        bool
		Verdicts     bool // the rows have them
		Columns      int
		Refresh      uint64
	}{v.title, v.class, v.rows, v.table, verdicts, columns, seconds})
}
