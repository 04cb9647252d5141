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
	write     = flag.Bool("write", false, "write the comparison into docs/comparison.md")
	schedules = flag.Int("schedules", 500, "how many schedules for each library, twice")
)

// measured is a library's scorecards: of what its documents offer, and of what it may have besides.
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
		if err := os.WriteFile("../../docs/comparison.md", page(done), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// shown is what a library makes of a guarantee, in the table's words, and the row that says so: "" where nothing was asked, or nothing
// seen. A break that did not come again when its schedule was run again, and that no plain test shows, says nothing about the library.
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
	if row.Verdict != conformance.No || row.Again == 0 && plain[m.name][id] == nil {
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

// about says what was measured, and how.
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
# Others, measured

What other libraries, and what most programs do instead of one, make of [the guarantees](guarantees.md), as
[conformance.Test](conformance.md) finds it. One command measures all and writes this page:

    cd verify/others && go test -run TestComparison -write -schedules 1000 .

How to read it. A *yes* says that no schedule of those drawn broke it. Each of the others leads to the shortest schedule that was found:

| | |
|---|---|
| **no** | the library's documents offer the guarantee, or every lifecycle is asked for it, and it is broken |
| forbidden | its documents forbid what leads there, such as concurrent calls |
| as documented | its documents say that it is so |
| silent | its documents do not offer it, and say nothing of it |
| (empty) | it is not offered, and was not asked or not seen broken |

Where the documents speak the sentence is quoted, with its file and whose comment it is; a test looks up that it stands there
([documents.go](../verify/others/documents.go), from which this page has them). None of these libraries claims to be what surestart
is. What counts as offered was set by hand, after the doc comments of the calls that an adapter makes (of aiokafka the docstrings), and is said below;
guides and issues were not read for it.

Every cell that is no *yes* is shown by a plain test too, without the suite and without the adapters ([plain_test.go](../verify/others/plain_test.go)): a
dozen lines, whose command stands beside the schedule, to be run in verify/others. aiokafka's show a second sketch of the same steps, and aiokafka itself is
measured [here](aiokafka.md). The adapters are in [verify/others](../verify/others), a dozen lines each. For sync.Once, the mutex, singleflight and
errgroup it is the pattern around them that is measured; aiokafka is a port of its start and stop, step by step, in Go (what stands between two
awaits is atomic). kafka-go's Writer has no start: its Dialer and Conn are measured, and how the Writer closes is told in the producer's documents.
`
