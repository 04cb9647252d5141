package scheduler

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/internal/supervisor"
	"github.com/seed3893aba4/surestart/spec"
)

// supervised is what a world knows of its lifecycle's supervisor, the last of its
// callers: who starts again what died (fsm.WithRestart).
type supervised struct {
	asking *thread // who asks the Backoff; nil: nobody
	again  bool    // its answer
	twice  bool    // somebody else asked when one did already
	timer  func()  // what the latest timer runs
}

func (s *supervised) begin() *supervised {
	if s != nil {
		*s = supervised{}
	}
	return s
}

// nobody is the thread of a caller that has none: a supervisor that does nothing.
var nobody = new(thread)

func (w *World) isSupervisor(caller int) bool {
	return w.supervisor != nil && caller == len(w.callers)-1
}

func (w *World) lastCaller() *caller { return w.callers[len(w.callers)-1] }

// restarts is the supervisor's Backoff: what it answers is the scheduler's choice.
type restarts struct{ w *World }

// Next implements fsm.Backoff. A timer that it asks for does not fire by itself.
func (r restarts) Next(int, error) (wait time.Duration, again bool) {
	w := r.w
	if w.closing {
		return 0, false
	}
	w.granted = false
	w.supervisor.twice = w.supervisor.asking != nil
	w.supervisor.asking = w.running
	w.running.pause(point{kind: atAsk, attempt: w.running.at.attempt})
	return 10_000 * time.Hour, w.supervisor.again && !w.closing
}

// restartKind is a step of the supervisor's that is no action of Algorithm.tla.
type restartKind uint8

const (
	ordinary  restartKind = iota
	asksAgain             // the Backoff says when
	givesUp               // the Backoff says no
	timerEnds             // the timer fires: Restart, and the first two steps of its Start
	tooLate               // a timer fires that has been called off
)

// restartNames are those of a schedule's file, where they are Supervisor.tla's if it has one.
var restartNames = [...]string{asksAgain: "BackoffSaysWhen", givesUp: "GivesUp", timerEnds: "Restart", tooLate: "LateTimer"}

// supervisedStep is a step of a world with a supervisor.
type supervisedStep struct {
	spec.Step
	kind restartKind
}

func (st supervisedStep) String() string {
	if st.kind == ordinary {
		return st.Step.String()
	}
	return restartNames[st.kind]
}

// unseen says when steps were taken that a timeline does not show.
func unseen(way []supervisedStep) (said []string) {
	n := 0 // the timeline's number of the last step
	for _, st := range way {
		switch st.kind {
		case ordinary:
			n++
		case timerEnds:
			n += len(ofRestart)
		default:
			said = append(said, fmt.Sprintf("after %d: %v", n, st))
		}
	}
	return said
}

// do takes a step that is enabled.
func (w *World) do(st supervisedStep) {
	if st.kind == ordinary {
		w.Do(st.Step)
		return
	}
	w.begins(spec.Step{Action: spec.StartEnter, Arg: uint8(len(w.callers) - 1)})
	w.granted = false // it comes by no point
	s, c := w.supervisor, w.lastCaller()
	switch st.kind {
	case timerEnds, tooLate:
		if st.kind == timerEnds {
			w.calls++
		}
		timer := s.timer
		c.thread = w.threads.run(w, func() { timer(); w.granted = false })
		w.resume(c.thread)
	default:
		t := s.asking
		s.asking, s.again = nil, st.kind == asksAgain
		w.resume(t)
		w.sweep()
	}
	if c.thread.over {
		c.thread = nobody
	}
	w.ends()
	if timer := control.TimerOfRestart(w.life); timer != nil {
		s.timer = timer
	}
}

// enabled appends the steps that the code can take.
func (w *World) enabled(buf []supervisedStep) []supervisedStep {
	for _, st := range w.Enabled(nil) {
		buf = append(buf, supervisedStep{Step: st})
	}
	m := control.InspectRestart(w.life)
	if w.supervisor.asking != nil {
		buf = append(buf, supervisedStep{kind: asksAgain}, supervisedStep{kind: givesUp})
	}
	switch {
	case m.Timer && int(w.calls) < w.bound.Calls:
		buf = append(buf, supervisedStep{kind: timerEnds})
	case !m.Timer && w.supervisor.timer != nil && w.lastCaller().thread == nobody:
		buf = append(buf, supervisedStep{kind: tooLate})
	}
	return buf
}

// position is a state of the model, and what only the code has.
type position struct {
	supervisor.State
	asking, another, timer, stale bool
	busy                          bool // the supervisor's own goroutine is there
}

