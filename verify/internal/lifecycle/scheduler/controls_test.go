package scheduler_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/verify/internal/lifecycle/sections"
	"github.com/seed3893aba4/surestart/verify/internal/machine"
	"github.com/seed3893aba4/surestart/verify/internal/variant"
)

// control is a mistake in fsm, and the check that has to notice it. The mistake depends on state
// that the model does not have, or on what a scheduler might replace.
type control struct {
	name      string
	layer     string // "graph": the walk; "sections": that of tla/Sections.tla
	guarantee string // one of these
	file      string
	edits     [][2]string // old, new
}

var controls = []control{
	// Fields that the model has not.
	{"a lease reports as of the first try", "graph", "G13", "use.go",
		[][2]string{{"x.a.l.fail(x.a, x.a.tried, cause)", "x.a.l.fail(x.a, 0, cause)"}}},
	{"each try has the first one's scope", "graph", "G4", "retry.go",
		[][2]string{{"&Scope{a, a.tried}", "&Scope{a, 0}"}}},
	{"all but the first try have one scope", "graph", "G13", "retry.go",
		[][2]string{{"a.tried++", "a.tried = 1"}}},
	{"a try that is over reports", "graph", "G13", "attempt.go",
		[][2]string{{"if try != a.tried {", "if false {"}}},
	{"a try that is over registers", "graph", "G4", "scope.go",
		[][2]string{{"late, forced := a.isFinished || try != a.tried, a.forced", "late, forced := a.isFinished, a.forced"}}},
	{"an old start timeout fires", "graph", "G13", "attempt.go",
		[][2]string{{"if l.current == a && l.fireLocked(spec.EventTimeout", "if l.fireLocked(spec.EventTimeout"}}},
	{"the drain ends the context without a cause", "graph", "G14", "release.go",
		[][2]string{{"a.cancel(a.reason)", "a.cancel(nil)"}}},
	{"a second try that opens is tried again", "graph", "G4", "retry.go",
		[][2]string{{"a.op, a.ran, a.retry, a.acquiring = spec.OpOpen, false, false, \"\"", "a.op, a.ran, a.acquiring = spec.OpOpen, false, \"\""}}},
	{"the second try fails at the first one's part", "graph", "G14", "retry.go",
		[][2]string{{"a.op, a.ran, a.retry, a.acquiring = spec.OpOpen, false, false, \"\"", "a.op, a.ran, a.retry = spec.OpOpen, false, false"}}},
	{"the releases of a try are those of the next", "graph", "G4", "retry.go",
		[][2]string{{"a.failedPart, a.releaseErrs = \"\", nil", "a.failedPart = \"\""}}},
	{"a context asked for after the cut lives", "graph", "G9", "use.go",
		[][2]string{{"s.over, s.reason = true, reason", "s.reason = reason"}}},
	{"the start timeout outlasts a cancelled attempt", "graph", "G7", "attempt.go",
		[][2]string{{"\ta.stopTimerLocked()\n\ta.", "\ta."}}},
	{"open's context counts as within it for ever", "graph", "G15", "attempt.go",
		[][2]string{{"\ta.opening.over.Store(true)\n", ""}}},
	{"who leaves a Stop is told the wrong cause", "graph", "G6", "stop.go",
		[][2]string{{"return &StopError{CutOff: cutOff, Err: c.why()}", "return &StopError{CutOff: cutOff, Err: c.ctx.Err()}"}}},

	// Waits, the drain, goroutines.
	{"a wait prefers the context to the answer", "graph", "G6 G8 G9", "lifecycle.go",
		[][2]string{{"\tselect {\n\tcase <-done:\n\t\treturn true\n\tcase <-ended:", "\tselect {\n\tcase <-ended:\n\t\treturn false\n\tdefault:\n\t}\n\tselect {\n\tcase <-done:\n\t\treturn true\n\tcase <-ended:"}}},
	{"a wait whose context has ended does not look again", "graph", "G6 G8 G9", "lifecycle.go",
		[][2]string{{"\t\tcase <-done:\n\t\t\treturn true\n\t\tdefault:\n", "\t\tdefault:\n"}}},
	{"who leaves a Start does not look under the lock", "graph", "G4", "lifecycle.go",
		[][2]string{{"\tif a.isAnswered {\n\t\treturn a.startErr\n\t}\n\tleft.Attempt", "\tleft.Attempt"}}},
	{"a try that is due is made whatever came", "graph", "G4", "retry.go",
		[][2]string{{"if l.State() != spec.Starting { // cancelled", "if false { // cancelled"}}},
	{"the drain waits for nobody", "threads", "G9", "release.go",
		[][2]string{{"\tif a.drained != nil {\n\t\t<-a.drained\n\t}\n", ""}}},
	{"no goroutine is started", "threads", "G12", "lifecycle.go",
		[][2]string{{"\tgo f()\n", ""}}},

	// The order of the writes that lock-free readers see: tla/SectionsWeak.tla.
	{"a release closes the gate after the word is Stopping", "sections", "G10", "release.go",
		[][2]string{{gateFirst + "\tl.mustFireLocked(event, reason)\n", "\tl.mustFireLocked(event, reason)\n" + gateFirst}}},
	{"the gate can be reached before the word is Started", "sections", "G10", "attempt.go",
		[][2]string{{"\t\tl.mustFireLocked(spec.EventOpened, nil)\n\t\tl.opened.Store(a)\n", "\t\tl.opened.Store(a)\n\t\tl.mustFireLocked(spec.EventOpened, nil)\n"}}},
	{"who waits for a release is answered while the word is Stopping", "sections", "G7", "release.go",
		[][2]string{{"\tdefer func() {\n\t\ta.answerLocked(", "\tfunc() {\n\t\ta.answerLocked("}}},
}

