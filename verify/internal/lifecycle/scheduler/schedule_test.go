package scheduler

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/spec"
)

// A schedule that is written, read and replayed is the one that it was, and the
// shipped code follows it.
func TestScheduleIsReplayed(t *testing.T) {
	bound := spec.Bound{Callers: 2, Parts: 1, Calls: 2, Fails: 1}
	g := bound.Graph()
	want := g.Path(len(g.States) - 1)
	got, err := kept(t, &Difference{Bound: bound, Steps: want, Guarantee: spec.Guarantees()[3]}).Replay()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) || len(want) < 10 {
		t.Errorf("replayed %v, want %v", got, want)
	}
}

// kept is the schedule to a difference, as it is read from its file.
func kept(t *testing.T, d *Difference) Schedule {
	t.Helper()
	name, err := Save(t.TempDir(), d)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := ReadSchedule(f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// So is one with restarts, also where the Backoff has answered and the timer has yet to fire.
func TestScheduleWithRestartsIsReplayed(t *testing.T) {
	b := spec.Bound{Callers: 1, Parts: 1, Restarts: 2, Calls: 1, Fails: 2}
	up := []spec.Step{
		{Action: spec.InvokeStart}, {Action: spec.StartFast}, {Action: spec.StartEnter}, {Action: spec.OpenPart, Arg: 1},
		{Action: spec.OpenOk, Arg: 1}, {Action: spec.Return}, {Action: spec.Fail, Arg: 1}, {Action: spec.DrainEnd, Arg: 1},
		{Action: spec.ReleaseOk, Arg: 1}, {Action: spec.Finish, Arg: 1},
	}
	for _, rest := range [][]spec.Step{
		{{Action: spec.Restart, Arg: 1}, {Action: spec.OpenErr, Arg: 2}, {Action: spec.Finish, Arg: 2}, {Action: spec.GivesUp, Arg: 2}},
		{{Action: spec.Restart, Arg: 1 | marked}, {Action: spec.Restart, Arg: 1}, {Action: spec.OpenPart, Arg: 2}, {Action: spec.OpenOk, Arg: 2}},
	} {
		want := slices.Concat(up, rest)
		s := kept(t, &Difference{Bound: b, Steps: want, Guarantee: spec.Guarantees()[7]})
		if got, err := s.Replay(); err != nil || !slices.Equal(got, want) {
			t.Errorf("replayed %v, %v; want %v", got, err, want)
		}
	}
}

func TestReadScheduleNamesWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		`hello`:                              "not a schedule",
		`{"version": 1, "hops": 3}`:          "unknown field",
		`{"version": 7}`:                     "reads version 1",
		`{"version": 1, "bound": {}}`:        "Callers",
		step(`"action": "Sart"`):             `no action is called "Sart"`,
		step(`"action": "InvokeStart"`):      "caller 0",
		step(`"action":"Return","caller":3`): "callers 1 to 2",
	} {
		if _, err := ReadSchedule(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	s, err := ReadSchedule(strings.NewReader(step(`"action":"Return","caller":2`)))
	if err != nil {
		t.Fatal(err)
	}
	var d *Difference
	if _, err := s.Replay(); err == nil || errors.As(err, &d) || !strings.Contains(err.Error(), "step 1: Return(c2) is not enabled; enabled are [InvokeStart(c1)") {
		t.Errorf("replaying a step that is not enabled: %v", err)
	}
}

func step(fields string) string {
	return `{"version": 1, "bound": {"Callers": 2, "Parts": 1, "Calls": 2, "Fails": 0}, "steps": [{` + fields + `}]}`
}

// One step of the shipped code, the whole state compared, on one processor:
// the figure "steps/s".
func BenchmarkSteps(b *testing.B) {
	pin, _ := spec.PinOf("ci")
	g := pin.Graph()
	w := newWalked(g, 0)
	defer w.End()
	var paths [1000][]spec.Step
	for i := range paths {
		paths[i] = g.Path(i * 7919 % len(g.States))
	}
	steps := 0
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		w.Begin()
		for _, st := range paths[i%len(paths)] {
			if err := w.Take(st); err != nil {
				b.Fatal(err)
			}
			steps++
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
}
