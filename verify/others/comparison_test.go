package others

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/conformance"
)

var (
	write     = flag.Bool("write", false, "write the comparison into docs/figures/comparison.md")
	schedules = flag.Int("schedules", 500, "how many schedules for each library, twice")
)

// measured has a library's scorecards: of what its documents offer, and of what it may have in
// addition.
type measured struct {
	other
	offered, anyway *conformance.Scorecard
}

func measure(t *testing.T, o other) measured {
	s := conformance.Subject{New: o.new, Capabilities: o.offers, Parts: o.parts, Schedules: *schedules}
	m := measured{other: o, offered: conformance.Measure(t, s)}
	m.anyway = m.offered
	if o.offers != conformance.Everything {
		s.Capabilities |= anyway
		s.Schedules *= 2 // there is more that a schedule can end in
		if o.offers&conformance.ErrorsOnRepeat != 0 {
			s.Capabilities &^= conformance.Idempotent
		}
		m.anyway = conformance.Measure(t, s)
	}
	return m
}

// defects are those of others that the comparison has to find again.
var defects = map[string][]string{
	"singleflight":     {"G1"},
	"uber/fx":          {"G4", "G6"},
	"aiokafka 0.14.0":  {"G4", "G8"},
	"aiokafka PR 1143": {"G3", "G4", "G8"},
}

// One command measures all and writes the table:
//
//	cd verify/others && go test -run TestComparison -write -schedules 1000 .
func TestComparison(t *testing.T) {
	var done []measured
	for _, o := range all {
		t.Run(o.name, func(t *testing.T) {
			m := measure(t, o)
			if len(m.offered.Rows) == 0 { // in a child process
				return
			}
			done = append(done, m)
			for _, r := range m.offered.Rows {
				if want := slices.Contains(defects[o.name], r.ID); want && r.Verdict != conformance.No {
					t.Errorf("%s: %s; its defect is not found again", r.ID, r.Verdict)
				}
				if is, row := m.shown(r.ID); is != "" && is != "yes" && plain[o.name][r.ID] == nil {
					t.Errorf("%s: %s, and no plain test shows it\n%s", r.ID, is, row.Timeline())
				}
				if o.name == "surestart" && r.Verdict != conformance.Yes {
					t.Errorf("%s: %s\n%s", r.ID, r.Verdict, r.Timeline())
				}
			}
		})
	}
	if len(done) != len(all) || t.Failed() {
		return
	}
	found := 0 // each was looked for above
	for _, ids := range defects {
		found += len(ids)
	}
	fmt.Printf("CHECKED conformance others libraries=%d defects=%d\n", len(done), found)
	if *write {
		if err := os.WriteFile("../../docs/figures/comparison.md", page(done), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// shown returns the result of a library for a guarantee, in the table's words, with its row. It is
// "" if the guarantee was not tested, or not seen broken. A break that did not recur when its
// schedule ran again, and that no plain test shows, says nothing about the library.
func (m measured) shown(id string) (string, conformance.Row) {
	row, besides := m.offered.Row(id), m.anyway.Row(id)
	is := "**no**"
	switch w := documents[m.name][id]; {
	case row.Verdict == conformance.Yes:
		return "yes", row
	case row.Verdict != conformance.No:
		row, is = besides, "silent"
		fallthrough
	default:
		switch w.verb {
		case forbid:
			is = "forbidden"
		case foresee:
			is = "as documented"
		}
	}
	if row.Verdict != conformance.No || row.Reproduced == 0 && plain[m.name][id] == nil {
		return "", row
	}
	return is, row
}

// cell is a row as the table has it.
func (m measured) cell(id string) string {
	is, _ := m.shown(id)
	if is == "" || is == "yes" {
		return is
	}
	return fmt.Sprintf("[%s](#%s)", is, m.anchor(id))
}

func (m measured) anchor(id string) string {
	return strings.ToLower(regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(m.name+"-"+id, "-"))
}

// plain is the name of the test that shows it without the suite.
func (m measured) plain(id string) string {
	return "TestPlain/" + strings.ReplaceAll(m.name, " ", "_") + "/" + id
}

func page(all []measured) []byte {
	var b bytes.Buffer
	fmt.Fprint(&b, head)
	fmt.Fprint(&b, "\n| |")
	rows := all[0].offered.Rows
	for _, r := range rows {
		fmt.Fprintf(&b, " %s |", r.ID)
	}
	fmt.Fprintf(&b, "\n|---|%s\n", strings.Repeat("---|", len(rows)))
	for _, m := range all {
		fmt.Fprintf(&b, "| %s |", m.name)
		for _, r := range rows {
			fmt.Fprintf(&b, " %s |", m.cell(r.ID))
		}
		fmt.Fprintln(&b)
	}
	for _, m := range all {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n", m.name, m.about())
		for _, r := range rows {
			is, row := m.shown(r.ID)
			if is == "" || is == "yes" {
				continue
			}
			what := map[string]string{"**no**": "No.", "silent": "Not offered, and its documents are silent."}[is]
			if w := documents[m.name][r.ID]; w.quote != "" {
				what = strings.TrimSpace(strings.TrimPrefix(what, "Not offered, and its documents are silent.") + fmt.Sprintf(" %s: “%s” (%s, %s).", w.verb, w.quote, w.file, w.of))
			}
			timeline, _, _ := strings.Cut(row.Timeline(), "\n\ngoroutine ")
			fmt.Fprintf(&b, "\n<a id=%q></a>**%s %s.** %s `go test -run '%s' .`\n\n", m.anchor(r.ID), r.ID, r.Name, what, m.plain(r.ID))
			for line := range strings.Lines(timeline + "\n") {
				b.WriteString(strings.TrimRight("    "+line, " \n") + "\n")
			}
		}
	}
	return b.Bytes()
}

// about describes what was measured, and how.
func (m measured) about() string {
	version := m.version
	if mod, err := os.ReadFile("go.mod"); err == nil && version != "" {
		if at := regexp.MustCompile(regexp.QuoteMeta(version) + ` (v\S+)`).FindSubmatch(mod); at != nil {
			version += " " + string(at[1])
		}
	}
	if version != "" {
		version += ". "
	}
	how := ""
	if m.offered.Outside {
		how = ", in real time since it holds a lock while a hook runs"
	}
	return fmt.Sprintf("%sOffered: %v. %d schedules of that%s", version, m.offered.Capabilities, m.offered.Schedules, how)
}

const head = `<!-- Written by: cd verify/others && go test -run TestComparison -write -schedules 1000 . -->
# Other libraries, measured

What each library makes of [the guarantees](../guarantees.md). [The comparison](../comparison.md) explains the words and what was measured. This command writes the page:

    cd verify/others && go test -run TestComparison -write -schedules 1000 .

Each cell that is neither *yes* nor empty leads to the shortest schedule that was found, and to a plain test which shows the same without the suite. Run these tests in verify/others.
`
