package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	recording "github.com/seed3893aba4/surestart/fsm/flight"
	"github.com/seed3893aba4/surestart/spec"
)

const recorded = `{"recording":1,"dropped":7,"transitions":[
	{"from":"Started","to":"Stopping","event":"died","attempt":3,"at":"2026-01-02T03:04:05Z","took":1000,"cause":"the broker has gone"},
	{"from":"Stopping","to":"Idle","event":"released","attempt":3,"at":"2026-01-02T03:04:06Z","took":1000},
	{"from":"Idle","to":"Starting","event":"start","attempt":4,"at":"2026-01-02T03:04:07Z","took":1000}]}`

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

// The sample that docs/operating.md names is a recording that -check accepts.
func TestReplayTheSample(t *testing.T) {
	r := call(t, "", "replay", "-check", "../../docs/samples/recording.json")
	if r.status != exitOK || !strings.Contains(r.out, "makes all 11 transitions") || !strings.Contains(r.out, "connection refused") {
		t.Errorf("status %d, %s:\n%s", r.status, r.err, r.out)
	}
}

// One that the machine cannot make is refused by -check: by name, and at the transition.
func TestReplayRefusesARecording(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.html")
	wrong := strings.Replace(recorded, `"attempt":4`, `"attempt":3`, 1)
	r := call(t, "", "replay", "-check", "-html", page, file(t, "recording.json", wrong))
	if r.status != exitFail || !strings.Contains(r.out, "✗ flight: transition 3: the attempt is 4, and the transition has 3: G13 OwnGeneration is broken") {
		t.Errorf("status %d:\n%s", r.status, r.out)
	}
	if html, err := os.ReadFile(page); err != nil || strings.Count(string(html), `class="breaks"`) != 1 || !strings.Contains(string(html), "G13 OwnGeneration is broken") {
		t.Errorf("%v, the page:\n%s", err, html)
	}
	if r := call(t, "", "replay", file(t, "recording.json", wrong)); r.status != exitOK {
		t.Errorf("without -check: status %d", r.status)
	}
	if r := call(t, "", "replay", file(t, "schedule.json", `{"version":1}`)); r.status != exitUsage || !strings.Contains(r.err, "./check replay") {
		t.Errorf("a schedule: status %d, %s", r.status, r.err)
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
		"-format png":              "!mermaid, dot or svg",
		"too many":                 "!unexpected argument",
	} {
		r := call(t, "", append([]string{"graph"}, strings.Fields(args)...)...)
		if want, fails := strings.CutPrefix(part, "!"); fails != (r.status == exitUsage) || !strings.Contains(r.out+r.err, want) {
			t.Errorf("graph %s: status %d, no %q in\n%s%s", args, r.status, want, r.out, r.err)
		}
	}
}

// What a file says reaches the terminal as text and no more, and a file that is cut short,
// or followed by something, is said to be.
func TestReplayIsCareful(t *testing.T) {
	recorder := recording.NewRecorder(10)
	at := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	recorder.Observe(fsm.Transition{From: fsm.Idle, To: fsm.Starting, Event: spec.EventStart, Attempt: 1, At: at})
	recorder.Observe(fsm.Transition{From: fsm.Starting, To: fsm.Stopping, Event: spec.EventFailed, Attempt: 1, At: at, Cause: errors.New("\x1b[2J\u202eone\ntwo")})
	var kept strings.Builder
	recorder.WriteTo(&kept)
	page := filepath.Join(t.TempDir(), "page.html")
	r := call(t, "", "replay", "-check", "-html", page, file(t, "recording.json", kept.String()))
	html, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{r.out, string(html)} {
		if r.status != exitOK || !strings.Contains(text, `\x1b[2J\u202eone; two`) || strings.ContainsAny(text, "\x1b\u202e") {
			t.Errorf("status %d:\n%q", r.status, text)
		}
	}

	whole := kept.String()
	for text, want := range map[string]string{
		whole[:len(whole)/2]: "truncated", whole[:len(whole)-2]: "truncated",
		whole + whole: "more input follows the value", whole + "}": "more input follows the value",
	} {
		r := call(t, "", "replay", file(t, "recording.json", text))
		if r.status != exitUsage || !strings.Contains(r.err, "not a recording: "+want) || r.out != "" {
			t.Errorf("status %d, %s; want that it is %s", r.status, r.err, want)
		}
	}
	if r := call(t, "", "replay", file(t, "recording.json", whole+" \n")); r.status != exitOK {
		t.Errorf("with white space after it: status %d, %s", r.status, r.err)
	}

	r = call(t, "", "replay", file(t, "any.json", "{\"version\":1,\"\x1b[2J\":1}"))
	if r.status != exitUsage || strings.Contains(r.err, "\x1b") {
		t.Errorf("status %d, %q", r.status, r.err)
	}
	r = call(t, "", "replay", "\x1b[2J\nno such file")
	if r.status != exitUsage || strings.Contains(r.err, "\x1b") || strings.Count(r.err, "\n") != 1 {
		t.Errorf("status %d, %q", r.status, r.err)
	}
}
