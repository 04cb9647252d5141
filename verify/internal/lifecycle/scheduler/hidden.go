package scheduler

import (
	"context"
	"fmt"
	"hash/maphash"
	"reflect"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/control"
)

// The state of the code that the model does not have. Two paths to one state of the model may leave
// the code in two states, which differ in a field that Snapshot does not show. The walk
// distinguishes them by a digest of everything else. That is the fields of a lifecycle and of its
// parts, read by reflection, so that a new field counts at once. It is also what callers and hooks
// have: leases, scopes, contexts, and the place of each goroutine. The map fields says which fields
// are left out, and why two codes that differ in one do the same. A test compares the list with the
// types.

// Reasons for leaving a field out of the digest. A field in the digest has none.
const (
	counted  = ""
	modelled = "Snapshot reads it, and it is compared with the model"
	fixed    = "it is the same for as long as what it belongs to"
	aTime    = "a time: it is shown, and decides nothing"
	aName    = "a name: it is shown, and decides nothing; promises.go looks whether it is the right one"
	notifies = "the observers' goroutine comes to its end in the step that made it"
)

var fields = map[string]string{
	"Lifecycle.stateWord": modelled, "Lifecycle.opened": modelled, "Lifecycle.machine": modelled,
	"Lifecycle.closing": modelled, "Lifecycle.begun": modelled, "Lifecycle.current": modelled,
	"Lifecycle.config": fixed, "Lifecycle.open": fixed,
	"Lifecycle.mu":     "no goroutine stands at a point with it: if one did, the next step would not end",
	"Lifecycle.queued": counted, "Lifecycle.since": aTime,
	"Lifecycle.cause":      "promises.go compares it after each step that may set it, and the code asks for what the attempt itself has set",
	"Lifecycle.supervisor": counted, "Lifecycle.done": counted,
	"Lifecycle.watchers":     "a walk has no Wait",
	"Lifecycle.readyWaiters": "nor Ready", "Lifecycle.stopped": "which is all that asks for it",
	"Lifecycle.runs": "nor Run", "Lifecycle.holders": "nor Hold",
	"Lifecycle.logs": notifies,

	"supervisor.due": modelled, "supervisor.restarts": modelled,
	"supervisor.timer": counted, "supervisor.awaitingDelay": counted, "supervisor.diedAgain": counted, "supervisor.values": counted,
	"supervisor.restartAt": aTime, "supervisor.opened": aTime,

	// The digest has nothing of an attempt that has ended. Only late calls of its scopes, leases
	// and timer read it. They have no effect because it has ended, whatever else it is. Every
	// caller that waited for it was answered in the step in which it ended, where the answers were
	// compared.
	"attempt.l": fixed, "attempt.cancel": fixed, "attempt.number": modelled,
	"attempt.gate": "once it is closed, which is for good, only its sign is looked at; before, " + modelled,
	"attempt.ctx":  counted, "attempt.opening": counted, "attempt.timer": counted, "attempt.values": counted,
	"attempt.resource": "uses are given it, and each looks whether it is its attempt's",
	"attempt.ran":      counted, "attempt.hookErr": counted, "attempt.retry": counted, "attempt.pause": counted, "attempt.done": counted, "attempt.doneReturned": counted, "attempt.backoffDue": counted,
	"attempt.outer": counted, "attempt.restart": modelled, "attempt.reported": modelled, "attempt.outcome": counted,
	"attempt.op": modelled, "attempt.rollbackErr": counted, "attempt.reason": counted, "attempt.waiters": modelled, "attempt.stoppers": modelled,
	"attempt.holds": "nobody calls Hold during a walk", "attempt.holders": "and these are 0 and nil",
	"attempt.answered": counted, "attempt.isAnswered": counted, "attempt.startErr": counted,
	"attempt.left":     "reason is its cause, and a walk has no Breaker, which alone gets the rest",
	"attempt.finished": counted, "attempt.isFinished": counted, "attempt.stopErr": counted,
	"attempt.tried": counted, "attempt.lastTry": counted, "attempt.acquiring": aName,
	"attempt.parts": counted, "attempt.releasing": counted, "attempt.failedPart": aName, "attempt.releaseErrs": counted,
	"attempt.lastStep": aTime, "attempt.inUse": modelled, "attempt.forced": counted, "attempt.drained": counted, "attempt.uses": counted,

	"part.name": aName, "part.release": counted,
	"useSet.leases": counted, "useSet.cancel": counted, "useSet.each": counted, "useSet.over": counted, "useSet.reason": counted,

	"Lease._": fixed, "Lease.a": counted, "Lease.released": counted, "Lease.context": counted,
	"leaseContext.Context": counted, "leaseContext.cancel": counted, "leaseContext.marker": counted,
	"Scope.owner": counted, "Scope.try": counted,
	"marker.over": counted, "marker.outer": counted, "marker.by": counted,
}

// hidden returns the digest of the state of the code that the model does not have.
func (w *World) hidden() uint64 {
	d := digest{seen: w.pointers[:0]}
	d.value(reflect.ValueOf(w.life))
	for _, a := range w.attempts {
		d.value(reflect.ValueOf(a.Attempt))
		v := &w.view
		if a.View(v); v.Finished {
			continue
		}
		for i := range a.tries {
			t := &a.tries[i]
			d.context(t.ctx)
			d.value(reflect.ValueOf(t.scope))
		}
	}
	for _, c := range w.callers {
		d.standing(&c.thread.at)
		if d.flag(c.using); c.using { // else its lease is over, and does nothing any more
			d.context(c.useCtx)
			d.value(reflect.ValueOf(&c.lease))
		}
	}
	for _, t := range w.ops {
		d.standing(&t.at)
	}
	d.flag(w.timer != nil)
	w.pointers = d.seen
	return d.h
}

