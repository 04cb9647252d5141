package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/seed3893aba4/surestart/verify/internal/faults"
	"github.com/seed3893aba4/surestart/verify/internal/mutation"
	"github.com/seed3893aba4/surestart/verify/internal/testlog"
)

// The results of a layer, of the whole run, or of a guarantee in a layer.
const (
	Held        = "held"
	Failed      = "FAILED"
	NotRun      = "not run"
	Interrupted = "interrupted"
	NotChecked  = "not checked" // of a layer that could not check here, and says so: no failure
)

// Report is report.json. Schema changes when a field changes its meaning or is removed.
type Report struct {
	Schema     int               `json:"schema"`
	Bound      string            `json:"bound"`
	Result     string            `json:"result"`
	Began      time.Time         `json:"began"`
	Seconds    float64           `json:"seconds"`
	Commit     string            `json:"commit"`
	Modified   bool              `json:"modified"` // the checkout differs from the commit
	Host       Host              `json:"host"`
	Versions   map[string]string `json:"versions"` // of what was checked with
	Layers     []Layer           `json:"layers"`
	Guarantees []Guarantee       `json:"guarantees"`
	Faults     []faults.Result   `json:"faults"`
	Mutants    []mutation.Result `json:"mutants"`
	Unproved   []string          `json:"unproved"` // action x conjunct that the proof did not close

	pictures []picture // of the machines
}

// picture is the picture of a machine, as SVG.
type picture struct{ of, svg string }

// Host is the computer on which the run took place.
type Host struct {
	OS    string `json:"os"`
	Arch  string `json:"arch"`
	Cores int    `json:"cores"`
}

// Layer is what one layer found.
type Layer struct {
	Name     string           `json:"name"`
	About    string           `json:"about"`
	Result   string           `json:"result"`
	Seconds  float64          `json:"seconds"`
	Passed   int              `json:"passed"` // tests
	Failed   int              `json:"failed"`
	Skipped  []testlog.Skip   `json:"skipped"`
	Figures  []testlog.Figure `json:"figures"`
	Failures []string         `json:"failures"`

	log *testlog.Log
}

// Guarantee is the evidence of each layer for one guarantee, by the layer's name.
type Guarantee struct {
	ID       string              `json:"id"`
	Name     string              `json:"name"`
	Promise  string              `json:"promise"`
	Evidence map[string]Evidence `json:"evidence"`
}

// NotProved is the result of the proof for a guarantee that it says nothing about. Says has the reason.
const NotProved = "not proved"

// Evidence is a result, held, FAILED or not proved, and its grounds.
type Evidence struct {
	Result string `json:"result"`
	Says   string `json:"says"`
}

func newReport(o Options) *Report {
	return &Report{
		Schema: 1, Bound: o.Bound, Result: Held, Began: time.Now().UTC().Truncate(time.Second),
		Host:     Host{runtime.GOOS, runtime.GOARCH, runtime.NumCPU()},
		Versions: map[string]string{"go": runtime.Version()},
	}
}

// finish fills in what follows from the results of the layers.
func (r *Report) finish(s *session, elapsed time.Duration) error {
	r.Seconds = elapsed.Seconds()
	for _, l := range r.Layers {
		switch {
		case l.Result == Failed:
			r.Result = Failed
		case l.Result != Held && l.Result != NotChecked && r.Result == Held:
			r.Result = Interrupted
		}
	}
	// An interrupted run is reported too.
	r.identify(context.Background(), s)
	for _, m := range s.Machines {
		if m.Picture != "" {
			svg, err := os.ReadFile(filepath.Join(s.Root, filepath.FromSlash(m.Picture)))
			if err != nil {
				return err
			}
			r.pictures = append(r.pictures, picture{m.Name, string(svg)})
		}
		e, err := gather(s, m)
		if err != nil {
			return err
		}
		r.Unproved = e.proof.Unproved
		r.Guarantees = append(r.Guarantees, e.matrix()...)
	}
	return nil
}

