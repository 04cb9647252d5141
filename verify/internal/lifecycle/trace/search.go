package trace

import "github.com/seed3893aba4/surestart/spec"

// node is a state of the search: how far each list is placed, and the model's state.
type node struct {
	sec   uint8
	pos   [maxThreads]uint8
	model spec.Snapshot
}

const maxThreads = 6

// Search places the steps of the trace in every order that the model allows. It returns how many
// states that reaches, including the trace's first, and whether one of them is the end of the
// trace. It does the same as tla/Trace.tla. The end of a context is a state of its own, taken only
// if the next step of its caller depends on it. While a call can begin or return, or a context is
// cancelled, nothing else is tried, because that changes nothing for other callers. (A torn load
// has no place here: see Verdict.) Search gives up, with 0 states, after more than limit states.
func (t *Trace) Search(limit int) (states int, accepted bool) {
	seen := map[node]bool{{}: true}
	queue := []node{{}}
	a := at{pos: make([]int, len(t.Threads))}
	for len(queue) > 0 {
		n := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		a.sec, a.model = int(n.sec), n.model
		for th := range a.pos {
			a.pos[th] = int(n.pos[th])
		}
		accepted = accepted || t.ended(&a)
		for _, next := range t.steps(&a, n) {
			if !seen[next] {
				seen[next] = true
				queue = append(queue, next)
			}
		}
		if len(seen) > limit {
			return 0, false
		}
	}
	return len(seen), accepted
}

// steps returns the states that follow.
func (t *Trace) steps(a *at, n node) (next []node) {
	to := func(th int, model spec.Snapshot) node {
		m := n
		m.model = model
		if th >= 0 {
			m.pos[th]++
		}
		return m
	}
	for th, events := range t.Threads {
		if a.pos[th] == len(events) {
			continue
		}
		e := &events[a.pos[th]]
		model, ok := t.free(a, th, e)
		if ok && e.calm() {
			return []node{to(th, model)}
		}
		if ok {
			next = append(next, to(th, model))
		}
		if ended, ok := t.ends(a, th); ok {
			next = append(next, to(-1, ended))
		}
	}
	if a.sec == len(t.Sections) || !t.due(a) {
		return next
	}
	s := &t.Sections[a.sec]
	if model, ok := t.Bound.Next(a.model, spec.Step{Action: s.Action, Arg: s.arg()}); ok && t.differs(s, &a.model, &model) == nil {
		m := to(s.Thread, model)
		m.sec++
		next = append(next, m)
	}
	return next
}

// calm reports whether the step concerns its own caller only.
func (e *Event) calm() bool {
	return e.Kind == Cancels || e.Kind == Free && (e.Action <= spec.InvokeUse || e.Action == spec.Return)
}

// ended reports whether every step is placed, every call has returned, no operation runs, and no
// restart is due.
func (t *Trace) ended(a *at) bool {
	if a.sec < len(t.Sections) {
		return false
	}
	for th, events := range t.Threads {
		if a.pos[th] < len(events) {
			return false
		}
	}
	return t.quiet(&a.model) == nil
}