// digest is a hash of the values added to it. A pointer counts as the value it points to, and as
// equal to earlier pointers or not.
type digest struct {
	h    uint64
	seen []unsafe.Pointer
}

func (d *digest) add(x uint64) {
	x += d.h * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	d.h = x ^ x>>31
}

func (d *digest) flag(b bool) {
	if b {
		d.add(1)
	} else {
		d.add(2)
	}
}

var seed = maphash.MakeSeed()

// known adds which earlier pointer p equals, and returns false if p is new.
func (d *digest) known(p unsafe.Pointer) bool {
	for i, one := range d.seen {
		if one == p {
			d.add(uint64(i))
			return true
		}
	}
	d.add(uint64(len(d.seen)))
	d.seen = append(d.seen, p)
	return false
}

func (d *digest) standing(p *point) {
	d.add(uint64(p.kind))
	if p.kind == atPoint || p.kind == atWait || p.kind == atLeft {
		d.add(uint64(p.action))
	}
	d.add(uint64(number(p.attempt)))
}

// err adds whether there is an error, and whether it is a StartError. The code depends on nothing
// else of an error. The rest appears in reports, which promises.go checks.
func (d *digest) err(err error) {
	_, start := err.(*fsm.StartError)
	d.flag(err == nil)
	d.flag(start)
}

// context adds whether a context has ended, and whose values it carries.
func (d *digest) context(ctx context.Context) {
	if ctx == nil {
		d.add(0)
		return
	}
	d.flag(ctx.Err() == nil)
	caller, is := ctx.Value(callerKey{}).(int)
	d.flag(is)
	d.add(uint64(caller))
	d.flag(ctx.Value(baseKey{}) != nil)
}

// isArmed reports whether a timer has yet to fire. None fires during a walk.
func isArmed(t *time.Timer) bool { return t != nil && t.Stop() && !t.Reset(forEver) }

// value adds a value of one of fsm's types, or of one of their fields.
func (d *digest) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		d.flag(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		d.add(uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		d.add(v.Uint())
	case reflect.String:
		d.add(maphash.String(seed, v.String()))
	case reflect.Func:
		d.flag(v.IsNil())
	case reflect.UnsafePointer:
		d.known(v.UnsafePointer())
	case reflect.Chan:
		if ch, is := open[chan struct{}](v); is {
			d.flag(ch == nil)
			d.flag(ch != nil && closed(ch))
		} else {
			d.flag(v.IsNil())
		}
	case reflect.Pointer:
		switch timer, is := open[*time.Timer](v); {
		case is:
			d.flag(isArmed(timer))
		case v.IsNil():
			d.add(0)
		case !d.known(v.UnsafePointer()):
			d.value(v.Elem())
		}
	case reflect.Interface:
		if err, is := open[error](v); is {
			d.err(err)
		} else if ctx, is := open[context.Context](v); is {
			d.context(ctx)
		} else if e := v.Elem(); !v.IsNil() && e.Kind() != reflect.Pointer {
			panic(fmt.Sprintf("scheduler: a %v holds a %v: say what that tells", v.Type(), e.Type()))
		} else if d.flag(v.IsNil()); !v.IsNil() {
			d.value(e)
		}
	case reflect.Map: // the keys are pointers: how many there are
		d.add(uint64(v.Len()))
	case reflect.Slice, reflect.Array:
		d.add(uint64(v.Len()))
		for i := range v.Len() {
			d.value(v.Index(i))
		}
	case reflect.Struct:
		d.fields(v)
	default:
		panic(fmt.Sprintf("scheduler: say what a %v tells", v.Type()))
	}
}

// open returns the value of a field, if the field has that type. v is addressable.
func open[T any](v reflect.Value) (t T, is bool) {
	if is = v.Type() == reflect.TypeFor[T](); is {
		t = *(*T)(unsafe.Pointer(v.UnsafeAddr()))
	}
	return t, is
}

func (d *digest) fields(v reflect.Value) {
	l := layoutOf(v.Type())
	if l.finished >= 0 && v.Field(l.finished).Bool() {
		return
	}
	for _, i := range l.counted {
		d.value(v.Field(i))
	}
}

// layout says which fields of a struct are in the digest.
type layout struct {
	finished int // the field isFinished; -1: it is no attempt
	counted  []int
}

var layouts sync.Map // reflect.Type -> *layout

func layoutOf(t reflect.Type) *layout {
	if l, ok := layouts.Load(t); ok {
		return l.(*layout)
	}
	name := typeName(t)
	l := &layout{finished: -1}
	for i := range t.NumField() {
		if name == "attempt" && t.Field(i).Name == "isFinished" {
			l.finished = i
		}
		if fields[name+"."+t.Field(i).Name] == counted { // or it is not listed
			l.counted = append(l.counted, i)
		}
	}
	layouts.Store(t, l)
	return l
}

// typeName returns the name of the type without its parameters.
func typeName(t reflect.Type) string {
	name, _, _ := strings.Cut(t.Name(), "[")
	return name
}

// startTimeoutOf returns the timer of an attempt; nil: it has none.
func startTimeoutOf(a control.Attempt) *time.Timer {
	timer, _ := open[*time.Timer](reflect.ValueOf(a).Elem().FieldByName("timer"))
	return timer
}
