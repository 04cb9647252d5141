package spec_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/seed3893aba4/surestart/spec"
)

// The events table of the protocol, written by hand. The generated table must equal it.
func TestTableIsTheProtocols(t *testing.T) {
	want := []string{
		"start: Idle -> Starting",
		"opened: Starting -> Started",
		"failed: Starting -> Stopping",
		"abandoned: Starting -> Stopping",
		"timeout: Starting -> Stopping",
		"stop: Starting -> Stopping",
		"stop: Started -> Stopping",
		"shutdown: Idle -> Closed",
		"shutdown: Starting -> Stopping",
		"shutdown: Started -> Stopping",
		"died: Starting -> Stopping",
		"died: Started -> Stopping",
		"released: Stopping -> Idle",
		"closed: Stopping -> Closed",
	}
	var got []string
	for _, r := range spec.Table() {
		got = append(got, r.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("the table is\n%q\nwant\n%q", got, want)
	}
}

func TestNextFollowsTheTable(t *testing.T) {
	for _, e := range spec.Events() {
		for _, from := range spec.States() {
			to, ok := spec.Next(e, from)
			if slices.Contains(spec.Table(), spec.Row{Event: e, From: from, To: to}) != ok {
				t.Errorf("Next(%v, %v) = %v, %v: not what the table says", e, from, to, ok)
			}
			if from == spec.Closed && ok {
				t.Errorf("%v leads out of Closed to %v", e, to)
			}
		}
	}
}

func TestTableIsACopy(t *testing.T) {
	spec.Table()[0].To = spec.Closed
	if got := spec.Table()[0].To; got != spec.Starting {
		t.Errorf("a caller changed the table: %v", got)
	}
}

func TestNamesReadBack(t *testing.T) {
	for _, s := range spec.States() {
		text, err := json.Marshal(s)
		var back spec.State
		if err2 := json.Unmarshal(text, &back); err != nil || err2 != nil || back != s {
			t.Errorf("%v as text is %s and reads back as %v (%v, %v)", s, text, back, err, err2)
		}
	}
	for _, e := range spec.Events() {
		text, err := e.MarshalText()
		var back spec.Event
		if err2 := back.UnmarshalText(text); err != nil || err2 != nil || back != e || string(text) != e.String() {
			t.Errorf("%v as text is %s and reads back as %v (%v, %v)", e, text, back, err, err2)
		}
	}
	if _, err := spec.State(5).MarshalText(); err == nil {
		t.Error("State(5) has a text")
	}
	if _, err := spec.Event(10).MarshalText(); err == nil {
		t.Error("Event(10) has a text")
	}
	var s spec.State
	if err := s.UnmarshalText([]byte("idle")); err == nil {
		t.Error(`"idle" is read as a state`)
	}
	var e spec.Event
	if err := e.UnmarshalText([]byte("Start")); err == nil {
		t.Error(`"Start" is read as an event`)
	}
	if got := fmt.Sprint(spec.State(9), spec.Event(99), spec.Action(200)); got != "State(9) Event(99) ?200" {
		t.Errorf("values out of range print as %q", got)
	}
}

func TestBoundIsChecked(t *testing.T) {
	for _, b := range []spec.Bound{
		{Callers: 0, Calls: 1},
		{Callers: 9, Calls: 1},
		{Callers: 1, Calls: 0},
		{Callers: 1, Calls: 17},
		{Callers: 1, Calls: 1, Parts: 256},
		{Callers: 1, Calls: 1, Fails: -1},
		{Callers: 1, Calls: 1, Restarts: -1},
		{Callers: 1, Calls: 14, Restarts: 3, Fails: 1},
	} {
		if b.Check() == nil {
			t.Errorf("%v is accepted", b)
		}
	}
	if err := (spec.Bound{Callers: 8, Parts: 3, Calls: 8, Restarts: 2, Fails: 4}).Check(); err != nil {
		t.Error(err)
	}
}

func TestGuaranteesAreFifteen(t *testing.T) {
	for i, g := range spec.Guarantees() {
		if g.ID != fmt.Sprintf("G%d", i+1) || g.Name == "" || g.Promise == "" {
			t.Errorf("number %d is %+v", i+1, g)
		}
		for _, key := range []string{g.ID, g.Name} {
			if got, ok := spec.GuaranteeOf(key); !ok || got != g {
				t.Errorf("GuaranteeOf(%q) = %v, %v", key, got, ok)
			}
		}
	}
	if n := len(spec.Guarantees()); n != 15 {
		t.Errorf("%d guarantees, want 15", n)
	}
}

// Every rule of Blame names a variable that differences have, and an existing guarantee. For any
// difference after any step, Blame names a guarantee.
func TestBlameAlwaysNamesAGuarantee(t *testing.T) {
	a, b := spec.Snapshot{}, spec.Snapshot{St: spec.Closed, Gen: 1, Closing: true, Cur: 1, Due: true, Again: true, Restarts: 1, Calls: 1, Fails: 1}
	b.Attempts[0] = spec.AttemptVars{Op: spec.OpDrain, Held: 1, Reported: true, Fate: spec.FateFailed, Open: true, InUse: 1, Forced: true, RelErr: true}
	b.Callers[0] = spec.CallerVars{PC: spec.PCWait, On: 1, Ended: true, Out: spec.OutOK}
	diffs := append(spec.Diff(a, b), spec.Diff(b, a)...)
	variables := map[string]bool{spec.VarEnabled: true, spec.VarOpens: true, spec.VarPanic: true, spec.VarContext: true}
	for _, d := range diffs {
		variables[d.Var] = true
	}
	if len(variables) != 25 { // the variables of the TLA+, and the four Vars
		t.Errorf("differences in %d variables, want 21: %v", len(variables)-4, diffs)
	}
	ruled := map[string]bool{}
	for _, row := range spec.BlameTable() {
		ruled[row[0]] = true
		if _, ok := spec.GuaranteeOf(row[1]); !ok || !variables[row[0]] {
			t.Errorf("the rule %q names no guarantee, or a variable that is none", row)
		}
	}
	if len(ruled) != len(variables) {
		t.Errorf("rules for %d variables, want %d", len(ruled), len(variables))
	}
	for _, action := range spec.Actions() {
		st := spec.Step{Action: action, Arg: 1}
		for _, d := range append(diffs, spec.Missing(st), spec.Extra(st)) {
			if g := spec.Blame(st, d); g.ID == "" || g.Name == "CauseKept" || g.Name == "NoSelfDeadlock" {
				t.Errorf("after %v, %v is blamed on %q", st, d, g)
			}
		}
	}
	for _, c := range []struct {
		st   spec.Step
		d    spec.Difference
		want string
	}{
		{spec.Step{Action: spec.StartEnter}, spec.Difference{Var: "gen", Want: "1", Got: "2"}, "SingleFlight"},
		{spec.Step{Action: spec.ReleaseOk, Arg: 1}, spec.Difference{Var: "held", Index: "1", Want: "1", Got: "2"}, "Rollback"},
		{spec.Step{Action: spec.StopEnter}, spec.Difference{Var: "open", Index: "1", Want: "false", Got: "true"}, "UseOnlyStarted"},
		{spec.Step{Action: spec.StopLeave}, spec.Difference{Var: "forced", Index: "1", Want: "false", Got: "true"}, "DrainFirst"},
		{spec.Step{Action: spec.Finish, Arg: 1}, spec.Difference{Var: "out", Index: "c1", Want: "stopped", Got: "failed,1"}, "StopWins"},
		{spec.Step{Action: spec.Finish, Arg: 1}, spec.Difference{Var: "out", Index: "c1", Want: "none", Got: "failed,1"}, "NoStaleFailure"},
		{spec.Step{Action: spec.ShutdownEnter}, spec.Difference{Var: "closing", Want: "true", Got: "false"}, "CloseIsFinal"},
		{spec.Step{Action: spec.Finish, Arg: 1}, spec.Missing(spec.Step{Action: spec.Finish, Arg: 1}), "Progress"},
		{spec.Step{Action: spec.DrainEnd, Arg: 1}, spec.Extra(spec.Step{Action: spec.DrainEnd, Arg: 1}), "DrainFirst"},
	} {
		if g := spec.Blame(c.st, c.d); g.Name != c.want {
			t.Errorf("after %v, %v is blamed on %v, want %s", c.st, c.d, g, c.want)
		}
	}
}
