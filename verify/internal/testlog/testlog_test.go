package testlog

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// events is what go test -json prints for a package p with one test of each outcome.
const events = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: CHECKED spec states=100 edges=250\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- PASS: TestA (0.00s)\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:9: needs Java on PATH\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestB","Elapsed":0}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p","Elapsed":0.1}
`

const failing = `{"Action":"output","Package":"q","Test":"TestC","Output":"    c_test.go:3: G1 broken\n"}
{"Action":"output","Package":"q","Test":"TestC","Output":"--- FAIL: TestC (0.00s)\n"}
{"Action":"fail","Package":"q","Test":"TestC"}
{"Action":"output","Package":"q","Output":"FAIL\tq\t0.1s\n"}
{"Action":"fail","Package":"q"}
`

const notBuilt = `{"ImportPath":"r [r.test]","Action":"build-output","Output":"r/r.go:3:1: syntax error\n"}
{"Action":"output","Package":"r","Output":"FAIL\tr [build failed]\n"}
{"Action":"fail","Package":"r","FailedBuild":"r [r.test]"}
`

func reportOf(t *testing.T, log string) *Log {
	t.Helper()
	r := New()
	if err := r.Read(strings.NewReader(log)); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCountsAndVerdict(t *testing.T) {
	for _, c := range []struct {
		name, log, want string
		noskip, ok      bool
	}{
		{"a skip is allowed", events, "passed [p.TestA] failed [] skipped [{p.TestB needs Java on PATH}]", false, true},
		{"a skip is a failure", events, "passed [p.TestA] failed [] skipped [{p.TestB needs Java on PATH}]", true, false},
		{"a failed test, and not its package again", events + failing, "passed [p.TestA] failed [q.TestC] skipped [{p.TestB needs Java on PATH}]", false, false},
		{"a package that does not build", events + notBuilt, "passed [p.TestA] failed [r] skipped [{p.TestB needs Java on PATH}]", false, false},
		{"no test ran", `{"Action":"skip","Package":"p"}`, "passed [] failed [] skipped []", false, false},
		{"an empty log", "", "passed [] failed [] skipped []", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := reportOf(t, c.log)
			if got := fmt.Sprintf("passed %v failed %v skipped %v", r.Passed, r.Failed, r.Skipped); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if err := r.Verdict(c.noskip); (err == nil) != c.ok {
				t.Errorf("verdict: %v, want ok %v", err, c.ok)
			}
		})
	}
}

func TestFiguresAreAddedUp(t *testing.T) {
	r := reportOf(t, events+"CHECKED tlc states=5\nCHECKED spec states=1 depth=9\nunrelated: CHECKED spec states=1000\n"+
		"CHECKED spec model bound=ci states=7\nCHECKED spec model bound=ci states=7\n")
	want := []Figure{{"spec", "states", 101}, {"spec", "edges", 250}, {"spec", "depth", 9}, {"tlc", "states", 5}, {"spec model bound=ci", "states", 14}}
	if got := r.Figures(); !slices.Equal(got, want) {
		t.Errorf("figures %v, want %v", got, want)
	}
}

func TestMalformedFigureIsAnError(t *testing.T) {
	for _, line := range []string{"CHECKED", "CHECKED spec", "CHECKED spec states", "CHECKED spec states=many", "CHECKED spec states=1 2", "CHECKED states=1", "CHECKED spec states 1 edges=2",
		"CHECKED spec states=99999999999999999999"} {
		if err := New().Read(strings.NewReader(line)); err == nil {
			t.Errorf("%q was accepted", line)
		}
	}
}
