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

// So is one with a supervisor, whatever its steps.
func TestSupervisedScheduleIsReplayed(t *testing.T) {
	b := spec.Bound{Callers: 2, Parts: 1, Calls: 3, Fails: 2}
	x := newSupervisedWalk(b)
	x.seen = map[position]bool{x.first: true}
	all := [...]bool{asksAgain: true, givesUp: true, timerEnds: true, tooLate: true}
	found := [len(all)]bool{}
	level := []reached{{at: x.first}}
	for level != nil && found != all {
		var err error
		if level, err = x.walk(t.Context(), level, new(Cover)); err != nil {
			t.Fatal(err)
		}
		for _, r := range level {
			if r.at.stale && !r.at.busy && !found[tooLate] { // which leads to where it was
				r.way = append(slices.Clip(r.way), supervisedStep{kind: tooLate})
			}
			last := r.way[len(r.way)-1]
			if last.kind == ordinary || found[last.kind] {
				continue
			}
			found[last.kind] = true
			if said := unseen(r.way); last.kind != timerEnds && !strings.HasSuffix(said[len(said)-1], last.String()) {
				t.Errorf("of %v is said %q", r.way, said)
			}
			s := kept(t, &Difference{Bound: b, way: r.way, Guarantee: spec.Guarantees()[7]})
			steps, err := s.steps()
			if err != nil || !slices.Equal(steps, r.way) {
				t.Errorf("written %v, read %v, %v", r.way, steps, err)
			}
			if taken, err := s.Replay(); err != nil || len(taken) == 0 {
				t.Errorf("replayed %v: %v, %v", r.way, taken, err)
			}
			s.Steps = append(s.Steps, Step{Action: "Return", Caller: 2}, Step{Action: "Return", Caller: 2})
			var d *Difference
			if _, err := s.Replay(); err == nil || errors.As(err, &d) || !strings.Contains(err.Error(), "Return(c2) is not enabled; enabled are [") {
				t.Errorf("replaying a step that is not enabled: %v", err)
			}
		}
	}
	if found != all {
		t.Errorf("found of %q: %v", restartNames, found)
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
		step(`"action": "Restart"`):          `no action is called "Restart"`, // there is no supervisor
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
	x := &explorer{g: g}
	var paths [1000][]spec.Step
	for i := range paths {
		paths[i] = g.Path(i * 7919 % len(g.States))
	}
	w := new(worker)
	defer w.threads.close()
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		if err := x.from(w, paths[i%len(paths)], func(*Pair) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(x.steps.Load())/b.Elapsed().Seconds(), "steps/s")
}
