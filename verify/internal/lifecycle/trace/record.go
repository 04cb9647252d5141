package trace

import (
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/internal/goroutine"
	"github.com/seed3893aba4/surestart/spec"
)

// recorder is a control.Hook that blocks and orders nothing. It has no lock, no atomic and no
// channel of its own that a goroutine could wait for. So the race detector sees what it would see
// without the recorder.
type recorder struct {
	life     any
	threads  map[uint64]*thread // by the goroutine's number; not written while calls run
	running  *sync.WaitGroup
	panicked chan *Panicked
	restless bool      // give way at the points, so that one processor interleaves too
	sections []Section // under the lifecycle's lock
}

// thread is a goroutine with a program. Only that goroutine touches it.
type thread struct {
	index  int
	events []Event
	tried  bool        // UseAdd was passed in this Acquire
	passed spec.Action // the last point that tells what a fast step saw
}

const nothingPassed = spec.InvokeStart // no point has this name

// self returns the calling goroutine, or nil for an operation's or a timer's.
func (r *recorder) self() *thread { return r.threads[goroutine.Number()] }

func (r *recorder) giveWay() {
	if r.restless && rand.Uint32()&3 == 0 {
		runtime.Gosched()
	}
}

// Point implements control.Hook. That a goroutine reaches a point shows what the lock-free step
// before it saw.
func (r *recorder) Point(action spec.Action, at control.Attempt) {
	switch action {
	case spec.StartEnter, spec.UseAdd, spec.UseSlow, spec.UseDrop:
		if t := r.self(); t != nil {
			t.pass(action, at)
		}
	}
	r.giveWay()
}

func (t *thread) pass(action spec.Action, at control.Attempt) {
	t.passed = action
	switch {
	case action == spec.StartEnter:
		t.did(spec.StartFast, 0)
	case action == spec.UseAdd:
		t.tried = true
		t.did(spec.UseLoad, uint8(at.Number()))
	case action == spec.UseSlow && t.tried:
		t.did(spec.UseAdd, 0)
	case action == spec.UseSlow:
		t.did(spec.UseLoad, 0)
	case action == spec.UseDrop:
		t.did(spec.UseEnd, 0)
	}
}

func (t *thread) did(action spec.Action, saw uint8) {
	t.events = append(t.events, Event{Action: action, Saw: saw})
}

// Wait implements control.Hook: the code waits by itself.
func (r *recorder) Wait(spec.Action, control.Attempt, <-chan struct{}, <-chan struct{}) { r.giveWay() }

// Go implements control.Hook: the code's own go statement runs f.
func (r *recorder) Go(f func()) func() {
	r.running.Add(1)
	return func() {
		defer r.running.Done()
		defer r.contain()
		r.giveWay()
		f()
	}
}

// contain makes a panic of the code the result of the run. The code may have panicked with the lock
// held, so the run cannot wait for anything else.
func (r *recorder) contain() {
	if v := recover(); v != nil {
		select {
		case r.panicked <- &Panicked{v, string(debug.Stack())}:
		default:
		}
	}
}

// Took implements control.Hook.
func (r *recorder) Took(action spec.Action, at control.Attempt) {
	m := control.Inspect(r.life)
	s := Section{
		Action: action, Thread: -1, Waits: at != nil,
		Word: m.StateWord, St: m.State, Gen: uint8(m.Begun), Closing: m.Closing,
		Due: m.Due, Again: m.Again, Restarts: uint8(m.Restarts),
	}
	if m.Opened != nil {
		s.Cur = uint8(m.Opened.Number())
	}
	if at != nil {
		s.Attempt = uint8(at.Number())
	}
	if m.Queued != nil {
		var v control.View
		m.Queued.View(&v)
		s.Queued = uint8(v.Waiters)
	}
	if s.Attempt > 0 {
		s.Views = append(s.Views, viewOf(at))
	}
	if m.Current != nil && m.Current != at {
		s.Views = append(s.Views, viewOf(m.Current))
	}
	if t := r.self(); t != nil {
		s.Thread = t.index
		t.events = append(t.events, Event{Kind: Locked, Action: action, Section: len(r.sections)})
	}
	r.sections = append(r.sections, s)
}

// viewOf reads an attempt. It reads the number of uses in flight only from a closed gate, because
// an open one counts outside the lock.
func viewOf(a control.Attempt) View {
	var v control.View
	a.View(&v)
	w := View{
		Number: uint8(v.Number), Held: uint8(v.Held), Waiters: uint8(v.Waiters), Stoppers: uint8(v.Stoppers),
		Op: v.Op, Reported: v.Reported, Open: v.Open,
	}
	if !v.Open {
		w.InUse = uint8(v.InUse)
	}
	if !v.Finished { // afterwards nothing reads these any more
		w.Fate, w.Forced, w.RelErr = fateOf(v.RollbackErr), v.Forced, v.RelErr
	}
	return w
}
