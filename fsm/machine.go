package fsm

import (
	"context"
	"errors"
	"fmt"

	looplab "github.com/looplab/fsm"

	"github.com/seed3893aba4/surestart/spec"
)

// machine is looplab/fsm with the generated table. Only the critical sections of one
// Lifecycle use it.
//
// It uses no callbacks: they deadlock, run out of order, or block the machine forever when
// they panic. It passes no context that can be cancelled: a cancelled context leaves the
// machine in transition.
type machine struct{ fsm *looplab.FSM }

var (
	events = describe(spec.Table())
	states = byName()
)

// describe turns the table into looplab's events. It panics on mistakes that looplab
// accepts silently: an unknown state or event, two destinations, a self-loop.
func describe(rows []spec.Row) []looplab.EventDesc {
	type key struct {
		event spec.Event
		from  spec.State
	}
	seen := make(map[key]bool)
	descs := make([]looplab.EventDesc, 0, len(rows))
	for _, row := range rows {
		k := key{row.Event, row.From}
		switch {
		case int(row.From) >= len(spec.States()) || int(row.To) >= len(spec.States()):
			panic(fmt.Sprintf("fsm: transition table: %v: no such state", row))
		case int(row.Event) >= len(spec.Events()):
			panic(fmt.Sprintf("fsm: transition table: %v: no such event", row))
		case row.From == row.To:
			panic(fmt.Sprintf("fsm: transition table: %v: leads to itself", row))
		case seen[k]:
			panic(fmt.Sprintf("fsm: transition table: %v: a second destination", row))
		}
		seen[k] = true
		descs = append(descs, looplab.EventDesc{
			Name: row.Event.String(), Src: []string{row.From.String()}, Dst: row.To.String(),
		})
	}
	return descs
}

func byName() map[string]State {
	m := make(map[string]State)
	for _, s := range spec.States() {
		m[s.String()] = s
	}
	return m
}

func newMachine() machine {
	return machine{looplab.NewFSM(spec.Idle.String(), events, nil)}
}

// fire makes the transition of e and returns the new state. If the table lacks e for the
// present state, fire changes nothing and returns looplab's InvalidEventError. Any other
// error is a bug in this package: fire panics.
func (m machine) fire(e spec.Event) (State, error) {
	if err := m.fsm.Event(context.Background(), e.String()); err != nil {
		if !errors.As(err, new(looplab.InvalidEventError)) {
			panic(fmt.Sprintf("fsm: %v in %v: %v", e, m.fsm.Current(), err))
		}
		return m.state(), err
	}
	return m.state(), nil
}

func (m machine) state() State { return states[m.fsm.Current()] }
