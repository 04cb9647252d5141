// Package flight keeps the last transitions of a lifecycle in memory, so that an
// incident in production can be written out, looked at and checked against the
// specification:
//
//	recorder := flight.NewRecorder(1000)
//	l := fsm.New(open, fsm.WithObserver(recorder.Observe))
//	...
//	recorder.WriteTo(file) // then: surestart replay -check FILE
//
// What is recorded is what an observer is told: states and events, not calls. For
// which interleaving led there see the schedules and traces of the repository's docs.
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

// A Recorder keeps the last transitions; a zero one the last thousand. Its methods may be
// called concurrently; they block for no longer than it takes to copy what is kept.
type Recorder struct {
	mu   sync.Mutex
	ring []Transition
	next int    // where the next one goes
	seen uint64 // transitions observed in all
}

// NewRecorder returns a recorder that keeps the last n transitions, at least one.
// Memory is bounded by that: some 200 bytes each, and the causes' texts.
func NewRecorder(n int) *Recorder { return &Recorder{ring: make([]Transition, 0, max(n, 1))} }

// Observe is for fsm.WithObserver. One recorder is for one lifecycle. A cause whose Error
// panics, or ends the goroutine, costs its text, not the transition.
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

// Recording returns a copy of what is kept.
func (r *Recorder) Recording() Recording {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Recording{
		Version:     version,
		Dropped:     r.seen - uint64(len(r.ring)),
		Transitions: append(append([]Transition(nil), r.ring[r.next:]...), r.ring[:r.next]...),
	}
}

// WriteTo writes what is kept, as Read reads it. It is an io.WriterTo, and writes
// while Observe goes on.
func (r *Recorder) WriteTo(w io.Writer) (int64, error) {
	text, err := json.MarshalIndent(r.Recording(), "", "  ")
	if err != nil {
		return 0, err
	}
	n, err := w.Write(append(text, '\n'))
	return int64(n), err
}

// A Transition is fsm.Transition as it is kept: Cause is the error's text, "" if
// there was none.
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

// A Recording is the last transitions of a lifecycle, the oldest first.
type Recording struct {
	Version     int          `json:"recording"` // 1
	Dropped     uint64       `json:"dropped"`   // older ones, that were not kept
	Transitions []Transition `json:"transitions"`
}

// Read reads what WriteTo wrote: one recording, whole, with nothing after it. The error
// says if it is truncated.
func Read(from io.Reader) (Recording, error) {
	var r Recording
	if err := strict.Decode(from, &r); err != nil {
		return r, fmt.Errorf("not a recording: %w", err)
	}
	if r.Version != version {
		return r, fmt.Errorf("a recording of version %d: this program reads version %d", r.Version, version)
	}
	return r, nil
}

// A Violation is why a recording is none of the specification's: transition At of
// it, counted from 0.
type Violation struct {
	At        int
	Why       string
	Guarantee spec.Guarantee
}

func (v *Violation) Error() string {
	return fmt.Sprintf("transition %d: %s: %v is broken", v.At+1, v.Why, v.Guarantee)
}

// Check returns nil if the specification's machine can make these transitions, one
// after the other: each is a row of its table, begins where the one before ended,
// and has the attempt's number that it has to have. Otherwise it returns a
// *Violation for the first that cannot be. Of what was dropped nothing is known: the
// first transition may begin anywhere, unless none was.
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
				return wrong("G11", "it was closed, and leaves %v", t.From)
			case t.Event == fsm.EventStart:
				return wrong("G1", "it was %v, and starts as if it were %v", at, t.From)
			}
			return wrong("G3", "it was %v, and leaves %v", at, t.From)
		}
		if to, ok := spec.Next(t.Event, t.From); !ok || to != t.To {
			return wrong("G3", "the table has no %v that leads from %v to %v", t.Event, t.From, t.To)
		}
		if t.Event == fsm.EventStart {
			attempt++
		}
		if known && t.Attempt != attempt {
			return wrong("G13", "it is attempt %d's, and says %d", attempt, t.Attempt)
		}
		at, attempt = t.To, t.Attempt
	}
	return nil
}
