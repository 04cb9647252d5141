package fsm

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/seed3893aba4/surestart/internal/oneline"
)

// Conditions, for errors.Is.
var (
	// ErrNotStarted: a use was asked for while nothing is open (G10).
	ErrNotStarted = errors.New("fsm: not started")
	// ErrStopped: a Stop took effect while the Start was waiting (G8).
	ErrStopped = errors.New("fsm: stopped")
	// ErrClosed: Shutdown or Close has been called; nothing will be opened again (G11).
	ErrClosed = errors.New("fsm: closed")
	// ErrReentrant: the call's context is one that this lifecycle handed to an
	// open, release or use that has not ended; the call would wait for itself (G15).
	ErrReentrant = errors.New("fsm: called from within its own open, release or use")
)

var (
	errExited  = errors.New("runtime.Goexit was called")
	errNoCause = errors.New("the resource failed; no cause was given")
)

// StartError is why an attempt to start failed (G14). Start returns it to every
// caller that waited for that attempt.
type StartError struct {
	Attempt  uint64 // which attempt it was, counted from 1
	Part     string // what was being acquired, as named by Scope.Part; may be empty
	Err      error  // open's error, a *PanicError, context.DeadlineExceeded for the start timeout, or what Scope.Fail was given
	Rollback error  // what failed while the parts were being given back; nil if nothing did
}

// Error says which attempt failed, at which part, and why.
func (e *StartError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "fsm: start: attempt %d", e.Attempt)
	if e.Part != "" {
		fmt.Fprintf(&b, ": %s", e.Part)
	}
	b.WriteString(": " + oneline.Text(e.Err))
	if e.Rollback != nil {
		fmt.Fprintf(&b, " (rollback: %s)", oneline.Text(e.Rollback))
	}
	return b.String()
}

// MarshalJSON writes the fields in lower case, the errors as their texts, and Error's
// text as "message".
func (e *StartError) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Message  string `json:"message"`
		Attempt  uint64 `json:"attempt"`
		Part     string `json:"part,omitempty"`
		Err      string `json:"err"`
		Rollback string `json:"rollback,omitempty"`
	}{e.Error(), e.Attempt, e.Part, text(e.Err), text(e.Rollback)})
}

// LogValue is a group of the fields: attempt, part, err, and rollback if it is set.
func (e *StartError) LogValue() slog.Value {
	attrs := []slog.Attr{slog.Uint64("attempt", e.Attempt)}
	if e.Part != "" {
		attrs = append(attrs, slog.String("part", e.Part))
	}
	attrs = append(attrs, slog.String("err", text(e.Err)))
	if e.Rollback != nil {
		attrs = append(attrs, slog.String("rollback", text(e.Rollback)))
	}
	return slog.GroupValue(attrs...)
}

// Unwrap returns Err and, if there is one, Rollback.
func (e *StartError) Unwrap() []error {
	if e.Rollback == nil {
		return []error{e.Err}
	}
	return []error{e.Err, e.Rollback}
}

// LeaveError is what Start returns to a caller whose own context ends while it waits.
// It is no StartError: the attempt goes on for the others that wait for it, and may
// succeed; without others it is cancelled (G6). For errors.Is it is Err and, if Err is a
// cause of the caller's own, also the context's Err, context.Canceled or
// context.DeadlineExceeded.
type LeaveError struct {
	Attempt uint64 // the attempt that the caller waited for, counted from 1; 0: it had not begun
	Part    string // what was being acquired, as named by Scope.Part; may be empty
	Err     error  // the cause of the caller's context
	ended   error  // its Err: one of context's two
}

// Error says which attempt the caller left, at which part, and why.
func (e *LeaveError) Error() string {
	switch {
	case e.Attempt == 0:
		return "fsm: start: left before an attempt began: " + oneline.Text(e.Err)
	case e.Part == "":
		return fmt.Sprintf("fsm: start: left attempt %d: %s", e.Attempt, oneline.Text(e.Err))
	}
	return fmt.Sprintf("fsm: start: left attempt %d: %s: %s", e.Attempt, e.Part, oneline.Text(e.Err))
}

// MarshalJSON writes the fields in lower case, the error as its text, and Error's text as
// "message".
func (e *LeaveError) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Message string `json:"message"`
		Attempt uint64 `json:"attempt"`
		Part    string `json:"part,omitempty"`
		Err     string `json:"err"`
	}{e.Error(), e.Attempt, e.Part, text(e.Err)})
}