// identify records what was checked, and with what, as far as that can be found.
func (r *Report) identify(ctx context.Context, s *session) {
	ask := func(argv ...string) string {
		out, err := s.program(ctx, argv...).Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	r.Commit = ask("git", "rev-parse", "HEAD")
	r.Modified = ask("git", "status", "--porcelain", "--untracked-files=no") != ""
	if v := ask("go", "env", "GOVERSION"); v != "" {
		r.Versions["go"] = v
	}
	for _, line := range strings.Split(ask("go", "list", "-m", "-f", "{{if not (or .Main .Indirect)}}{{.Path}} {{.Version}}{{end}}", "all"), "\n") {
		if path, version, ok := strings.Cut(line, " "); ok {
			r.Versions[path] = version
		}
	}
	if s.env["TLC_JAR"] == "" {
		return
	}
	java, _, _ := strings.Cut(ask("bash", "-c", "java -version 2>&1"), "\n")
	r.Versions["java"] = java
	for _, name := range []string{"TLC_JAR", "KAFKA_LIB"} {
		r.Versions[strings.ToLower(strings.Split(name, "_")[0])] = strings.TrimSuffix(filepath.Base(s.env[name]), ".jar")
	}
	if pinned, err := os.ReadFile(filepath.Join(s.Root, "verify/proof/requirements.txt")); err == nil {
		if _, version, ok := strings.Cut(string(pinned), "z3-solver=="); ok {
			r.Versions["z3"] = strings.Fields(version)[0]
		}
	}
}

// failed lists the layers that did not hold.
func (r *Report) failed() []string {
	var names []string
	for _, l := range r.Layers {
		if l.Result != Held && l.Result != NotChecked {
			names = append(names, l.Name)
		}
	}
	return names
}

func (r *Report) write(dir string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	page, err := r.page()
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"report.json": append(text, '\n'), "report.html": page, "report.txt": []byte(r.text())} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// String is a layer's line.
func (l Layer) String() string {
	said := l.About
	if n := l.Passed + l.Failed + len(l.Skipped); n > 0 {
		said = fmt.Sprintf("%d tests passed, %d failed, %d skipped", l.Passed, l.Failed, len(l.Skipped))
	}
	return fmt.Sprintf("%-10s %-11s %5.0f s  %.100s", l.Name, l.Result, l.Seconds, said)
}

// text returns the whole report as text.
func (r *Report) text() string {
	var b strings.Builder
	for _, l := range r.Layers {
		fmt.Fprintln(&b, l)
		for _, line := range headed(l.Figures) {
			fmt.Fprintf(&b, "%31s  %s\n", "", line)
		}
		for _, f := range l.Failures {
			fmt.Fprintf(&b, "%31s! %s\n", "", f)
		}
	}
	fmt.Fprintf(&b, "\n%-27s %s\n", "guarantee", "what was shown, by which layer")
	for _, g := range r.Guarantees {
		fmt.Fprintf(&b, "%-27s %s\n", g.ID+" "+g.Name, strings.Join(r.shown(g), "; "))
	}
	for _, u := range r.Unproved {
		fmt.Fprintf(&b, "not proved: %s\n", u)
	}
	return b.String() + "\n" + r.verdict()
}

// verdict summarises the run: what was skipped, which layers failed, how many tests passed.
func (r *Report) verdict() string {
	var b strings.Builder
	passed, failed, skipped := 0, 0, 0
	reasons := make(map[string]int)
	for _, l := range r.Layers {
		passed, failed, skipped = passed+l.Passed, failed+l.Failed, skipped+len(l.Skipped)
		for _, s := range l.Skipped {
			reasons[s.Said]++
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(&b, "%d skipped: %s\n", reasons[reason], reason)
	}
	verdict := r.Result
	switch r.Result {
	case Held:
		verdict = "all layers hold"
	case Failed:
		verdict = "FAILED: " + strings.Join(r.failed(), ", ")
	}
	fmt.Fprintf(&b, "check %s: %s (%.0f s)\n", r.Bound, verdict, r.Seconds)
	fmt.Fprintf(&b, "%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	return b.String()
}

// shown lists a guarantee's evidence in the order of the layers. Layers that say the same share a
// line.
func (r *Report) shown(g Guarantee) []string {
	var words []string // what is said
	by := make(map[string][]string)
	for _, l := range r.Layers {
		e, ok := g.Evidence[l.Name]
		if !ok {
			continue
		}
		says := e.Says
		if e.Result != Held {
			says = e.Result + " " + says
		}
		if by[says] == nil {
			words = append(words, says)
		}
		by[says] = append(by[says], l.Name)
	}
	for i, says := range words {
		words[i] = strings.Join(by[says], ", ") + ": " + says
	}
	return words
}

// headed returns a line for each heading of the figures: "heading: key=1,234 key=5".
func headed(figures []testlog.Figure) []string {
	var lines []string
	heading := ""
	for _, f := range figures {
		if f.Heading != heading || lines == nil {
			heading = f.Heading
			lines = append(lines, heading+":")
		}
		lines[len(lines)-1] += fmt.Sprintf(" %s=%s", f.Key, commas(f.N))
	}
	return lines
}

// commas writes 1234567 as 1,234,567.
func commas(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
