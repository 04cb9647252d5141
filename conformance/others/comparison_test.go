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
		if o.offers&conformance.ErrorsOnRepeat != 0 {
			s.Capabilities &^= conformance.Idempotent
		}
		m.anyway = conformance.Measure(t, s)
	}
	return m
}

// defects are those of others that the comparison has to find again; each is also
// shown without the suite, in plain_test.go.
var defects = map[string][]string{
	"singleflight":     {"G1"},
	"uber/fx":          {"G4", "G6"},
	"aiokafka 0.14.0":  {"G4", "G8"},
	"aiokafka PR 1143": {"G3", "G4", "G8"},
}

// One command measures all and writes the table:
//
//	cd conformance/others && go test -run TestComparison -write -schedules 1000 .
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

// cell is a row as the table has it.
func (m measured) cell(id string) string {
	row, besides := m.offered.Row(id), m.anyway.Row(id)
	no := func(text string) string { return fmt.Sprintf("[%s](#%s)", text, m.anchor(id)) }
	switch {
	case row.Verdict == conformance.No && m.documents[id] != "":
		return no("no, as documented")
	case row.Verdict == conformance.No:
		return no("**no**")
	case row.Verdict == conformance.Yes:
		return "yes"
	case besides.Verdict == conformance.No:
		return no("not offered")
	}
	return ""
}

func (m measured) anchor(id string) string {
	return strings.ToLower(regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(m.name+"-"+id, "-"))
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
			row, what := m.offered.Row(r.ID), "No"
			switch besides := m.anyway.Row(r.ID); {
			case row.Verdict == conformance.No && m.documents[r.ID] != "":
				what = "No, as documented: " + m.documents[r.ID]
			case row.Verdict == conformance.No:
			case row.Verdict == conformance.Yes, besides.Verdict != conformance.No:
				continue
			default:
				row, what = besides, "Not offered"
			}
			timeline, _, _ := strings.Cut(row.Timeline(), "\n\ngoroutine ")
			fmt.Fprintf(&b, "\n<a id=%q></a>**%s %s.** %s.\n\n", m.anchor(r.ID), r.ID, r.Name, what)
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

const head = `<!-- Written by: cd conformance/others && go test -run TestComparison -write -schedules 1000 . -->
# Others, measured

What other libraries, and what most programs do instead of one, make of [the guarantees](../README.md#what-is-promised), as
[conformance.Test](conformance.md) finds it. One command measures all and writes this page:

    cd conformance/others && go test -run TestComparison -write -schedules 1000 .

How to read it: **no** is a guarantee that the library's documents offer, or that every lifecycle is asked for, and that a schedule breaks; *as documented* one that its documents
foresee; *not offered* one that they do not offer, and that it does not have; an empty cell one that is not offered, and that
was not asked or not seen broken. Each leads to the shortest schedule that was found. A *yes* says that no schedule of those drawn broke it.

None of these claims to be what surestart is. What counts as offered was set by hand, and is said below: after the doc comments for CometBFT, dskit, suture and fx, and by judgement for looplab/fsm, sarama,
kafka-go, aiokafka and the patterns, whose documents were not read for it line by line. The adapters are
in [conformance/others](../conformance/others), a dozen lines each. The defects in bold are shown without the suite too, in a
dozen lines each ([plain_test.go](../conformance/others/plain_test.go)), aiokafka's in a second sketch of the same steps, and in aiokafka itself [here](aiokafka.md); what is *not offered*, or *as documented*, is not. For sync.Once, the mutex, singleflight and
errgroup it is the pattern around them that is measured; aiokafka is a port of its start and stop, step by step, in Go (what stands between two awaits is atomic). kafka-go's Writer has no start: its Dialer and Conn are measured, and how the Writer closes is told in
the producer's documents.
`
