package fsm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	looplab "github.com/looplab/fsm"

	"github.com/seed3893aba4/surestart/spec"
)

// Every event in every state: the table's go where it says, the others are
// refused with looplab's typed error and change nothing.
func TestEveryEventInEveryState(t *testing.T) {
	allowed := 0
	for _, from := range spec.States() {
		for _, e := range spec.Events() {
			l := New(func(context.Context, *Scope) (int, error) { return 0, nil })
			l.machine.fsm.SetState(from.String())
			l.stateWord.Store(uint32(from))
			before := l.Status()

			to, err := l.machine.fire(e)
			want, ok := spec.Next(e, from)
			if ok {
				allowed++
				if err != nil || to != want || l.machine.state() != want {
					t.Errorf("%v in %v: %v, %v; want %v", e, from, to, err, want)
				}
				continue
			}
			var invalid looplab.InvalidEventError
			if !errors.As(err, &invalid) || invalid.Event != e.String() || invalid.State != from.String() {
				t.Errorf("%v in %v: %v (%T); want InvalidEventError of both", e, from, err, err)
			}
			if to != from || l.machine.state() != from {
				t.Errorf("%v in %v: refused, but the state is %v", e, from, l.machine.state())
			}
			// And through the lifecycle: no transition, no notification, no change.
			if l.fireLocked(e, nil) {
				t.Errorf("%v in %v: allowed", e, from)
			}
			after := l.Status()
			if fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("%v in %v: refused, but changed %+v to %+v", e, from, before, after)
			}
			// The refusal has not wedged it: what the table allows still works.
			for _, row := range spec.Table() {
				if row.From == from {
					if to, err := l.machine.fire(row.Event); err != nil || to != row.To {
						t.Errorf("after a refusal of %v: %v: %v, %v", e, row, to, err)
					}
					break
				}
			}
		}
	}
	if n := len(spec.Table()); allowed != n || n == 0 {
		t.Errorf("%d events allowed; the table has %d rows", allowed, n)
	}
}

// The table is validated where looplab would accept it in silence.
func TestDescribeRefuses(t *testing.T) {
	good := spec.Table()
	if n := len(describe(good)); n != len(good) {
		t.Errorf("describe of %d rows: %d events", len(good), n)
	}
	for _, c := range []struct {
		why string
		row spec.Row
	}{
		{"no such state", spec.Row{Event: spec.EventStart, From: spec.State(99), To: spec.Idle}},
		{"no such state", spec.Row{Event: spec.EventStart, From: spec.State(len(spec.States())), To: spec.Idle}},
		{"no such state", spec.Row{Event: spec.EventStart, From: spec.Closed, To: spec.State(len(spec.States()))}},
		{"no such event", spec.Row{Event: spec.Event(len(spec.Events())), From: spec.Closed, To: spec.Idle}},
		{"leads to itself", spec.Row{Event: spec.EventStart, From: spec.Closed, To: spec.Closed}},
		{"a second destination", spec.Row{Event: good[0].Event, From: good[0].From, To: spec.Closed}},
		{"a second destination", good[0]},
	} {
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, c.why) || !strings.Contains(text, "fsm: transition table") {
					t.Errorf("%v: %s; want a panic that says %q", c.row, text, c.why)
				}
			}()
			describe(append(spec.Table(), c.row))
		}()
	}
}

// An error of looplab's other than InvalidEventError is a bug of this package,
// and a transition that the code took for granted too: both are loud.
func TestMachineBugsAreLoud(t *testing.T) {
	loud := func(want string, f func()) {
		t.Helper()
		defer func() {
			if text := fmt.Sprint(recover()); !strings.Contains(text, want) {
				t.Errorf("%s; want a panic that says %q", text, want)
			}
		}()
		f()
	}
	loud("does not exist", func() { newMachine().fire(spec.Event(99)) })
	l := New(func(context.Context, *Scope) (int, error) { return 0, nil })
	loud("the transition table lacks released in Idle", func() { l.mustFireLocked(spec.EventReleased, nil) })
}
