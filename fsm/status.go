package fsm

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Status is what a Lifecycle was doing at one instant.
type Status struct {
	State     State     `json:"state"`
	Attempt   uint64    `json:"attempt"`             // the latest attempt begun, counted from 1; 0: none yet
	Since     time.Time `json:"since"`               // of the last transition, or of New
	Waiters   int       `json:"waiters"`             // callers in Start, Stop and Shutdown that wait
	InFlight  int       `json:"inFlight"`            // admitted uses that have not ended, of the latest attempt
	Held      []string  `json:"held,omitempty"`      // the parts held, in the order of acquiring
	Releasing string    `json:"releasing,omitempty"` // the part whose release is running; it is held until that returns
	// Cause is why the last attempt failed (a *StartError), the resource died
	// (what Fail was given) or the last release failed (a *StopError); nil after a
	// successful start (G14).
	Cause error `json:"-"` // its text: see MarshalJSON
	// RestartAt is when the resource, which died, is started again (WithRestart);
	// zero: nothing is due, or it is not yet released.
	RestartAt time.Time `json:"restartAt,omitzero"`
}

// Status returns what the lifecycle is doing. It does not block.
func (l *Lifecycle[R]) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Status{State: l.State(), Attempt: l.begun, Since: l.since, Cause: l.cause}
	if l.queued != nil {
		s.Waiters = l.queued.waiters
	}
	if l.supervisor != nil {
		s.RestartAt = l.supervisor.at
	}
	a := l.current
	if a == nil {
		return s
	}
	s.Waiters += a.waiters + a.stoppers
	s.InFlight = a.inUseLocked()
	for _, p := range a.parts {
		s.Held = append(s.Held, p.name)
	}
	if a.releasing != nil {
		s.Releasing = a.releasing.name
		s.Held = append(s.Held, s.Releasing)
	}
	return s
}

// String is the Status in a line, for a person.
func (s Status) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v since %s, attempt %d", s.State, s.Since.Format(time.RFC3339), s.Attempt)
	if len(s.Held) > 0 {
		fmt.Fprintf(&b, "; held: %s", strings.Join(s.Held, ", "))
	}
	if s.Releasing != "" {
		fmt.Fprintf(&b, "; releasing: %s", s.Releasing)
	}
	if s.InFlight > 0 {
		fmt.Fprintf(&b, "; in flight: %d", s.InFlight)
	}
	if s.Waiters > 0 {
		fmt.Fprintf(&b, "; waiting: %d", s.Waiters)
	}
	if s.Cause != nil {
		fmt.Fprintf(&b, "; cause: %v", s.Cause)
	}
	if !s.RestartAt.IsZero() {
		fmt.Fprintf(&b, "; starts again at %s", s.RestartAt.Format(time.RFC3339))
	}
	return b.String()
}

// MarshalJSON writes the state's name and, as "cause", the text of Cause if there is one.
func (s Status) MarshalJSON() ([]byte, error) {
	type fields Status
	v := struct {
		fields
		Cause string `json:"cause,omitempty"`
	}{fields: fields(s)}
	if s.Cause != nil {
		v.Cause = s.Cause.Error()
	}
	return json.Marshal(v)
}

// LogValue is String, for slog.
func (s Status) LogValue() slog.Value { return slog.StringValue(s.String()) }
