package scheduler

import (
	"fmt"
	"slices"

	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/spec"
)

// Enabled appends the steps that the code can take, determined without the model.
func (w *World) Enabled(buf []spec.Step) []spec.Step {
	for i, c := range w.callers {
		arg, at := uint8(i), &c.thread.at
		add := func(actions ...spec.Action) {
			for _, a := range actions {
				buf = append(buf, spec.Step{Action: a, Arg: arg})
			}
		}
		switch at.kind {
		case atIdle:
			if int(w.calls) < w.bound.Calls {
				add(spec.InvokeStart, spec.InvokeStop, spec.InvokeShutdown, spec.InvokeUse)
			}
			continue
		case atPoint:
			add(at.action)
		case atDone:
			add(spec.Return)
			continue
		case atWait:
			if closed(at.done) {
				add(spec.Return)
				continue
			}
			if closed(at.ended) {
				add(at.action)
			}
		case atLeft:
			if closed(at.done) {
				add(spec.Return)
			} else {
				add(at.action)
			}
			continue
		}
		if !c.ctx.ended && !c.inUse() {
			add(spec.ContextEnds)
		}
	}
	for _, t := range w.ops {
		arg := uint8(t.at.attempt.Number())
		add := func(a spec.Action) { buf = append(buf, spec.Step{Action: a, Arg: arg}) }
		switch t.at.kind {
		case atPoint:
			add(t.at.action)
		case atWait, atLeft:
			ended := t.at.done == nil || closed(t.at.done)
			switch {
			case t.at.action == spec.TryAgain && ended:
				add(spec.Finish)
			case t.at.action == spec.TryAgain, ended:
				add(t.at.action)
			}
		case atOpen:
			a := w.attempts[arg-1]
			switch {
			case int(a.parts) < w.bound.Parts:
				add(spec.OpenPart)
			case !a.view().Reported:
				add(spec.OpenOk)
			}
			add(spec.OpenErr)
			if w.bound.Retries {
				add(spec.OpenRetry)
			}
		case atRelease:
			add(spec.ReleaseOk)
			add(spec.ReleaseErr)
		}
	}
	m := control.Inspect(w.life)
	if m.State == spec.Starting {
		buf = append(buf, spec.Step{Action: spec.Timeout, Arg: uint8(m.Begun)})
	}
	if int(w.fails) < w.bound.Fails {
		for g := range w.attempts {
			buf = append(buf, spec.Step{Action: spec.Fail, Arg: uint8(g + 1)})
		}
	}
	return w.enabledRestarts(m, buf)
}

// inUse reports whether the caller is in a use, whose context plays no part in the protocol.
func (c *caller) inUse() bool {
	switch c.thread.at.action {
	case spec.UseLoad, spec.UseAdd, spec.UseSlow, spec.UseEnd, spec.UseDrop:
		return true
	}
	return false
}

// Do takes an enabled step.
func (w *World) Do(st spec.Step) {
	w.begins(st)
	switch {
	case st.Action == spec.ContextEnds:
		w.callers[st.Arg].ctx.end()
		w.granted = false
	case st.Action == spec.Fail:
		w.fails++
		report := func() { w.reportFailure(st.Arg&^marked, st.Arg&marked != 0) }
		if w.section == nil {
			report()
		} else { // on a thread, which can stop
			w.resume(w.threads.run(w, report))
		}
	case st.Action == spec.Timeout:
		control.Timeout(w.attempts[st.Arg-1].Attempt)
	case st.Action == spec.Restart, st.Action == spec.GivesUp:
		w.doRestart(st)
	case st.Action.OfCaller():
		w.resume(w.callers[st.Arg&^marked].thread)
	default:
		for _, t := range w.ops {
			if t.at.attempt.Number() == uint64(st.Arg&^marked) {
				w.resume(t)
				break
			}
		}
		w.sweep()
	}
	w.ends()
}

// begins makes st the running step.
func (w *World) begins(st spec.Step) {
	w.seen, w.released, w.complaints, w.unkept = w.seen[:0], w.released[:0], w.complaints[:0], w.unkept[:0]
	w.step, w.granted, w.chose = st, true, nil
	w.taken++
	if w.section != nil && w.section.of == nil {
		w.section.step, w.section.writes = st, ""
	}
}

// ends brings each new goroutine to its first point.
func (w *World) ends() {
	if w.granted {
		w.complaints = append(w.complaints, fmt.Sprintf("%v was chosen and the code did not come by its point", w.step))
		w.granted = false
	}
	if w.section != nil && w.section.of != nil { // the lock is held: not yet
		return
	}
	for i := 0; i < len(w.fresh); i++ { // which may bring more
		t := w.fresh[i]
		w.resume(t)
		if !t.over {
			w.ops = append(w.ops, t)
		}
	}
	w.fresh = w.fresh[:0]
}

// sweep forgets the operations that have ended.
func (w *World) sweep() {
	w.ops = slices.DeleteFunc(w.ops, func(t *thread) bool { return t.over })
}

// reportFailure uses a lease of the attempt if a caller has one, otherwise its scope.
func (w *World) reportFailure(g uint8, byScope bool) {
	if c := w.lessee(g); c != nil && !byScope {
		c.lease.Fail(errDead)
		return
	}
	w.attempts[g-1].latest().scope.Fail(errDead)
}

// lessee returns a caller that has a lease of attempt g; nil: there is none.
func (w *World) lessee(g uint8) *caller {
	for _, c := range w.callers {
		if a := control.LeaseOf(&c.lease); c.using && a != nil && a.Number() == uint64(g) {
			return c
		}
	}
	return nil
}

// marked, in the Arg of a step, says that the code takes it in another way than the model. For
// Fail, the attempt's scope reports although there is a lease, which would report otherwise. For a
// step that follows a wait, the caller or the operation has chosen that branch and has yet to take
// the lock; the model sees nothing happen. For Restart and GivesUp, the Backoff answers, and
// nothing follows yet, or ever.
const marked = 0x80

// Unmarked returns the model's step for a step that Moves returned; false: it has none.
func Unmarked(st spec.Step) (spec.Step, bool) {
	is := st.Arg&marked != 0
	st.Arg &^= marked
	return st, !is || st.Action == spec.Fail
}

// otherWays appends the marked steps that the code can take.
func (w *World) otherWays(buf []spec.Step) []spec.Step {
	for i, c := range w.callers {
		if at := &c.thread.at; at.kind == atWait && !closed(at.done) && closed(at.ended) {
			buf = append(buf, spec.Step{Action: at.action, Arg: uint8(i) | marked})
		}
	}
	for _, t := range w.ops {
		if at := &t.at; at.kind == atWait && at.action == spec.TryAgain && !closed(at.done) {
			buf = append(buf, spec.Step{Action: spec.TryAgain, Arg: uint8(at.attempt.Number()) | marked})
		}
	}
	if int(w.fails) < w.bound.Fails {
		for g := range w.attempts {
			if w.lessee(uint8(g+1)) != nil {
				buf = append(buf, spec.Step{Action: spec.Fail, Arg: uint8(g+1) | marked})
			}
		}
	}
	return w.otherRestarts(buf)
}
