package model

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/internal/checkout"
	"github.com/seed3893aba4/surestart/spec"
)

var small = spec.Bound{Callers: 2, Parts: 2, Restarts: 1, Calls: 1, Fails: 1}

// text is a state of the small bound as TLC prints it, with a value wrapped.
const text = `/\ forced = <<FALSE, TRUE>>
/\ cur = 1
/\ due = TRUE
/\ again = FALSE
/\ restarts = 1
/\ reported = <<FALSE, TRUE>>
/\ fails = 1
/\ on = (c1 :> 2 @@ c2 :> 0)
/\ op = <<"none", "drain">>
/\ out = ( c1 :> <<"failed", 2>> @@
  c2 :> <<"none", 0>> )
/\ pc = (c1 :> "wait" @@ c2 :> "idle")
/\ closing = TRUE
/\ open = <<FALSE, FALSE>>
/\ st = "Stopping"
/\ relerr = <<TRUE, FALSE>>
/\ held = <<<<>>, <<1, 2>>>>
/\ gen = 2
/\ inuse = <<0, 1>>
/\ calls = 1
/\ fate = <<"none", "stopped">>
/\ ended = (c1 :> TRUE @@ c2 :> FALSE)`

func TestParseStateReadsEveryVariable(t *testing.T) {
	want := spec.Snapshot{St: spec.Stopping, Gen: 2, Closing: true, Cur: 1, Due: true, Restarts: 1, Calls: 1, Fails: 1}
	*want.Attempt(1) = spec.AttemptVars{RelErr: true}
	*want.Attempt(2) = spec.AttemptVars{Op: spec.OpDrain, Held: 2, Reported: true, Fate: spec.FateStopped, InUse: 1, Forced: true}
	want.Callers[0] = spec.CallerVars{PC: spec.PCWait, On: 2, Ended: true, Out: spec.OutFailed, N: 2}
	got, err := ParseState(small, []byte(text))
	if err != nil || got != want {
		t.Errorf("got  %v, %v\nwant %v", got, err, want)
	}
}

func TestParseStateIsStrict(t *testing.T) {
	for _, c := range [][3]string{ // what is replaced, by what, what the error says
		{`/\ gen = 2`, `/\ gem = 2`, `unknown variable "gem"`},
		{`/\ gen = 2`, `/\ cur = 1`, "cur twice"},
		{"/\\ gen = 2\n", ``, "1 variables are missing"},
		{`gen = 2`, `gen = 3`, "from 0 to 2"},
		{`gen = 2`, `gen = x`, "want a number"},
		{`"Stopping"`, `"Halting"`, `unknown value "Halting"`},
		{`"Stopping"`, `"Stopping`, "unknown value"},
		{`closing = TRUE`, `closing = 1`, "TRUE or FALSE"},
		{`<<1, 2>>`, `<<2, 1>>`, "in order"},
		{`<<1, 2>>`, `<<1, 1>>`, "in order"},
		{`<<0, 1>>`, `<<0, 1, 0>>`, "want"},
		{`<<0, 1>>`, `<<0>>`, "want"},
		{`c2 :> 0)`, `c1 :> 0)`, "comes twice"},
		{`c2 :> 0)`, `c3 :> 0)`, "from 0 to 2"},
		{`"failed", 2`, `"failed", 0`, "number"},
		{`"none", 0`, `"none", 1`, "number"},
		{`"failed", 2`, `"abandoned", 0`, `unknown value "abandoned"`},
		{`fails = 1`, `fails = 2`, "from 0 to 1"},
		{`restarts = 1`, `restarts = 3`, "from 0 to 1"},
		{`due = TRUE`, `due = 1`, "TRUE or FALSE"},
		{`cur = 1`, `cur = 1 1`, "want"},
		{`cur = 1`, `cur = `, "want a number"},
	} {
		if strings.Count(text, c[0]) != 1 {
			t.Fatalf("%q is not in the text once", c[0])
		}
		_, err := ParseState(small, []byte(strings.Replace(text, c[0], c[1], 1)))
		if err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%q for %q: %v, want %q", c[1], c[0], err, c[2])
		}
	}
	for cut := range len(text) {
		if _, err := ParseState(small, []byte(text[:cut])); err == nil {
			t.Errorf("a state that ends after %q is read", text[:cut])
		}
	}
}

func TestBoundIsThatOfTheConfiguration(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "tla"), 0o755); err != nil {
		t.Fatal(err)
	}
	const cfg = "INIT Init\nCONSTANTS\n Callers = {c1, c2}\n NParts = 2\n Retries = TRUE\n MaxRestarts = 1\n MaxCalls = 4\n MaxFails = 1\nINVARIANT TypeOK\n"
	for _, c := range []struct {
		old, new string
		want     spec.Bound
		fails    bool
	}{
		{want: spec.Bound{Callers: 2, Parts: 2, Retries: true, Restarts: 1, Calls: 4, Fails: 1}},
		{old: "{c1, c2}", new: "{c1}", want: spec.Bound{Callers: 1, Parts: 2, Retries: true, Restarts: 1, Calls: 4, Fails: 1}},
		{old: "Retries = TRUE", new: "Retries = 1", fails: true},
		{old: "{c1, c2}", new: "{a, b}", fails: true},
		{old: " NParts = 2\n", new: "", fails: true},
		{old: " NParts = 2\n", new: " MaxCalls = 2\n", fails: true},
		{old: "MaxCalls = 4", new: "MaxCalls = 40", fails: true},
	} {
		if err := os.WriteFile(filepath.Join(root, "tla", "Quick.cfg"), []byte(strings.Replace(cfg, c.old, c.new, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := Bound(root, "quick")
		if (err != nil) != c.fails || !c.fails && got != c.want {
			t.Errorf("with %q for %q: %v, %v", c.new, c.old, got, err)
		}
	}
	if _, err := Bound(root, "quicker"); err == nil {
		t.Error("a model that is not there has a bound")
	}
}

// Each model that can be dumped has a configuration, and begins where its steps lead.
func TestModelsAreThere(t *testing.T) {
	root, err := checkout.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, model := range Models() {
		b, err := Bound(root, model)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.After(From(model)); err != nil {
			t.Errorf("%s: %v", model, err)
		}
	}
}
