// Package proof is the proof beyond any bound: an inductive invariant of the algorithm, tla/Inductive.tla, which TLC
// checks at small bounds and Z3 proves at any. See verify/proof/README.md.
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

	"github.com/seed3893aba4/surestart/verify/internal/cli"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
	"github.com/seed3893aba4/surestart/verify/internal/tools"
)

const usage = `./check proof proves the guarantees beyond any bound, by an inductive invariant, with TLC and Z3:

  ./check proof quick   Z3's proof, some thousand edges; TLC at the smallest bound (a minute)
  ./check proof ci      with the controls, 20,000 edges, TLC from all states of Inv (some minutes)
  ./check proof deep    every edge of TLC's graph at CI's bound; TLC on more samples

It needs Python 3.9 or newer with venv; the pinned z3-solver goes into a virtualenv in the cache. TLC is $TLC_JAR, or
what is fetched. The report is $SURESTART_PROOF_REPORT, or verify/proof/report.json.`

// A model is Inductive.tla under a configuration, changed.
type model struct {
	name    string
	states  int // pinned; 0: at random, not as many each time
	cfg     string
	changes []change
}

// A change to a configuration; false if there is nothing to change.
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

// statesOnly leaves out the properties of steps, which Z3 proves; TLC checks them too in deep.
func statesOnly(cfg string) (string, bool) {
	cfg, _, ok := strings.Cut(cfg, "\nPROPERTIES\n")
	return cfg + "\n", ok
}

// without leaves a conjunct out of Inv.
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

// A mode is how far the proof goes.
type mode struct {
	models   [][]model // those of one list one after another, the lists at the same time
	without  []string  // TLC refutes Inv without each of these conjuncts
	edges    int       // of the model ci at least; 0: all
	ofOthers int       // of the models stoppers and restart
}

var reachable = model{"reachable-quick", 8155, "InductiveQuick.cfg", nil}

var modes = map[string]mode{
	"quick": {models: [][]model{{
		{"inductive-1-call", 149946, "Inductive.cfg", []change{oneCall, statesOnly}},
		{"inductive-restart", 717653, "Inductive.cfg", []change{oneCall, restarts, statesOnly}},
	}}, edges: 3000, ofOthers: 1000},
	"ci": {models: [][]model{{ // two at once: TLC enumerates the states to begin with on one processor
		{"inductive-restart", 717653, "Inductive.cfg", []change{oneCall, restarts, statesOnly}},
	}, {
		{"inductive-samples", 0, "InductiveSample.cfg", []change{few}},
		{"reachable-restart", 97136, "InductiveRestart.cfg", nil},
		{"inductive-samples-restart", 0, "InductiveSample.cfg", []change{few, restarts}},
	}}, without: []string{"OneOperation", "HeldFits", "UsesFit"}, // quick to refute; Z3 refutes the others
		edges: 20000, ofOthers: 5000},
	"deep": {models: [][]model{{
		{"reachable-ci", 286938, "InductiveCI.cfg", nil},
		{"reachable-restart", 97136, "InductiveRestart.cfg", nil},
		{"inductive", 779062, "Inductive.cfg", nil},
		{"inductive-restart", 717653, "Inductive.cfg", []change{oneCall, restarts}},
		{"inductive-samples", 0, "InductiveSample.cfg", []change{many}},
		{"inductive-samples-restart", 0, "InductiveSample.cfg", []change{many, restarts}},
	}}}, // and TLC refutes Inv without each of refutable
}

var (
	inv      = regexp.MustCompile(`(?ms)^Inv ==.*?\n\n`)
	conjunct = regexp.MustCompile(`[A-Z][A-Za-z]+`)
	// Without GenFits and PlaceFits TLC stops at an attempt that does not exist; on the last two nothing rests.
	irrefutable = []string{"Inv", "TypeOK", "GenFits", "PlaceFits", "RelErrFits", "EndedFits"}
)

// refutable are the conjuncts of Inv that TLC can do without, and then finds it broken.
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

// Main is what ./check proof does.
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
	if err := byTLC(ctx, t, m); err != nil {
		return err
	}

	say("the edges of TLC's graphs")
	scratch, err := os.MkdirTemp("", "surestart-proof")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	z3 := []string{"-B", filepath.Join(dir, "check.py"), args[0], cmp.Or(os.Getenv("SURESTART_PROOF_REPORT"), filepath.Join(dir, "report.json"))}
	for _, e := range []struct {
		model string
		n     int
	}{{"ci", m.edges}, {"stoppers", m.ofOthers}, {"restart", m.ofOthers}} {
		file := filepath.Join(scratch, e.model+".jsonl")
		if err := writeEdges(file, root, e.model, e.n); err != nil {
			return fmt.Errorf("the edges of %s: %w", e.model, err)
		}
		z3 = append(z3, file)
	}
	say("Z3")
	cmd := exec.CommandContext(ctx, python, z3...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("Z3's proof: %w", err)
	}
	return nil
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "proof: "+format+"\n", args...) }

// byTLC has TLC find Inv to be an invariant, inductive, and no longer so without some of its conjuncts.
func byTLC(ctx context.Context, t tlc.TLC, m mode) error {
	say("TLC: Inv is an invariant of the algorithm, and from all its states each step leads to one")
	if err := holds(ctx, t, reachable); err != nil {
		return err
	}
	done := make(chan error)
	for _, list := range m.models {
		go func() {
			var err error
			for i := 0; i < len(list) && err == nil; i++ {
				err = holds(ctx, t, list[i])
			}
			done <- err
		}()
	}
	var failed error
	for range m.models {
		failed = errors.Join(failed, <-done)
	}
	if failed != nil {
		return failed
	}
	for _, conjunct := range m.without {
		v, err := check(ctx, t, model{"without " + conjunct, 0, "Inductive.cfg", []change{oneCall, without(conjunct)}})
		if err != nil {
			return err
		}
		if v.Broken == "" {
			return fmt.Errorf("TLC finds nothing wrong without %s", conjunct)
		}
		say("TLC: without %s, %s is violated", conjunct, v.Broken)
	}
	if m.without != nil {
		fmt.Printf("CHECKED proof/tlc-left-out refuted=%d\n", len(m.without))
	}
	return nil
}

// holds has TLC check a model, and compares the count of its states with what is pinned.
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
	v, err := t.Check(ctx, "tla", cfg, "Inductive", []string{"-XX:+UseParallelGC", "-Xmx3g"}, "-workers", "2")
	if err != nil {
		err = fmt.Errorf("%s: %w", m.name, err)
	}
	return v, err
}

// config is the text of the model's configuration.
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
