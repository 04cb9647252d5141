package scheduler

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/seed3893aba4/surestart/spec"
)

// Schedule is a list of steps that can be kept in a file and run again.
type Schedule struct {
	Version   int    `json:"version"` // 1
	Guarantee string `json:"guarantee,omitempty"`
	// What was seen at the end of it, when it was written.
	What  []string   `json:"what,omitempty"`
	Bound spec.Bound `json:"bound"`
	// The lifecycle has a supervisor (fsm.WithRestart), which is the last of its callers.
	Supervised bool   `json:"supervised,omitempty"`
	Steps      []Step `json:"steps"`
}

// Step is a spec.Step by its names: a caller counts from 1, as in a timeline. A supervisor
// has steps besides: BackoffSaysWhen and GivesUp, which its Backoff answers; Restart, when its timer
// fires, with the first two steps of its Start; and LateTimer, one that was called off.
type Step struct {
	Action  string `json:"action"`
	Caller  int    `json:"caller,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
}

const scheduleVersion = 1

// Schedule returns the schedule that leads to the difference.
func (d *Difference) Schedule() Schedule {
	s := Schedule{Version: scheduleVersion, Guarantee: d.Guarantee.ID + " " + d.Guarantee.Name, What: d.What, Bound: d.Bound, Supervised: d.way != nil}
	way := d.way
	if way == nil {
		way = ordinarySteps(d.Steps)
	}
	for _, st := range way {
		var one Step
		switch {
		case st.kind != ordinary:
			one.Action = st.String()
		case st.Action.OfCaller():
			one = Step{Action: st.Action.String(), Caller: int(st.Arg) + 1}
		default:
			one = Step{Action: st.Action.String(), Attempt: int(st.Arg)}
		}
		s.Steps = append(s.Steps, one)
	}
	return s
}

func ordinarySteps(steps []spec.Step) []supervisedStep {
	way := make([]supervisedStep, len(steps))
	for i, st := range steps {
		way[i].Step = st
	}
	return way
}

// Save writes the schedule of err, if that is a *Difference, into a new file in
// dir ("": the directory for temporary files), and returns its name.
func Save(dir string, err error) (string, error) {
	var d *Difference
	if !errors.As(err, &d) {
		return "", fmt.Errorf("scheduler: no schedule leads to %w", err)
	}
	if dir == "" {
		dir = os.TempDir()
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	text, err := json.MarshalIndent(d.Schedule(), "", "  ")
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, "schedule-"+d.Guarantee.ID+"-*.json")
	if err != nil {
		return "", err
	}
	_, err = f.Write(append(text, '\n'))
	return filepath.Clean(f.Name()), errors.Join(err, f.Close())
}

// ReadSchedule reads what Save wrote.
func ReadSchedule(r io.Reader) (Schedule, error) {
	var s Schedule
	in := json.NewDecoder(r)
	in.DisallowUnknownFields()
	if err := in.Decode(&s); err != nil {
		return s, fmt.Errorf("not a schedule: %w", err)
	}
	if s.Version != scheduleVersion {
		return s, fmt.Errorf("a schedule of version %d: this program reads version %d", s.Version, scheduleVersion)
	}
	if err := s.Bound.Check(); err != nil {
		return s, err
	}
	_, err := s.steps()
	return s, err
}

func (s Schedule) steps() ([]supervisedStep, error) {
	steps := make([]supervisedStep, 0, len(s.Steps))
	for i, one := range s.Steps {
		if kind := slices.Index(restartNames[:], one.Action); kind > int(ordinary) && s.Supervised {
			steps = append(steps, supervisedStep{kind: restartKind(kind)})
			continue
		}
		a := slices.IndexFunc(spec.Actions(), func(a spec.Action) bool { return a.String() == one.Action })
		if a < 0 {
			return nil, fmt.Errorf("step %d: no action is called %q: the names are those of tla/Algorithm.tla", i+1, one.Action)
		}
		st := spec.Step{Action: spec.Action(a), Arg: uint8(one.Attempt)}
		if st.Action.OfCaller() {
			st.Arg = uint8(one.Caller - 1)
			if one.Caller < 1 || one.Caller > s.Bound.Callers {
				return nil, fmt.Errorf("step %d: %v is caller %d's, there are callers 1 to %d", i+1, st.Action, one.Caller, s.Bound.Callers)
			}
		}
		steps = append(steps, supervisedStep{Step: st})
	}
	return steps, nil
}

// Replay runs the schedule on the shipped code, compared with the model after
// each step, and what could happen next before each. It returns the steps taken,
// and the *Difference if there is one, also where a step never ends. A step that the code does not allow is an
// error that names those that it does.
func (s Schedule) Replay() ([]spec.Step, error) {
	steps, err := s.steps()
	if err != nil {
		return nil, err
	}
	var taken []spec.Step
	err = watch(1, func(w *worker) (err error) {
		if s.Supervised {
			taken, err = s.supervised(w, steps)
		} else {
			taken, err = s.plain(w, steps)
		}
		return err
	}, new(atomic.Bool), func() {})
	var d *Difference
	if errors.As(err, &d) {
		taken = d.Steps
	}
	return taken, err
}

func (s Schedule) plain(w *worker, steps []supervisedStep) ([]spec.Step, error) {
	p := &Pair{World: newWorld(&w.threads)}
	p.begin(s.Bound)
	defer p.Close()
	w.pair.Store(p)
	defer w.pair.Store(nil)
	ordinary := make([]spec.Step, len(steps))
	for i, st := range steps {
		ordinary[i] = st.Step
	}
	err := follow(ordinary, p.Enabled, p.Take)
	if err == nil {
		_, err = p.refuses()
	}
	return p.Steps, err
}

func (s Schedule) supervised(w *worker, steps []supervisedStep) ([]spec.Step, error) {
	x := newSupervisedWalk(s.Bound)
	g := x.new(w)
	defer w.pair.Store(nil)
	err := x.replay(g, nil, func() error {
		return follow(steps, func() ([]supervisedStep, error) { return g.look(new(Cover)) }, g.take)
	})
	return g.Steps, err
}

// follow takes the steps, looking before each at what can happen next, and at the end.
func follow[S comparable](steps []S, look func() ([]S, error), take func(S) error) error {
	for i, st := range steps {
		enabled, err := look()
		if err != nil {
			return err
		}
		if !slices.Contains(enabled, st) {
			return fmt.Errorf("step %d: %v is not enabled; enabled are %v", i+1, st, enabled)
		}
		if err := take(st); err != nil {
			return err
		}
	}
	_, err := look()
	return err
}
