package trace

import (
	"errors"
	"fmt"

	"github.com/seed3893aba4/surestart/internal/timeline"
	"github.com/seed3893aba4/surestart/spec"
)

// place is which list the next step comes from: a thread's, or -1: a section of
// nobody's. And what the model is after it.
type place struct {
	thread  int
	st      spec.State
	closing bool
	due     bool
	held    uint8 // by the attempt of that generation
	gen     uint8
}

// place takes the next step of a list, with the model as it is now.
func (k *checker) place(thread int) {
	p := place{thread: thread, st: k.model.St, closing: k.model.Closing, due: k.model.Due, gen: k.model.Gen}
	if p.gen > 0 {
		p.held = k.model.Attempt(p.gen).Held
	}
	k.placed = append(k.placed, p)
}

// Timeline holds the trace against the model, and draws its steps where they were
// placed. If it is no behaviour of the model the error is a *Rejected, and the last
// line is what has no place.
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
