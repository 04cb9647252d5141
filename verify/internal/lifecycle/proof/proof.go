// Package proof runs the proof beyond any bound. There are two inductive invariants. TLC
// checks the algorithm's, tla/Inductive.tla, at small bounds, and Z3 proves it for any. Only Z3 proves
// delivery's. See verify/proof/README.md.
package proof

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed3893aba4/surestart/verify/internal/cli"
	delivery "github.com/seed3893aba4/surestart/verify/internal/delivery/proof"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
	"github.com/seed3893aba4/surestart/verify/internal/tools"
)

const usage = `./check proof proves the guarantees beyond any bound, by an inductive invariant, with TLC and Z3:

  ./check proof quick   Z3's proof, some thousand edges; TLC at the smallest bound (a minute)
  ./check proof ci      with the controls, 8,000 edges, TLC from all states of Inv (some minutes)
  ./check proof deep    every edge of TLC's graph at CI's bound; TLC on more samples

It needs Python 3.9 or newer with venv; the pinned z3-solver goes into a virtualenv in the cache. TLC is $TLC_JAR, or
what is fetched. The report is $SURESTART_PROOF_REPORT, or verify/proof/report.json.`

// A model is a module under a configuration with changes. The module is Inductive.tla, unless the
// configuration is Progress.cfg.
type model struct {
	name    string
	states  int // pinned; 0: at random, not as many each time
	cfg     string
	changes []change
}

// A change changes a configuration. It returns false if there is nothing to change.
type change func(cfg string) (string, bool)

// set gives constants other values: "MaxCalls = 1".
func set(constants ...string) change {
	return func(cfg string) (string, bool) {
		for _, line := range constants {
			name, _, _ := strings.Cut(line, " ")
			is := regexp.MustCompile(`(?m)^( +` + name + `) *= .*$`)
			if !is.MatchString(cfg) {
				return "", false
			}
			cfg = is.ReplaceAllLiteralString(cfg, "    "+line)
		}
		return cfg, true
	}
}

// statesOnly removes the properties of steps, which Z3 proves. In deep TLC checks them too.
func statesOnly(cfg string) (string, bool) {
	cfg, _, ok := strings.Cut(cfg, "\nPROPERTIES\n")
	return cfg + "\n", ok
}

// without removes a conjunct from Inv.
func without(conjunct string) change {
	return func(cfg string) (string, bool) {
		before, after, ok := strings.Cut(cfg, "\nCONSTANTS\n")
		return before + "\nCONSTANTS\n    " + conjunct + " <- Nothing\n" + after, ok
	}
}

var (
	oneCall  = set("MaxCalls = 1")
	restarts = set("Retries = FALSE", "MaxRestarts = 1")
	few      = set("Samples = 20")
	many     = set("Samples = 400")
)

// A mode is the extent of the proof: quick, ci or deep.
type mode struct {
	models   []model  // two at a time, the longest first
	without  []string // TLC refutes Inv without each of these conjuncts
	edges    int      // of the model ci at least; 0: all
	ofOthers int      // of the models stoppers and restart

	ofDelivery int // edges of each of delivery's models and actions
}

// progress is the configuration for the argument for G12. TLC checks the conditions and lemmas of
// the argument on whole graphs.
const progress = "Progress.cfg"

var modes = map[string]mode{
	"quick": {models: []model{
		{"inductive-restart", 717653, "Inductive.cfg", []change{oneCall, restarts, statesOnly}},
		{"inductive-1-call", 149946, "Inductive.cfg", []change{oneCall, statesOnly}},
		{"reachable-quick", 8155, "InductiveQuick.cfg", nil},
	}, edges: 3000, ofOthers: 1000, ofDelivery: 1},
	"ci": {models: []model{
		{"inductive-restart", 717653, "Inductive.cfg", []change{oneCall, restarts, statesOnly}},
		{"inductive-samples-restart", 0, "InductiveSample.cfg", []change{few, restarts}},
		{"inductive-samples", 0, "InductiveSample.cfg", []change{few}},
		{"progress", 8155, progress, nil},
		{"reachable-restart", 97136, "InductiveRestart.cfg", nil},
		{"reachable-quick", 8155, "InductiveQuick.cfg", nil},
	}, without: []string{"OneOperation", "HeldFits", "UsesFit"}, // quick to refute; Z3 refutes the others
		edges: 8000, ofOthers: 2500, ofDelivery: 12},
	"deep": {models: []model{
		{"reachable-ci", 286938, "InductiveCI.cfg", nil},
		{"inductive", 779062, "Inductive.cfg", nil},
		{"inductive-restart", 717653, "Inductive.cfg", []change{oneCall, restarts}},
		{"inductive-samples-restart", 0, "InductiveSample.cfg", []change{many, restarts}},
		{"inductive-samples", 0, "InductiveSample.cfg", []change{many}},
		{"progress-restart", 9130, progress, []change{restarts}},
		{"progress", 8155, progress, nil},
		{"reachable-restart", 97136, "InductiveRestart.cfg", nil},
		{"reachable-quick", 8155, "InductiveQuick.cfg", nil},
	}, ofDelivery: 100}, // and TLC refutes Inv without each of refutable
}

var (
	inv      = regexp.MustCompile(`(?ms)^Inv ==.*?\n\n`)
	conjunct = regexp.MustCompile(`[A-Z][A-Za-z]+`)
	// Without GenFits or PlaceFits TLC stops at an attempt that does not exist. Nothing rests on
	// RelErrFits, and only the argument for progress rests on EndedFits.
	irrefutable = []string{"Inv", "TypeOK", "GenFits", "PlaceFits", "RelErrFits", "EndedFits"}
)

