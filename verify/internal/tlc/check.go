package tlc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// A Verdict is the result of TLC for a model.
type Verdict struct {
	States int
	Broken string // the property refuted, "" if none
	Log    string
}

// Temporal is the value of Broken if a property with fairness is refuted, because TLC does not name
// it.
const Temporal = "a temporal property"

var (
	counted  = regexp.MustCompile(`(?m)^\d+ states generated, (\d+) distinct states found, 0 states left on queue\.`)
	refuted  = regexp.MustCompile(`(?m)^Error: (?:Invariant|Action property) (.+?) is violated`)
	deadlock = regexp.MustCompile(`(?m)^Error: Deadlock reached\.`)
	temporal = regexp.MustCompile(`(?m)^Error: Temporal properties were violated\.`)
	finished = regexp.MustCompile(`(?m)^Model checking completed\. No error has been found\.`)
)

// Check runs TLC on a module in a directory of the checkout, under a configuration given as text,
// with options for Java and for TLC. The verdict has what TLC refutes. An error means that TLC
// could not do its work.
func (t TLC) Check(ctx context.Context, dir, cfg, module string, java []string, options ...string) (Verdict, error) {
	meta, err := os.MkdirTemp("", "surestart-tlc")
	if err != nil {
		return Verdict{}, err
	}
	defer os.RemoveAll(meta)
	path := filepath.Join(meta, "model.cfg")
	if err := os.WriteFile(path, []byte(cfg), 0o644); err != nil {
		return Verdict{}, err
	}
	// TLC unpacks its standard modules into Java's temporary folder. Two at once would read what
	// the other is still writing.
	args := slices.Concat(java, []string{"-Djava.io.tmpdir=" + meta, "-cp", t.Jar, "tlc2.TLC", "-metadir", meta,
		"-lncheck", "final", "-config", path}, options, []string{module})
	cmd := exec.CommandContext(ctx, "java", args...)
	cmd.Dir = filepath.Join(t.Root, filepath.FromSlash(dir))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	v, understood := verdict(out.String())
	var exit *exec.ExitError
	if !understood || err != nil && !(errors.As(err, &exit) && v.Broken != "") {
		return v, fmt.Errorf("TLC could not check this (%v); it said:\n%s", err, v.Log)
	}
	return v, nil
}

// verdict reads the verdict from TLC's output. It returns false if the output has none.
func verdict(log string) (Verdict, bool) {
	v := Verdict{Log: log}
	if m := counted.FindStringSubmatch(log); m != nil {
		v.States, _ = strconv.Atoi(m[1])
	}
	switch m := refuted.FindStringSubmatch(log); {
	case m != nil:
		v.Broken = m[1]
	case deadlock.MatchString(log):
		v.Broken = "Deadlock"
	case temporal.MatchString(log):
		v.Broken = Temporal
	}
	return v, v.Broken != "" || finished.MatchString(log)
}
