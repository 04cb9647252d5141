package fsm

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/seed3893aba4/surestart/internal/oneline"
)

// Conditions, for errors.Is. ErrStopped and ErrClosed are also the causes of the contexts
// that a Stop or a Shutdown ends: see New and Use.
var (
	// ErrNotStarted: Use, Acquire or Do was called while the resource is not open (G10),
	// or Ready before any attempt began.
	ErrNotStarted = errors.New("fsm: not started")
	// ErrStopped: a Stop took effect while the Start waited (G8). From Ready: a Stop has taken
	// effect since the last attempt began.
	ErrStopped = errors.New("fsm: stopped")
	// ErrClosed: Shutdown or Close has been called. Nothing is opened again (G11).
	ErrClosed = errors.New("fsm: closed")
	// ErrReentrant: the call's context belongs to an open, release or use of this
	// lifecycle that has not ended. The call would wait for itself (G15).
	ErrReentrant = errors.New("fsm: called from within its own open, release or use")
)

var (
	errExited  = errors.New("runtime.Goexit was called")
	errNoCause = errors.New("the resource failed; no cause was given")
)

// StartError says why an attempt to start failed (G14). Start returns it to every
// caller that waited for that attempt.
type StartError struct {
	Attempt  uint64 // the attempt, counted from 1
	Part     string // the part that was being acquired (Scope.Part); may be empty
	Err      error  // open's error, a *PanicError, context.DeadlineExceeded for the start timeout, or the cause given to Scope.Fail
	Rollback error  // the errors of the releases during the rollback, joined; nil: none
}

// Error returns the attempt, the part and the errors on one line. It escapes characters that
// do not print.
func (e *StartError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "fsm: start: attempt %d", e.Attempt)
	if e.Part != "" {
		fmt.Fprintf(&b, ": %s", oneline.Escape(e.Part))
	}
	b.WriteString(": " + oneline.Line(e.Err))
	if e.Rollback != nil {
		fmt.Fprintf(&b, " (rollback: %s)", oneline.Line(e.Rollback))
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

// LogValue returns a group: attempt, part if it is set, err, and rollback if it is set.
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

// LeaveError is the error of a Start whose own context ends while it waits. The attempt has
// not failed: it continues for its other waiters, and may succeed. Without other waiters it
// is cancelled (G6). errors.Is matches Err, the cause, and also the Err of the context:
// context.Canceled or context.DeadlineExceeded.
type LeaveError struct {
	Attempt uint64 // the attempt that the caller waited for, counted from 1; 0: it had not started
	Part    string // the part that was being acquired (Scope.Part); may be empty
	Err     error  // the cause of the caller's context
	ended   error  // the Err of that context: context.Canceled or context.DeadlineExceeded
}

// Error returns the attempt, the part and the cause on one line. It escapes characters that
// do not print.
func (e *LeaveError) Error() string {
	left := "before an attempt began"
	if e.Attempt != 0 {
		left = fmt.Sprintf("attempt %d", e.Attempt)
		if e.Part != "" {
			left += ": " + oneline.Escape(e.Part)
		}
	}
	return "fsm: start: left " + left + ": " + oneline.Line(e.Err)
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

// LogValue returns a group: attempt, part if it is set, err.
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

// StopError says why a Stop, Shutdown or Close did not end cleanly (G9).
type StopError struct {
	Part   string // the first part whose release failed; empty: no release failed
	CutOff int    // admitted uses that were cut off because this caller's context ended
	Err    error  // the errors of the releases, joined, or the cause of the caller's context
}

// Error returns the number of uses that were cut off, and Err.
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

// LogValue returns a group of the fields that are set: part, cut_off, err.
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

// PanicError is a panic of an open or a release that was recovered (G4).
type PanicError struct {
	Value any    // the value passed to panic
	Stack []byte // the stack of the panic, as debug.Stack formats it
}

// Error returns "panic: " and Value, without the stack.
func (e *PanicError) Error() string { return "panic: " + oneline.Text(e.Value) }

// MarshalJSON writes Error's text as "message", and the stack as a text.
func (e *PanicError) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Message string `json:"message"`
		Stack   string `json:"stack,omitempty"`
	}{e.Error(), string(e.Stack)})
}

// LogValue returns a group: panic, the text of Value, and stack.
func (e *PanicError) LogValue() slog.Value {
	return slog.GroupValue(slog.String("panic", oneline.Text(e.Value)), slog.String("stack", string(e.Stack)))
}

// Unwrap returns Value if it is an error, else nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// The errors below are built under the lifecycle's lock. Only Error makes their texts: the
// errors that they wrap are foreign, and their methods may block.

// A partError is the error of a part's release.
type partError struct {
	part string
	err  error
}

func (e *partError) Error() string { return oneline.Escape(e.part) + ": " + text(e.err) }
func (e *partError) Unwrap() error { return e.err }

// A triedError is the error of an attempt whose earlier tries failed too.
type triedError struct {
	err   error
	tries int   // the failed tries before this one
	last  error // the error of the last of them
}

func (e *triedError) Error() string {
	text, last, before := oneline.Text(e.err), ": "+oneline.Text(e.last), "1 try failed before,"
	if last == ": "+text {
		last = " the same error"
	}
	if e.tries > 1 {
		before = fmt.Sprintf("%d tries failed before, the last", e.tries)
	}
	return fmt.Sprintf("%s (%s with%s)", text, before, last)
}

func (e *triedError) Unwrap() []error { return []error{e.err, e.last} }

// A bothError joins two errors as errors.Join does, but tolerates an Error method that panics.
type bothError struct{ first, second error }

func (e *bothError) Error() string   { return oneline.Text(e.first) + "\n" + oneline.Text(e.second) }
func (e *bothError) Unwrap() []error { return []error{e.first, e.second} }

// text returns the text of err, "" for nil. Unlike err.Error it never panics: err may be a
// non-nil interface that holds a nil pointer.
func text(err error) string {
	if err == nil {
		return ""
	}
	return oneline.Text(err)
}