// refutable returns the conjuncts of Inv without which TLC must refute the rest.
func refutable(root string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(root, "tla", "Inductive.tla"))
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(conjunct.FindAllString(inv.FindString(string(text)), -1), func(name string) bool { return slices.Contains(irrefutable, name) })
	if names == nil {
		return nil, errors.New("no conjuncts of Inv in Inductive.tla")
	}
	return names, nil
}

// Main runs ./check proof.
func Main(ctx context.Context, root string, args []string) error {
	if len(args) != 1 {
		return cli.Usage(usage)
	}
	m, ok := modes[args[0]]
	if !ok {
		return cli.Usage(usage)
	}
	dir := filepath.Join(root, "verify", "proof")
	python, err := tools.Venv(ctx, os.Stderr, filepath.Join(dir, "requirements.txt"))
	if err != nil {
		return err
	}
	t, err := tlc.Install(ctx)
	if err != nil {
		return err
	}
	if args[0] == "deep" {
		if m.without, err = refutable(root); err != nil {
			return err
		}
	}
	scratch, err := os.MkdirTemp("", "surestart-proof")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	report := cmp.Or(os.Getenv("SURESTART_PROOF_REPORT"), filepath.Join(dir, "report.json"))
	z3 := []string{filepath.Join(dir, "check.py"), args[0], report}
	ofDelivery := filepath.Join(scratch, "delivery.jsonl")
	jobs, tlcs := errgroup.WithContext(ctx)
	jobs.SetLimit(2) // each on one processor
	byTLC(tlcs, jobs, t, m)
	for _, e := range []struct {
		model string
		n     int
	}{{"ci", m.edges}, {"stoppers", m.ofOthers}, {"restart", m.ofOthers}} {
		file := filepath.Join(scratch, e.model+".jsonl")
		z3 = append(z3, file)
		jobs.Go(func() error {
			if err := writeEdges(file, root, e.model, e.n); err != nil {
				return fmt.Errorf("the edges of %s: %w", e.model, err)
			}
			return nil
		})
	}
	jobs.Go(func() error {
		if err := delivery.WriteEdges(ofDelivery, m.ofDelivery); err != nil {
			return fmt.Errorf("the edges of delivery: %w", err)
		}
		return nil
	})
	if err := jobs.Wait(); err != nil {
		return err
	}
	if m.without != nil {
		fmt.Printf("CHECKED proof/tlc-left-out refuted=%d\n", len(m.without))
	}
	for _, one := range [][]string{z3, {filepath.Join(dir, "delivery", "prove.py"), args[0], report, ofDelivery}} {
		say("Z3: %s", one[0])
		cmd := exec.CommandContext(ctx, python, append([]string{"-B"}, one...)...)
		cmd.Env = append(os.Environ(), "TLC_JAR="+t.Jar)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("Z3's proof: %w", err)
		}
	}
	return nil
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "proof: "+format+"\n", args...) }

// byTLC runs TLC to check that Inv is an invariant, that it is inductive, and that it is not
// without some of its conjuncts.
func byTLC(ctx context.Context, jobs *errgroup.Group, t tlc.TLC, m mode) {
	say("TLC: Inv is an invariant of the algorithm, and from all its states each step leads to one")
	for _, one := range m.models {
		jobs.Go(func() error { return holds(ctx, t, one) })
	}
	for _, conjunct := range m.without {
		jobs.Go(func() error {
			v, err := check(ctx, t, model{"without " + conjunct, 0, "Inductive.cfg", []change{oneCall, without(conjunct)}})
			switch {
			case err != nil:
				return err
			case v.Broken == "":
				return fmt.Errorf("TLC finds nothing wrong without %s", conjunct)
			}
			say("TLC: without %s, %s is violated", conjunct, v.Broken)
			return nil
		})
	}
}

// holds runs TLC on a model, and compares the number of its states with the pinned one.
func holds(ctx context.Context, t tlc.TLC, m model) error {
	v, err := check(ctx, t, m)
	switch {
	case err != nil:
		return err
	case v.Broken != "":
		return fmt.Errorf("TLC: %s does not hold: %s is violated:\n%s", m.name, v.Broken, v.Log)
	case v.States == 0:
		return fmt.Errorf("TLC: %s: no count:\n%s", m.name, v.Log)
	case m.states != 0 && v.States != m.states:
		return fmt.Errorf("TLC: %s: %d states, pinned are %d", m.name, v.States, m.states)
	}
	fmt.Printf("CHECKED proof/tlc-%s states=%d\n", m.name, v.States)
	return nil
}

func check(ctx context.Context, t tlc.TLC, m model) (tlc.Verdict, error) {
	cfg, err := m.config(t.Root)
	if err != nil {
		return tlc.Verdict{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	module := "Inductive"
	if m.cfg == progress {
		module = "Progress"
	}
	v, err := t.Check(ctx, "tla", cfg, module, []string{"-XX:+UseSerialGC", "-Xmx3g"}, "-workers", "1")
	if err != nil {
		err = fmt.Errorf("%s: %w", m.name, err)
	}
	return v, err
}

// config returns the text of the model's configuration.
func (m model) config(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "tla", m.cfg))
	cfg := string(text)
	for i, change := range m.changes {
		ok := false
		if cfg, ok = change(cfg); !ok && err == nil {
			err = fmt.Errorf("%s: change %d of %s has nothing to change", m.cfg, i+1, m.name)
		}
	}
	return cfg, err
}
