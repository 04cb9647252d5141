package trace

import (
	"errors"
	"fmt"

	"github.com/seed3893aba4/surestart/internal/timeline"
	"github.com/seed3893aba4/surestart/spec"
)

// place is the list of the next step, and the model's state after it. The list is a thread's, or -1
// for a section of no caller.
type place struct {
	thread  int
	st      spec.State
	closing bool
	due     bool
	held    uint8 // by the attempt of that generation
	gen     uint8
}

// place records the next step of a list, with the present state of the model.
func (k *checker) place(thread int) {
	p := place{thread: thread, st: k.model.St, closing: k.model.Closing, due: k.model.Due, gen: k.model.Gen}
	if p.gen > 0 {
		p.held = k.model.Attempt(p.gen).Held
	}
	k.placed = append(k.placed, p)
}

// Timeline checks the trace, and draws its steps where they were placed. If it is not a behaviour
// of the model, the error is a *Rejected, and the last line is the step that has no place.
func (t *Trace) Timeline() (timeline.Timeline, error) {
	k, err := t.checked()
	line := timeline.Timeline{Title: "A trace of real goroutines"}
	for i := range t.Threads {
		name := fmt.Sprintf("c%d", i+1)
		if i == t.Bound.Callers {
			name = "outside"
		}
		line.Columns = append(line.Columns, name)
	}
	line.Columns = append(line.Columns, "operation")
	pos, sec := make([]int, len(t.Threads)), 0
	add := func(p place) {
		step := timeline.Step{Cells: make([]string, len(line.Columns)), State: p.st.String()}
		if p.thread < 0 || pos[p.thread] == len(t.Threads[p.thread]) {
			s := &t.Sections[sec]
			step.Cells[len(t.Threads)] = s.String()
			sec++
		} else {
			e := &t.Threads[p.thread][pos[p.thread]]
			step.Cells[p.thread] = e.String()
			pos[p.thread]++
			if e.Kind == Locked {
				sec = e.Section + 1
			}
		}
		if p.closing {
			step.State += ", closing"
		}
		if p.due {
			step.State += ", restart due"
		}
		if p.held > 0 {
			step.Held = fmt.Sprintf("#%d: %d", p.gen, p.held)
		}
		line.Steps = append(line.Steps, step)
	}
	for _, p := range k.placed {
		add(p)
	}
	var r *Rejected
	if errors.As(err, &r) {
		line.Title, line.What = fmt.Sprintf("%v is broken", r.Guarantee), r.What
		if k.stuck != nil {
			k.place(*k.stuck) // with the model as it was before
			add(k.placed[len(k.placed)-1])
		}
	}
	return line, err
}
