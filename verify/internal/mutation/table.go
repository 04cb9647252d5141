package mutation

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/seed3893aba4/surestart/verify/internal/machine"
)

var tableRow = regexp.MustCompile(`(?m)^\t\{(Event\w+), (\w+), (\w+)\},\n`)

// ofTable returns the mutants of the transition table: rows that are dropped, rows that lead
// elsewhere, rows with their events exchanged, and rows that no action of the model has.
func ofTable(root string, table *machine.Table) ([]Mutant, error) {
	text, err := os.ReadFile(filepath.Join(root, table.File))
	if err != nil {
		return nil, err
	}
	type row struct {
		from, to    int // in text
		event, a, b string
	}
	var rows []row
	usual := make(map[string]string) // event -> where it leads, in its first row
	has := make(map[string]bool)     // event and state
	var events []string
	for _, m := range tableRow.FindAllSubmatchIndex(text, -1) {
		r := row{m[0], m[1], string(text[m[2]:m[3]]), string(text[m[4]:m[5]]), string(text[m[6]:m[7]])}
		rows = append(rows, r)
		if usual[r.event] == "" {
			usual[r.event] = r.b
			events = append(events, r.event)
		}
		has[r.event+" "+r.a] = true
	}
	if len(rows) != table.Rows {
		return nil, fmt.Errorf("%s: found %d of %d rows", table.File, len(rows), table.Rows)
	}
	var all []Mutant
	add := func(operator, what, diff string, from, to int, with string) {
		all = append(all, Mutant{
			ID: fmt.Sprintf("%s:%s:%s", table.File, operator, what), File: table.File, Line: 1 + bytes.Count(text[:from], []byte("\n")),
			Operator: operator, Diff: diff, text: slicesReplace(text, from, to, with),
		})
	}
	line := func(event, a, b string) string { return fmt.Sprintf("\t{%s, %s, %s},\n", event, a, b) }
	for i, r := range rows {
		what := r.event + "-" + r.a
		old := strings.TrimSpace(string(text[r.from:r.to]))
		add("drop-row", what, "- "+old, r.from, r.to, "")
		for _, s := range table.States {
			if s != r.b {
				add("redirect-row", what+"-"+s, old+" => "+s, r.from, r.to, line(r.event, r.a, s))
			}
		}
		if i+1 < len(rows) && rows[i+1].event != r.event {
			n := rows[i+1]
			add("swap-events", what, old+" <=> "+n.event, r.from, n.to, line(n.event, r.a, r.b)+line(r.event, n.a, n.b))
		}
	}
	end := rows[len(rows)-1].to
	for _, e := range events {
		for _, s := range table.States {
			if !has[e+" "+s] {
				add("add-row", e+"-"+s, "+ "+strings.TrimSpace(line(e, s, usual[e])), end, end, line(e, s, usual[e]))
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no mutant of the table")
	}
	return all, nil
}

func slicesReplace(text []byte, from, to int, with string) []byte {
	return bytes.Join([][]byte{text[:from], []byte(with), text[to:]}, nil)
}
