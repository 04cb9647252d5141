package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/internal/trace"
)

const agrees = `{"version":1,"bound":{"Callers":1,"Parts":1,"Calls":2,"Fails":0},"steps":[
	{"action":"InvokeStart","caller":1},{"action":"StartFast","caller":1},{"action":"StartEnter","caller":1},
	{"action":"OpenPart","attempt":1},{"action":"OpenOk","attempt":1}]}`

const recorded = `{"recording":1,"dropped":7,"transitions":[
	{"from":"Started","to":"Stopping","event":"died","attempt":3,"at":"2026-01-02T03:04:05Z","took":1000,"cause":"the broker has gone"},
	{"from":"Stopping","to":"Idle","event":"released","attempt":3,"at":"2026-01-02T03:04:06Z","took":1000},
	{"from":"Idle","to":"Starting","event":"start","attempt":4,"at":"2026-01-02T03:04:07Z","took":1000}]}`

// A schedule on which code and model agree is drawn, in the terminal and as a page.
func TestReplayASchedule(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.html")
	r := call(t, "", "replay", "-html", page, file(t, "schedule.json", agrees))
	for _, part := range []string{"StartEnter", "OpenPart #1", "Started", "code and model agree on all 5 steps"} {
		if !strings.Contains(r.out, part) {
			t.Errorf("no %q in\n%s", part, r.out)
		}
	}
	html, err := os.ReadFile(page)
	if err != nil || r.status != exitOK || strings.Count(string(html), "<tr data-state=") != 5 || strings.Contains(string(html), `class="breaks"`) {
		t.Errorf("status %d, %v, the page:\n%s", r.status, err, html)
	}
}

// A recording is drawn, and accepted by -check.
func TestReplayARecording(t *testing.T) {
	r := call(t, "", "replay", "-check", file(t, "recording.json", recorded))
	for _, part := range []string{"the broker has gone", "2026-01-02 03:04:06.000", "released", "7 older transitions were not kept", "makes all 3 transitions"} {
		if !strings.Contains(r.out, part) {
			t.Errorf("no %q in\n%s", part, r.out)
		}
	}
	if r.status != exitOK {
		t.Errorf("status %d: %s", r.status, r.err)
	}
}

// One that the machine cannot make is refused by -check: by name, and at the transition.
func TestReplayRefusesARecording(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.html")
	wrong := strings.Replace(recorded, `"attempt":4`, `"attempt":3`, 1)
	r := call(t, "", "replay", "-check", "-html", page, file(t, "recording.json", wrong))
	if r.status != exitFail || !strings.Contains(r.out, "✗ transition 3: it is attempt 4's, and says 3: G13 OwnGeneration is broken") {
		t.Errorf("status %d:\n%s", r.status, r.out)
	}
	if html, err := os.ReadFile(page); err != nil || strings.Count(string(html), `class="breaks"`) != 1 || !strings.Contains(string(html), "G13 OwnGeneration is broken") {
		t.Errorf("%v, the page:\n%s", err, html)
	}
	if r := call(t, "", "replay", file(t, "recording.json", wrong)); r.status != exitOK {
		t.Errorf("without -check: status %d", r.status)
	}
	if r := call(t, "", "replay", "-check", file(t, "schedule.json", agrees)); r.status != exitUsage {
		t.Errorf("-check of a schedule: status %d", r.status)
	}
}

func TestGraph(t *testing.T) {
	for args, part := range map[string]string{
		"":                         "s0 --> s1: start",
		"-format svg":              "<svg",
		"-format dot -level calls": "StartJoins",
		"-level algorithm":         "Stopping: drain",
		"-format svg -level calls": ">stopwait</text>",
		"-level none":              "!machine, algorithm, calls",
		"-format png":              "!mermaid, dot and svg",
		"too many":                 "!unexpected argument",
	} {
		r := call(t, "", append([]string{"graph"}, strings.Fields(args)...)...)
		if want, fails := strings.CutPrefix(part, "!"); fails != (r.status == exitUsage) || !strings.Contains(r.out+r.err, want) {
			t.Errorf("graph %s: status %d, no %q in\n%s%s", args, r.status, want, r.out, r.err)
		}
	}
}

// A trace of real goroutines is held against the model: drawn whole, or up to what has no place.
func TestReplayATrace(t *testing.T) {
	run, err := trace.Run(1)
	if err != nil {
		t.Fatal(err)
	}
	keep := func(run *trace.Trace) string {
		var kept strings.Builder
		if err := run.Write(&kept, "for a test"); err != nil {
			t.Fatal(err)
		}
		return file(t, "trace.json", kept.String())
	}
	if r := call(t, "", "replay", keep(run)); r.status != exitOK || !strings.Contains(r.out, "the model makes all ") || !strings.Contains(r.out, "Return") {
		t.Errorf("status %d:\n%s%s", r.status, r.out, r.err)
	}
	wrong := run.Corruptions(rand.New(rand.NewPCG(1, 1)))[0]
	page := filepath.Join(t.TempDir(), "page.html")
	r := call(t, "", "replay", "-html", page, keep(wrong.Trace))
	if r.status != exitFail || !strings.Contains(r.out, "is broken") || !strings.Contains(r.out, "✗ ") {
		t.Errorf("%s: status %d:\n%s%s", wrong.What, r.status, r.out, r.err)
	}
	if html, err := os.ReadFile(page); err != nil || strings.Count(string(html), `class="breaks"`) != 1 {
		t.Errorf("%v, the page:\n%s", err, html)
	}
	if r := call(t, "", "replay", file(t, "trace.json", `{"trace":1}`)); r.status != exitUsage {
		t.Errorf("no trace: status %d", r.status)
	}
}
