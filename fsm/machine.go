package fsm

import (
	"context"
	"errors"
	"fmt"

	looplab "github.com/looplab/fsm"

	"github.com/seed3893aba4/surestart/spec"
)

// machine is looplab/fsm on the generated table. It is used inside the critical
// sections of one Lifecycle and never leaves this package.
//
// looplab's sharp edges stay out of reach: no callbacks (they deadlock, run out
// of order, or wedge the machine when they panic), and never a context that can
// be cancelled (a cancelled one leaves the machine in transition for good).
type machine struct{ fsm *looplab.FSM }

var (
	events = describe(spec.Table())
	states = byName()
)

// describe turns the table into looplab's events, and panics on a table that
// looplab would accept in silence: no known state, two destinations, a self-loop.
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

// fire moves by e and returns where to. An event that the table does not allow
// in the present state is refused with looplab's InvalidEventError and changes
// nothing; any other error is a bug of this package.
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
