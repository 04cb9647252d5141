package tlc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Answer is TLC's result for traces.
type Answer struct {
	Accepted map[int]bool // by their index
	States   int          // distinct, of all of them
}

var (
	distinct = regexp.MustCompile(`(?m)^\d+ states generated, (\d+) distinct states found, 0 states left on queue\.$`)
	accepted = regexp.MustCompile(`(?m)^<<"accepted", (\d+)>>$`)
)

// Traces runs TLC once, to search for each trace among the behaviours of a module of the folder tla, under a
// configuration, given as text. The module reads them from the module TraceData, which is written here, and prints
// <<"accepted", n>> for the n-th if it is one. dir is for files.
func (t TLC) Traces(ctx context.Context, dir, cfg, module string, traces []string) (Answer, error) {
	data := "---- MODULE TraceData ----\nEXTENDS Integers\n\\* " + module + ".tla says how to read it.\nTraces == <<\n" + strings.Join(traces, ",\n") + "\n>>\n====\n"
	path := filepath.Join(dir, "traces.cfg")
	if err := os.WriteFile(filepath.Join(dir, "TraceData.tla"), []byte(data), 0o666); err != nil {
		return Answer{}, err
	}
	if err := os.WriteFile(path, []byte(cfg), 0o666); err != nil {
		return Answer{}, err
	}
	cmd := exec.CommandContext(ctx, "java", "-XX:+UseParallelGC", "-Xss64m",
		"-Djava.io.tmpdir="+dir, // TLC unpacks its modules there, under fixed names
		"-DTLA-Library="+dir,
		"-cp", t.Jar, "tlc2.TLC", "-workers", "auto", "-deadlock", // a trace ends
		"-metadir", filepath.Join(dir, "meta"), "-config", path, module)
	cmd.Dir = filepath.Join(t.Root, "tla")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return Answer{}, fmt.Errorf("TLC on traces: %w\n%.4000s", err, out)
	}
	found := distinct.FindSubmatch(out)
	if found == nil {
		return Answer{}, fmt.Errorf("TLC on traces: no count of states in\n%.4000s", out)
	}
	a := Answer{Accepted: make(map[int]bool)}
	a.States, err = strconv.Atoi(string(found[1]))
	for _, m := range accepted.FindAllSubmatch(out, -1) {
		n, bad := strconv.Atoi(string(m[1]))
		if bad != nil || n < 1 || n > len(traces) {
			return a, fmt.Errorf("TLC on traces: %s accepted, of %d", m[1], len(traces))
		}
		a.Accepted[n-1] = true
	}
	return a, err
}

// Text is a TLA+ expression.
type Text string

// Value is a value in TLA+: a Text, a boolean and a number as they are, all else a string with its name.
func Value(v any) Text {
	switch v := v.(type) {
	case Text:
		return v
	case bool:
		return Text(strings.ToUpper(strconv.FormatBool(v)))
	case int, uint8, int16, int32:
		return Text(fmt.Sprint(v))
	}
	return Text(fmt.Sprintf("%q", fmt.Sprint(v)))
}

// Tuple is the tuple of the values.
func Tuple(values ...any) Text { return TupleOf(values) }

// TupleOf is the tuple of the values in a slice.
func TupleOf[V any](values []V) Text { return "<<" + list(values) + ">>" }

// SetOf is the set of the values in a slice.
func SetOf[V any](values []V) Text { return "{" + list(values) + "}" }

func list[V any](values []V) Text {
	var texts []string
	for _, v := range values {
		texts = append(texts, string(Value(v)))
	}
	return Text(strings.Join(texts, ", "))
}