const gateFirst = "\ta.inUse = int(a.gate.Add(gateClosed) - gateClosed)\n"

// ofSections is the walk of tla/Sections.tla: fsm is built with stops for it.
var ofSections = machine.Layer{Name: "sections", Dir: "verify/internal/lifecycle", Args: []string{"-test.run=^TestSections$", "-sections.split"}}

// TestControls makes each mistake in fsm, and has the walk, or the traces of real
// threads, notice it by the name of a guarantee.
func TestControls(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: each is built and walked: minutes")
	}
	root, err := filepath.Abs("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	caught := 0
	for _, c := range controls {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			name := "fsm/" + c.file
			text, err := os.ReadFile(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range c.edits {
				if !strings.Contains(string(text), e[0]) {
					t.Fatalf("%s has no %q any more: write the control anew", name, e[0])
				}
				text = []byte(strings.ReplaceAll(string(text), e[0], e[1]))
			}
			v := variant.Variant{Name: c.name, Files: map[string][]byte{name: text}}
			layers := machine.Lifecycle.Layers(c.layer)
			switch c.layer {
			case "graph":
				layers = machine.Lifecycle.Layers("graph", "three tries")
			case "sections":
				layers = []machine.Layer{ofSections}
				if v.Files, err = sections.Split(root, v.Files); err != nil {
					t.Fatal(err)
				}
			}
			all, err := variant.Try(t.Context(), root, machine.Lifecycle, v, layers, func(c variant.Catch) bool { return c.Result == variant.Caught })
			if err != nil {
				t.Fatal(err)
			}
			got := all[len(all)-1]
			t.Logf("%s in %.0f s, named %v: %s", got.Result, got.Seconds, got.Guarantees, got.First)
			if got.Result != variant.Caught || !slices.ContainsFunc(strings.Fields(c.guarantee), func(g string) bool { return slices.Contains(got.Guarantees, g) }) {
				t.Errorf("%s, named %v; want caught as %s: %s", got.Result, got.Guarantees, c.guarantee, got.First)
				return
			}
			caught++
		})
	}
	fmt.Printf("CHECKED scheduler controls=%d caught=%d\n", len(controls), caught)
}
