// Package flight is a flight recorder: it keeps the last transitions of a lifecycle in
// memory. After an incident your program can write them to a file. The command surestart
// (cmd/surestart) draws them, and checks them against the specification:
//
//	recorder := flight.NewRecorder(1000)
//	l := fsm.New(open, fsm.WithObserver(recorder.Observe))
//	...
//	recorder.WriteTo(file) // then: surestart replay -check FILE
//
// A recording has transitions, not calls: it does not show which order of calls led to them.
package flight

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/oneline"
	"github.com/seed3893aba4/surestart/internal/strict"
	"github.com/seed3893aba4/surestart/spec"
)

// A Recorder keeps the last transitions of a lifecycle. The zero Recorder is ready for use,
// and keeps 1,000. Its methods may be called concurrently. They block only while another
// call copies the kept transitions, and WriteTo also while its writer blocks.
type Recorder struct {
	mu   sync.Mutex
	ring []Transition
	next int    // the place of the next transition
	seen uint64 // how many transitions were observed
}

// NewRecorder returns a recorder that keeps the last n transitions, at least one. Each takes
// about 200 bytes and the text of its cause.
func NewRecorder(n int) *Recorder { return &Recorder{ring: make([]Transition, 0, max(n, 1))} }

// Observe records t. Pass it to fsm.WithObserver of one lifecycle. If the cause's Error
// method calls runtime.Goexit, the transition is recorded without its cause.
func (r *Recorder) Observe(t fsm.Transition) {
	kept := Transition{t.From, t.To, t.Event, t.Attempt, t.At, t.Took, ""}
	defer func() { r.keep(kept) }()
	if t.Cause != nil {
		kept.Cause = oneline.Text(t.Cause)
	}
}

func (r *Recorder) keep(kept Transition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ring == nil {
		r.ring = make([]Transition, 0, 1000)
	}
	r.seen++
	if len(r.ring) < cap(r.ring) {
		r.ring = append(r.ring, kept)
		return
	}
	r.ring[r.next] = kept
	r.next = (r.next + 1) % len(r.ring)
}

// Recording returns a copy of the kept transitions.
func (r *Recorder) Recording() Recording {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Recording{
		Version:     version,
		Dropped:     r.seen - uint64(len(r.ring)),
		Transitions: append(append([]Transition(nil), r.ring[r.next:]...), r.ring[:r.next]...),
	}
}

// WriteTo writes the recording as JSON, for Read, and returns the number of bytes written
// and the error of w. It implements io.WriterTo. Observe does not wait for w.
func (r *Recorder) WriteTo(w io.Writer) (int64, error) {
	text, err := json.MarshalIndent(r.Recording(), "", "  ")
	if err != nil {
		return 0, err
	}
	n, err := w.Write(append(text, '\n'))
	return int64(n), err
}

// A Transition is a kept fsm.Transition. Cause is the text of its error, "" for none.
type Transition struct {
	From    fsm.State     `json:"from"`
	To      fsm.State     `json:"to"`
	Event   fsm.Event     `json:"event"`
	Attempt uint64        `json:"attempt"`
	At      time.Time     `json:"at"`
	Took    time.Duration `json:"took"` // nanoseconds
	Cause   string        `json:"cause,omitempty"`
}

const version = 1

// A Recording has the last transitions of a lifecycle, the oldest first.
type Recording struct {
	Version     int          `json:"recording"` // 1
	Dropped     uint64       `json:"dropped"`   // the number of older transitions, which were not kept
	Transitions []Transition `json:"transitions"`
}

// Read reads one complete recording, as WriteTo writes it, up to the end of the input. Its
// error says why the input is not a recording, for example that it is truncated.
func Read(from io.Reader) (Recording, error) {
	var r Recording
	if err := strict.Decode(from, &r); err != nil {
		return r, fmt.Errorf("flight: not a recording: %w", err)
	}
	if r.Version != version {
		return r, fmt.Errorf("flight: a recording of version %d; this program reads version %d", r.Version, version)
	}
	return r, nil
}

// A Violation is a transition that the specification does not allow.
type Violation struct {
	At        int            // the index of the transition, from 0
	Why       string         // what is wrong with it
	Guarantee spec.Guarantee // the guarantee that it breaks
}

// Error returns the number of the transition, from 1, what is wrong, and the guarantee.
func (v *Violation) Error() string {
	return fmt.Sprintf("flight: transition %d: %s: %v is broken", v.At+1, v.Why, v.Guarantee)
}

// Check returns nil if the specification allows these transitions in this order: each is
// a row of the transition table, begins in the state in which the previous one ended, and
// has the right attempt number. Otherwise it returns a *Violation for the first transition
// that is wrong. If transitions were dropped, the first one may begin in any state.
func (r Recording) Check() error {
	at, attempt := fsm.Idle, uint64(0)
	for i, t := range r.Transitions {
		known := i > 0 || r.Dropped == 0
		wrong := func(guarantee, format string, args ...any) error {
			g, _ := spec.GuaranteeOf(guarantee)
			return &Violation{i, fmt.Sprintf(format, args...), g}
		}
		if known && t.From != at {
			switch {
			case at == fsm.Closed:
				return wrong("G11", "the state is Closed, and the transition begins in %v", t.From)
			case t.Event == fsm.EventStart:
				return wrong("G1", "the state is %v, and a start begins in %v", at, t.From)
			}
			return wrong("G3", "the state is %v, and the transition begins in %v", at, t.From)
		}
		if to, ok := spec.Next(t.Event, t.From); !ok || to != t.To {
			return wrong("G3", "the transition table has no %v from %v to %v", t.Event, t.From, t.To)
		}
		if t.Event == fsm.EventStart {
			attempt++
		}
		if known && t.Attempt != attempt {
			return wrong("G13", "the attempt is %d, and the transition has %d", attempt, t.Attempt)
		}
		at, attempt = t.To, t.Attempt
	}
	return nil
}