// LogValue is a group of the fields: attempt, part if it is set, err.
func (e *LeaveError) LogValue() slog.Value {
	attrs := []slog.Attr{slog.Uint64("attempt", e.Attempt)}
	if e.Part != "" {
		attrs = append(attrs, slog.String("part", e.Part))
	}
	return slog.GroupValue(append(attrs, slog.String("err", text(e.Err)))...)
}

// Unwrap returns Err.
func (e *LeaveError) Unwrap() error { return e.Err }

// Is reports whether target is the Err of the caller's context.
func (e *LeaveError) Is(target error) bool { return e.ended != nil && target == e.ended }

// StopError is why a Stop, Shutdown or Close did not end cleanly (G9).
type StopError struct {
	Part   string // the first part whose release failed; empty if none did
	CutOff int    // admitted uses that were cut off because this caller left
	Err    error  // the releases' errors joined, or the cause of the caller's context
}

// Error says what failed, and how many uses were cut off.
func (e *StopError) Error() string {
	var b strings.Builder
	b.WriteString("fsm: stop: ")
	switch {
	case e.CutOff == 1:
		b.WriteString("1 use cut off: ")
	case e.CutOff != 0:
		fmt.Fprintf(&b, "%d uses cut off: ", e.CutOff)
	}
	b.WriteString(oneline.Text(e.Err))
	return b.String()
}

// MarshalJSON writes the fields (CutOff as "cutOff"), the error as its text, and
// Error's text as "message".
func (e *StopError) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Message string `json:"message"`
		Part    string `json:"part,omitempty"`
		CutOff  int    `json:"cutOff,omitempty"`
		Err     string `json:"err"`
	}{e.Error(), e.Part, e.CutOff, text(e.Err)})
}

// LogValue is a group of the fields that are set: part, cut_off, err.
func (e *StopError) LogValue() slog.Value {
	var attrs []slog.Attr
	if e.Part != "" {
		attrs = append(attrs, slog.String("part", e.Part))
	}
	if e.CutOff != 0 {
		attrs = append(attrs, slog.Int("cut_off", e.CutOff))
	}
	return slog.GroupValue(append(attrs, slog.String("err", text(e.Err)))...)
}

// Unwrap returns Err.
func (e *StopError) Unwrap() error { return e.Err }

// PanicError is a panic of an open or a release, kept from unwinding further (G4).
type PanicError struct {
	Value any    // what was passed to panic
	Stack []byte // where, as debug.Stack prints it
}

// Error says what was passed to panic; the stack is left to whoever wants it.
func (e *PanicError) Error() string { return "panic: " + oneline.Text(e.Value) }

// MarshalJSON writes Error's text as "message", and the stack as a text.
func (e *PanicError) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Message string `json:"message"`
		Stack   string `json:"stack,omitempty"`
	}{e.Error(), string(e.Stack)})
}

// LogValue is a group of the fields: panic, the text of Value, and stack.
func (e *PanicError) LogValue() slog.Value {
	return slog.GroupValue(slog.String("panic", oneline.Text(e.Value)), slog.String("stack", string(e.Stack)))
}

// Unwrap returns Value if it is an error, else nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// The errors below are put together under the lifecycle's lock. Their texts are made
// when somebody asks: the methods of the errors in them are foreign, and may block.

// A partError is what the release of a part failed with.
type partError struct {
	part string
	err  error
}

func (e *partError) Error() string { return e.part + ": " + text(e.err) }
func (e *partError) Unwrap() error { return e.err }

// A triedError is why an attempt failed whose earlier tries failed too.
type triedError struct {
	err   error
	tries int   // before
	last  error // what the last of those failed with
}

func (e *triedError) Error() string {
	return fmt.Sprintf("%s (%d tries failed before, the last with: %s)", oneline.Text(e.err), e.tries, oneline.Text(e.last))
}

func (e *triedError) Unwrap() []error { return []error{e.err, e.last} }

// A bothError is two errors, as errors.Join joins them. Unlike that, it survives one whose Error panics.
type bothError struct{ first, second error }

func (e *bothError) Error() string   { return oneline.Text(e.first) + "\n" + oneline.Text(e.second) }
func (e *bothError) Unwrap() []error { return []error{e.first, e.second} }

// text is the text of err, "" for nil. Unlike err.Error it does not panic: err may be a
// nil pointer in an interface that is none, whose Error cannot work.
func text(err error) string {
	if err == nil {
		return ""
	}
	return oneline.Text(err)
}
