package scheduler

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/seed3893aba4/surestart/internal/strict"
	"github.com/seed3893aba4/surestart/spec"
	"github.com/seed3893aba4/surestart/verify/internal/walk"
)

// Schedule is a list of steps that can be kept in a file and run again.
type Schedule struct {
	Version   int    `json:"version"` // 1
	Guarantee string `json:"guarantee,omitempty"`
	// What is what was seen at its end, when it was written.
	What  []string   `json:"what,omitempty"`
	Bound spec.Bound `json:"bound"`
	Steps []Step     `json:"steps"`
}

// Step is a spec.Step by its names. A caller counts from 1, as in a timeline.
type Step struct {
	Action  string `json:"action"`
	Caller  int    `json:"caller,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	// OtherWay means, for a Fail, that the scope reports it although a caller has a lease. For a
	// step that follows a wait (StartLeave, StopLeave, TryAgain), it means that the step is chosen
	// and not yet taken. For Restart and GivesUp, it means that the Backoff answers and nothing
	// follows.
	OtherWay bool `json:"otherWay,omitempty"`
}

const scheduleVersion = 1

// Schedule returns the schedule that leads to the difference.
func (d *Difference) Schedule() Schedule {
	s := Schedule{Version: scheduleVersion, Guarantee: d.Guarantee.ID + " " + d.Guarantee.Name, What: d.What, Bound: d.Bound}
	for _, st := range d.Steps {
		arg := st.Arg &^ marked
		one := Step{Action: st.Action.String(), OtherWay: st.Arg&marked != 0}
		if st.Action.OfCaller() {
			one.Caller = int(arg) + 1
		} else {
			one.Attempt = int(arg)
		}
		s.Steps = append(s.Steps, one)
	}
	return s
}

// Save writes the schedule of err, if that is a *Difference, into a new file in dir ("": the
// directory for temporary files), and returns its name.
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
	if err := strict.Decode(r, &s); err != nil {
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

func (s Schedule) steps() ([]spec.Step, error) {
	steps := make([]spec.Step, 0, len(s.Steps))
	for i, one := range s.Steps {
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
		if one.OtherWay {
			st.Arg |= marked
		}
		steps = append(steps, st)
	}
	return steps, nil
}

// Replay runs the schedule on the shipped code, and compares the code with the model before and
// after each step. It returns the steps taken, and the *Difference if there is one, also if a step
// never ends. If the code does not allow a step, the error names the steps that it allows.
func (s Schedule) Replay() ([]spec.Step, error) {
	steps, err := s.steps()
	if err != nil {
		return nil, err
	}
	var taken []spec.Step
	w := newWalked(&spec.Graph{Bound: s.Bound}, 0)
	err = walk.Watch(w, func() (err error) {
		taken, err = s.follow(w, steps)
		return err
	})
	var d *Difference
	if errors.As(err, &d) {
		taken = d.Steps
	}
	return taken, err
}

// follow takes the steps. It compares what can happen next before each, and at the end.
func (s Schedule) follow(w *walked, steps []spec.Step) ([]spec.Step, error) {
	w.Begin()
	p := w.Pair
	defer p.Close()
	for i, st := range steps {
		enabled, err := p.Moves()
		if err != nil {
			return p.Steps, err
		}
		if !slices.Contains(enabled, st) {
			return p.Steps, fmt.Errorf("step %d: %v is not enabled; enabled are %v", i+1, st, enabled)
		}
		if err := p.Take(st); err != nil {
			return p.Steps, err
		}
	}
	_, err := p.Enabled()
	if err == nil {
		_, err = p.refuses()
	}
	return p.Steps, err
}
