package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/seed3893aba4/surestart/verify/internal/machine"
	"github.com/seed3893aba4/surestart/verify/internal/mutation"
	"github.com/seed3893aba4/surestart/verify/internal/variant"
)

// evidence is what the layers recorded about single guarantees of a machine.
type evidence struct {
	*machine.Machine
	report   *Report
	manifest *machine.Manifest
	proof    struct {
		Unproved  []string
		NotProved map[string]string `json:"not_proved"` // a guarantee -> what is left out of it, and why
		Queries   []struct {
			Guarantee, Result string
			Seconds           float64
		}
	}
}

func gather(s *session, m *machine.Machine) (*evidence, error) {
	manifest, err := m.Specification.Load(s.Root)
	if err != nil {
		return nil, err
	}
	e := &evidence{Machine: m, report: s.report, manifest: manifest}
	err = readJSON(s.proofReport(), &e.proof)
	if errors.Is(err, fs.ErrNotExist) { // the proof was not run, or not to its end
		err = nil
	}
	return e, err
}

func readJSON(name string, into any) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// matrix has a cell for each guarantee and each layer that says something about it. It leaves out
// the others.
func (e *evidence) matrix() []Guarantee {
	var all []Guarantee
	for _, g := range e.Guarantees {
		row := Guarantee{ID: g.ID, Name: g.Name, Promise: g.Promise, Evidence: make(map[string]Evidence)}
		for _, l := range e.report.Layers {
			if l.Result == NotRun || l.Result == Interrupted {
				continue
			}
			if says, held := e.of(g, l); says != "" {
				cell := Evidence{Held, says}
				switch {
				case !held:
					cell.Result = Failed
				case l.Name == "proof" && says == e.proof.NotProved[g.Name]:
					cell.Result = NotProved
				}
				row.Evidence[l.Name] = cell
			}
		}
		all = append(all, row)
	}
	return all
}

// of returns what layer l says about g, and whether it holds. It returns "" if the layer says
// nothing.
func (e *evidence) of(g machine.Guarantee, l Layer) (says string, held bool) {
	held = l.Result == Held
	modelled := slices.Contains(e.AgainstModel, l.Name)
	if modelled || slices.Contains(e.AgainstContract, l.Name) {
		if modelled && e.inModel(g) {
			says = "code = model"
		}
		if caught := e.caughtIn(g, l); caught > 0 {
			says = strings.TrimPrefix(says+fmt.Sprintf("; %s caught here", several(caught, "seeded fault")), "; ")
		}
		return says, held
	}
	switch l.Name {
	case "tests":
		return e.tests(g, l)
	case "tlc":
		return e.tlc(g), held
	case "proof":
		return e.proved(g)
	case "faults":
		n, of := 0, 0
		for _, f := range e.report.Faults {
			if f.Guarantee == g.ID {
				of++
				if f.Caught {
					n++
				}
			}
		}
		if of == 0 {
			return "", held
		}
		return fmt.Sprintf("%d of %d caught by name", n, of), n == of
	case "mutants":
		n := 0
		for _, m := range e.report.Mutants {
			if m.Status == mutation.Killed && slices.Contains(m.Guarantees, g.ID) {
				n++
			}
		}
		if n > 0 {
			says = several(n, "mutant") + " killed in its name"
		}
		return says, true
	}
	return "", held
}

// caughtIn counts the faults of g that a layer caught by name.
func (e *evidence) caughtIn(g machine.Guarantee, l Layer) (n int) {
	for _, f := range e.report.Faults {
		if f.Guarantee == g.ID && slices.ContainsFunc(f.Catches, func(c variant.Catch) bool {
			return c.Layer == l.Name && c.Result == variant.Caught && slices.Contains(c.Guarantees, g.ID)
		}) {
			n++
		}
	}
	return n
}

var guaranteeTest = regexp.MustCompile(`/(\w+)\.Test(` + machine.IDPattern + `)[A-Z]\w*$`)

// tests counts the tests that have the guarantee's number in their name, by package.
func (e *evidence) tests(g machine.Guarantee, l Layer) (string, bool) {
	count := func(names []string) (by []string, n int) {
		per := make(map[string]int)
		var order []string
		for _, name := range names {
			if m := guaranteeTest.FindStringSubmatch(name); m != nil && m[2] == g.ID {
				if per[m[1]]++; per[m[1]] == 1 {
					order = append(order, m[1])
				}
				n++
			}
		}
		slices.Sort(order)
		for _, pkg := range order {
			by = append(by, fmt.Sprintf("%s %d", pkg, per[pkg]))
		}
		return by, n
	}
	passed, _ := count(l.log.Passed)
	if failed, n := count(l.log.Failed); n > 0 {
		return "failed in " + strings.Join(failed, ", "), false
	}
	return strings.Join(passed, ", "), true
}

// inModel reports whether g is a property that TLC checks.
func (e *evidence) inModel(g machine.Guarantee) bool {
	for _, m := range e.manifest.Models {
		if slices.ContainsFunc(m.Properties, g.Is) {
			return true
		}
	}
	return false
}

func (e *evidence) tlc(g machine.Guarantee) string {
	models, weak := 0, 0
	for _, m := range e.manifest.Models {
		if slices.Contains(m.In, e.report.Bound) && slices.ContainsFunc(m.Properties, g.Is) {
			models++
		}
	}
	for _, v := range e.manifest.Variants {
		if v.Guarantee == g.ID {
			weak++
		}
	}
	if models == 0 {
		return ""
	}
	return fmt.Sprintf("holds in %s; refuted in %s", several(models, "model"), several(weak, "weakened variant"))
}

// proved says what is proved about g for any number of callers or messages, and what is not, and why.
func (e *evidence) proved(g machine.Guarantee) (says string, held bool) {
	n, of, seconds := 0, 0, 0.0
	for _, q := range e.proof.Queries {
		if q.Guarantee == g.Name {
			of++
			seconds += q.Seconds
			if q.Result == "proved" {
				n++
			}
		}
	}
	not := e.proof.NotProved[g.Name]
	if of == 0 {
		return not, true
	}
	says = fmt.Sprintf("for any number: %d of %d queries, by Z3 in %.0f s", n, of, seconds)
	if not != "" {
		says += "; not proved: " + not
	}
	return says, n == of
}

func several(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
