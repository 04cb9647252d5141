package trace

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/seed3893aba4/surestart/spec"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

// TLCModel is a model in which TLC looks for traces.
type TLCModel struct {
	Config string // in tla
	Bound  spec.Bound
}

// TLCModels are for traces without restarts and for those with.
var TLCModels = []TLCModel{
	{"Trace.cfg", spec.Bound{Callers: 5, Parts: 2, Retries: true, Calls: spec.MaxAttempts, Fails: 16}},
	{"TraceRestart.cfg", spec.Bound{Callers: 5, Parts: 2, Retries: true, Restarts: 2, Calls: 8, Fails: 4}},
}

// Takes reports whether TLC can look for the trace in the model: it has as many parts and
// no more of the rest, and if the model has restarts one is due in it.
func (m *TLCModel) Takes(t *Trace) bool {
	b, most, fails, due := t.Bound, m.Bound, 0, false
	for i := range t.Sections {
		if t.Sections[i].Action == spec.Fail {
			fails++
		}
		due = due || t.Sections[i].Due
	}
	return b.Parts == most.Parts && b.Callers <= most.Callers && b.Calls <= most.Calls && fails <= most.Fails &&
		b.Restarts <= most.Restarts && (b.Restarts > 0) == (most.Restarts > 0) && due == (most.Restarts > 0)
}

// Widen makes the trace's bound the model's: only then Search finds as many states as TLC.
func (m *TLCModel) Widen(t *Trace) {
	t.Bound.Restarts, t.Bound.Calls, t.Bound.Fails = m.Bound.Restarts, m.Bound.Calls, m.Bound.Fails
}

// Answer is what TLC says of traces.
type Answer struct {
	Accepted map[int]bool // by their index
	States   int          // distinct, of all of them
}

var distinct = regexp.MustCompile(`(?m)^\d+ states generated, (\d+) distinct states found, 0 states left on queue\.$`)
var accepted = regexp.MustCompile(`(?m)^<<"accepted", (\d+)>>$`)

// Ask has TLC, in one run, look for each trace in the model (tla/Trace.tla). dir is for its files.
func (m *TLCModel) Ask(ctx context.Context, t tlc.TLC, dir string, traces []*Trace) (Answer, error) {
	var data bytes.Buffer
	Data(&data, traces)
	if err := os.WriteFile(filepath.Join(dir, "TraceData.tla"), data.Bytes(), 0o666); err != nil {
		return Answer{}, err
	}
	for _, name := range []string{"Algorithm.tla", "Trace.tla", m.Config} {
		text, err := os.ReadFile(filepath.Join(t.Root, "tla", name))
		if err != nil {
			return Answer{}, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o666); err != nil {
			return Answer{}, err
		}
	}
	cmd := exec.CommandContext(ctx, "java", "-XX:+UseParallelGC", "-Xss64m",
		"-Djava.io.tmpdir="+dir,                                   // TLC unpacks its modules there, under fixed names
		"-cp", t.Jar, "tlc2.TLC", "-workers", "auto", "-deadlock", // a trace ends
		"-metadir", filepath.Join(dir, "meta"), "-config", m.Config, "Trace")
	cmd.Dir = dir
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

// Data writes the module TraceData.
func Data(w io.Writer, traces []*Trace) {
	fmt.Fprint(w, "---- MODULE TraceData ----\n\\* Written by package trace; Trace.tla says how to read it.\nTraces == <<\n")
	for i, t := range traces {
		if i > 0 {
			fmt.Fprint(w, ",\n")
		}
		var threads, sections []string
		for _, events := range t.Threads {
			var steps []string
			for i := range events {
				steps = append(steps, events[i].tla())
			}
			threads = append(threads, tuple(steps...))
		}
		for i := range t.Sections {
			sections = append(sections, t.Sections[i].tla())
		}
		fmt.Fprint(w, tuple(tuple(threads...), tuple(sections...)))
	}
	fmt.Fprint(w, "\n>>\n====\n")
}

func tuple(values ...string) string { return "<<" + strings.Join(values, ", ") + ">>" }

func values(vs ...any) string {
	var texts []string
	for _, v := range vs {
		switch v := v.(type) {
		case bool:
			texts = append(texts, strings.ToUpper(strconv.FormatBool(v)))
		case int, uint8:
			texts = append(texts, fmt.Sprint(v))
		default:
			texts = append(texts, fmt.Sprintf("%q", fmt.Sprint(v)))
		}
	}
	return tuple(texts...)
}

func (e *Event) tla() string {
	switch {
	case e.Kind == Locked:
		return values("S", e.Section+1, e.Left)
	case e.Kind == Looked:
		return values("State", spec.State(e.Saw))
	case e.Kind == Cancels:
		return values("Cancel", e.Saw+1, e.Call+1)
	case e.Action == spec.Return:
		return values("Return", e.Out, e.N)
	}
	return values(e.Action, e.Saw)
}

func (s *Section) tla() string {
	var views []string
	for _, v := range s.Views {
		views = append(views, values(v.Number, v.Op, v.Held, v.Fate, v.Open, v.InUse, v.Forced, v.RelErr, v.Waiters, v.Stoppers, v.Reported))
	}
	return tuple(fmt.Sprintf("%q", s.Action.String()), strconv.Itoa(s.Thread+1), strconv.Itoa(int(s.Attempt)), strings.ToUpper(strconv.FormatBool(s.Waits)),
		tuple(fmt.Sprintf("%q", s.St.String()), strconv.Itoa(int(s.Gen)), strconv.Itoa(int(s.Cur)),
			strings.ToUpper(strconv.FormatBool(s.Closing)), strconv.Itoa(int(s.Queued)), tuple(views...),
			strings.ToUpper(strconv.FormatBool(s.Due)), strings.ToUpper(strconv.FormatBool(s.Again)), strconv.Itoa(int(s.Restarts))))
}
