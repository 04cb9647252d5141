package second

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/seed3893aba4/surestart/verify/internal/machine"
)

// checker is the second checker's program.
type checker struct {
	machine.Specification
	dir, program, scratch string
}

// found is the second checker's result for a module under a configuration.
type found struct {
	States, Depth int
	transitions   int
	terminated    int // states with the step Terminating, which is not counted
	invariants    int
	properties    []string // checked, but for the invariants
	status        string   // "ok", or what went wrong
	broken        string   // the property refuted
	complaint     string   // why it could not do, or not all of, what it was asked for
}

func (f found) edges() int { return f.transitions - f.terminated }

var (
	verdict        = regexp.MustCompile(`(?m)^\{.*\}$`)
	invariantsRead = regexp.MustCompile(`(?m)^  Invariants: (\d+)$`)
	// The checker continues without what it cannot parse or does not know.
	skipped = regexp.MustCompile(`(?m)^\s*Warning: (.*(?:failed to parse|not yet supported|ignoring|ignored).*)$`)
	refused = regexp.MustCompile(`(?m)^error[^\n]*: .*$`)
)

// run checks a module under a configuration, given as text. With counting, it also
// counts the states that satisfy that definition.
func (k checker) run(cfg, module string, most int, counting string) (found, error) {
	dir, err := os.MkdirTemp(k.scratch, "model")
	if err != nil {
		return found{}, err
	}
	path := filepath.Join(dir, "model.cfg")
	if err := os.WriteFile(path, []byte(cfg), 0o666); err != nil {
		return found{}, err
	}
	args := []string{filepath.Join(k.dir, module+".tla"), "--config", path, "--json", "--max-depth", "100000"}
	if most > 0 {
		args = append(args, "--max-states", strconv.Itoa(most))
	}
	if counting != "" {
		args = append(args, "--count-satisfying", counting)
	}
	cmd := exec.Command(k.program, args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return found{}, err
	}
	return read(out.String()+said.String(), counting)
}

// read reads the result from the checker's output: a line of JSON among others.
func read(said, counting string) (found, error) {
	var f found
	var answer struct {
		Status string
		Error  string
		Stats  struct {
			States      int `json:"states_explored"`
			Transitions int
			Depth       int `json:"max_depth"`
		}
		Properties []struct {
			Name                     string
			Satisfied, Errors, Total int
		}
		Checked   []string `json:"properties_checked"`
		Property  string
		Invariant string `json:"invariant_name"`
	}
	for _, m := range skipped.FindAllStringSubmatch(said, -1) {
		f.complaint = m[1]
	}
	line := verdict.FindString(said)
	if line == "" { // it did not come as far as that
		f.status = "refused"
		if f.complaint = refused.FindString(said); f.complaint == "" {
			return f, fmt.Errorf("the second checker said:\n%.2000s", said)
		}
		return f, nil
	}
	if err := json.Unmarshal([]byte(line), &answer); err != nil {
		return f, fmt.Errorf("%w in what the second checker said:\n%.2000s", err, line)
	}
	f.status, f.properties = answer.Status, answer.Checked
	f.States, f.transitions, f.Depth = answer.Stats.States, answer.Stats.Transitions, answer.Stats.Depth
	f.broken = answer.Property + answer.Invariant
	if answer.Error != "" {
		f.complaint, _, _ = strings.Cut(answer.Error, "\n")
	}
	if m := invariantsRead.FindStringSubmatch(said); m != nil {
		f.invariants, _ = strconv.Atoi(m[1])
	}
	if f.status != "ok" || counting == "" {
		return f, nil
	}
	if len(answer.Properties) != 1 || answer.Properties[0].Name != counting || answer.Properties[0].Errors != 0 || answer.Properties[0].Total != f.States {
		return f, fmt.Errorf("the second checker was to count the states that satisfy %s: %+v", counting, answer.Properties)
	}
	f.terminated = answer.Properties[0].Satisfied
	return f, nil
}

// without returns the configuration without the properties for which leave returns true.
func without(cfg string, leave func(property string) bool) string {
	var kept []string
	for line := range strings.Lines(cfg) {
		if !leave(strings.TrimSpace(line)) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}