// guarded is a pair whose lifecycle has a supervisor.
type guarded struct {
	*Pair
	model supervisor.Model
	at    position
}

// ExploreSupervised walks, in the code, whatever a lifecycle with a supervisor can do
// at a bound, whose last caller is the supervisor. In each state what the code can do
// is what the model of tla/Supervisor.tla can, each step leads to the model's successor,
// and the same is refused. The code does less in two things: Restart and the first two
// steps of its Start are one, so that a Stop need not end its context; and it sees to a
// restart only while the lifecycle is idle. But while it is, and a restart is due, the
// Backoff is being asked or there is a timer. It returns how much there was (the states
// are the model's), and the first *Difference found, on a shortest schedule.
func ExploreSupervised(ctx context.Context, b spec.Bound) (Cover, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // as Explore does
	x := newSupervisedWalk(b)
	x.seen = map[position]bool{x.first: true}
	level := []reached{{at: x.first}}
	var cover Cover
	for len(level) > 0 {
		next, err := x.walk(ctx, level, &cover)
		if err != nil {
			return cover, err
		}
		level = next
	}
	models := make(map[supervisor.State]bool)
	for p := range x.seen {
		models[p.State] = true
	}
	cover.States = len(models)
	return cover, nil
}

type supervisedWalk struct {
	model supervisor.Model
	first position
	seen  map[position]bool
}

func newSupervisedWalk(b spec.Bound) *supervisedWalk {
	return &supervisedWalk{model: supervisor.Model{Bound: b}, first: position{State: supervisor.State{Snapshot: b.Init()}}}
}

// reached is a position and a shortest way to it.
type reached struct {
	at  position
	way []supervisedStep
}

// walk takes every step from the positions of a level and returns those that are new.
func (x *supervisedWalk) walk(ctx context.Context, level []reached, cover *Cover) (next []reached, err error) {
	var taken atomic.Int64
	var failed atomic.Bool
	var mu sync.Mutex
	err = watch(runtime.GOMAXPROCS(0), func(w *worker) error {
		g := x.new(w)
		defer w.pair.Store(nil)
		for i := taken.Add(1) - 1; int(i) < len(level) && !failed.Load(); i = taken.Add(1) - 1 {
			c, found, err := x.from(g, level[i])
			if err == nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				failed.Store(true)
				return err
			}
			mu.Lock()
			cover.Edges += c.Edges
			cover.Refusals += c.Refusals
			cover.Replays += c.Replays
			cover.Steps += c.Steps
			for _, r := range found {
				if !x.seen[r.at] {
					x.seen[r.at] = true
					next = append(next, r)
				}
			}
			mu.Unlock()
		}
		return nil
	}, &failed, func() {})
	return next, err
}

// from takes every step from one position, each after a replay of the way to it.
func (x *supervisedWalk) from(g *guarded, at reached) (c Cover, found []reached, err error) {
	var steps []supervisedStep
	for i := 0; i == 0 || i < len(steps); i++ {
		err := x.replay(g, at.way, func() error {
			if i == 0 {
				var err error
				if steps, err = g.look(&c); err != nil || len(steps) == 0 {
					return err
				}
			}
			err := g.take(steps[i])
			found = append(found, reached{g.at, append(slices.Clip(at.way), steps[i])})
			return err
		})
		if err != nil {
			return c, nil, err
		}
		c.Replays++
		c.Steps += int64(len(at.way) + 1)
	}
	c.Edges = len(steps)
	return c, found, nil
}

// replay starts the code afresh, takes the steps, and goes on with then. After an
// error nothing more can be done with g.
func (x *supervisedWalk) replay(g *guarded, way []supervisedStep, then func() error) (err error) {
	g.at = x.first
	g.begin(x.model.Bound)
	defer func() {
		if g.Close(); err == nil && g.panicked != nil {
			err = g.panics(g.panicked)
		}
	}()
	for _, st := range way {
		if err := g.take(st); err != nil {
			return err
		}
	}
	return then()
}

// new is what a worker steps.
func (x *supervisedWalk) new(by *worker) *guarded {
	w := newWorld(&by.threads)
	w.supervisor = new(supervised)
	w.options = append(w.options, fsm.WithRestart(restarts{w}))
	g := &guarded{Pair: &Pair{World: w}, model: x.model}
	by.pair.Store(g.Pair)
	return g
}

// look compares what can happen next, and what must not. It returns the steps that
// the code can take.
func (g *guarded) look(c *Cover) ([]supervisedStep, error) {
	n, err := g.refuses()
	c.Refusals += n
	if err != nil {
		return nil, err
	}
	steps := g.enabled(nil)
	var ds []spec.Difference
	self := g.model.Self()
	for _, st := range g.model.Enabled(&g.at.State, nil) {
		if own := st.Action.OfCaller() && st.Arg == self; st.GivesUp || own && st.Action != spec.Return {
			continue // see below
		}
		if !slices.Contains(steps, supervisedStep{Step: st.Step}) {
			ds = append(ds, spec.Missing(st.Step))
		}
	}
	for _, st := range steps {
		if _, ok := g.after(st); !ok {
			ds = append(ds, spec.Difference{Var: spec.VarEnabled, Index: st.String(), Want: "no", Got: "yes"})
		}
	}
	at := &g.at
	if sees := at.asking || at.timer; at.Due && at.Start == supervisor.None && at.St == spec.Idle && !sees {
		ds = append(ds, spec.Difference{Var: "due", Index: "while idle", Want: "the backoff is asked, or a timer", Got: "nobody sees to it"})
	}
	if at.timer && (!at.Due || at.asking) || (at.timer || at.asking) && at.Start != supervisor.None {
		ds = append(ds, spec.Difference{Var: "due", Index: "once", Want: "one restart at a time", Got: fmt.Sprintf("%+v", at)})
	}
	if ds != nil {
		return nil, g.restartDiffers(ds)
	}
	return steps, nil
}

// after is the state of the model after a step of the code: false if it has none.
func (g *guarded) after(st supervisedStep) (supervisor.State, bool) {
	s := g.at.State
	switch {
	case st.kind == ordinary:
		return g.model.Next(s, supervisor.Step{Step: st.Step})
	case st.kind == givesUp && s.Due && !g.at.another:
		return g.model.Next(s, supervisor.Step{GivesUp: true})
	case st.kind == timerEnds:
		ok := true
		for _, action := range ofRestart {
			if ok {
				s, ok = g.model.Next(s, g.model.Of(action))
			}
		}
		return s, ok
	}
	return s, true
}

// ofRestart is what is one step of the code.
var ofRestart = [...]spec.Action{spec.InvokeStart, spec.StartFast, spec.StartEnter}

// take takes a step in code and model, and returns a *Difference unless every
// observable agrees afterwards.
func (g *guarded) take(st supervisedStep) (err error) {
	before := g.at
	after, ok := g.after(st)
	if !ok {
		return fmt.Errorf("scheduler: %v is not enabled in %+v", st, before)
	}
	shown := st.Step
	switch st.kind {
	case ordinary:
		g.Steps = append(g.Steps, st.Step)
	case timerEnds:
		for _, action := range ofRestart {
			shown = g.model.Of(action).Step
			g.Steps = append(g.Steps, shown)
		}
	default:
		shown = g.model.Of(spec.StartFast).Step // whose steps are seen by nobody
	}
	g.at.State, g.Model = after, after.Snapshot
	g.way = append(g.way, st)
	g.progress.Add(1)
	defer g.contain(&err)
	g.do(st)
	if err := g.compare(shown, before.Snapshot, after.Snapshot); err != nil {
		return err
	}
	m := control.InspectRestart(g.life)
	stage := supervisor.None
	switch {
	case m.Calling && m.Off:
		stage = supervisor.Off
	case m.Calling:
		stage = supervisor.Wanted
	}
	var ds []spec.Difference
	if m.Due != after.Due {
		ds = append(ds, spec.Difference{Var: "due", Index: st.String(), Want: fmt.Sprint(after.Due), Got: fmt.Sprint(m.Due)})
	}
	if stage != after.Start {
		ds = append(ds, spec.Difference{Var: "start", Index: st.String(), Want: after.Start.String(), Got: stage.String()})
	}
	if asking := g.supervisor.asking != nil; m.Asking != asking || g.supervisor.twice {
		ds = append(ds, spec.Difference{Var: "due", Index: "asking", Want: fmt.Sprintf("%v, one at a time", asking), Got: fmt.Sprint(m.Asking)})
	}
	if ds != nil {
		return g.restartDiffers(ds)
	}
	g.at.asking, g.at.another, g.at.timer, g.at.stale = m.Asking, m.Another && m.Asking, m.Timer, !m.Timer && g.supervisor.timer != nil
	g.at.busy = g.lastCaller().thread != nobody
	return nil
}

// restartDiffers is a difference in what Supervisor.tla says: RestartUntilStop, a part of G8.
func (g *guarded) restartDiffers(ds []spec.Difference) error {
	d := g.differ(ds)
	if slices.ContainsFunc(ds, func(d spec.Difference) bool { return d.Var == "due" || d.Var == "start" || d.Index == "Restart" }) {
		d.Guarantee, _ = spec.GuaranteeOf("StopWins")
	}
	return d
}
