package fsm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// wrong is an error whose Error cannot work on a nil pointer.
type wrong struct{ text string }

func (e *wrong) Error() string { return e.text }

// A Status is one line, whatever the errors and the names of the parts contain. Nothing in it moves
// a terminal's cursor, and no name can look like two.
func TestStatusIsOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"plain, über; \"quoted\" \\n": "plain, über; \"quoted\" \\n", // as it is, after the names
		"a\nb":                        `"a\nb"`,
		"a\r\x1b[2Jb":                 `"a\r\x1b[2Jb"`,
		"\u202egnp":                   `"\u202egnp"`,
		"\u2028":                      `"\u2028"`,
		"\xff\x9b2J":                  `"\xff\x9b2J"`,
		"\u009b2J":                    `"\u009b2J"`,
	} {
		s := fsm.Status{Cause: errors.New(text)}.String()
		if !strings.HasSuffix(s, "; cause: "+want) {
			t.Errorf("cause %q: %s; want it to end with %s", text, s, want)
		}
	}
	s := fsm.Status{Held: []string{"a, b", "c\nd", "", "e;f", `g"h`, "i"}, Releasing: "c\nd"}.String()
	if want := `; held: "a, b", "c\nd", "", "e;f", "g\"h", i; releasing: "c\nd"`; !strings.HasSuffix(s, want) {
		t.Errorf("%s; want %s at its end", s, want)
	}
}

// A cause that is a nil pointer, or whose Error panics, is printed as well as can be.
func TestStatusOfAnErrorThatPanics(t *testing.T) {
	var none *wrong
	var start *fsm.StartError
	for name, cause := range map[string]error{
		"a nil pointer": none, "a nil *StartError": start, "its text panics": nosyError{func() { panic("no text") }},
		"within":          &fsm.StartError{Attempt: 1, Err: none, Rollback: errors.Join(errBoom, none)},
		"not even by fmt": unprintable{}, "not even by fmt, within": &fsm.StartError{Attempt: 1, Err: unprintable{}, Rollback: unprintable{}},
	} {
		s := fsm.Status{Cause: cause}
		if line := s.String(); !strings.Contains(line, "; cause: ") {
			t.Errorf("%s: %s", name, line)
		}
		var back struct{ State, Cause string }
		if text, err := json.Marshal(s); err != nil || json.Unmarshal(text, &back) != nil || back.State != "Idle" || back.Cause == "" {
			t.Errorf("%s: as JSON %s, %v", name, text, err)
		}
	}
	bubble(t, "of a resource that died of one, and of a start that failed with one", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new()
		wantNil(t, "Start", l.Start(background()))
		r.scope.Fail(none)
		synctest.Wait()
		if s := l.Status().String(); !strings.HasSuffix(s, "; cause: <nil>") {
			t.Errorf("the Status is %s", s)
		}
		r.at = func(context.Context, string) error { return none }
		r.release = func(context.Context, string) error { return none }
		e := startError(t, l.Start(background()))
		if want := "fsm: start: attempt 2: a: <nil>"; e.Error() != want {
			t.Errorf("Start: %v; want %s", e, want)
		}
		r.at = nil
		wantNil(t, "Start", l.Start(background()))
		if e := stopError(t, l.Stop(background())); e.Error() != "fsm: stop: a: <nil>" {
			t.Errorf("Stop: %v", e)
		}
	})
}

// unprintable is an error whose Error panics with the error itself: fmt gives up on that.
type unprintable struct{}

func (unprintable) Error() string { panic(unprintable{}) }

// The errors of this package have a text, whatever they wrap, also if two are joined.
func TestErrorsOfErrorsThatPanic(t *testing.T) {
	var none *wrong
	for _, c := range []struct{ err, want any }{
		{&fsm.StartError{Attempt: 1, Err: unprintable{}, Rollback: none}, "fsm: start: attempt 1: (a fsm_test.unprintable that cannot be printed) (rollback: <nil>)"},
		{&fsm.LeaveError{Err: unprintable{}}, "fsm: start: left before an attempt began: (a fsm_test.unprintable that cannot be printed)"},
		{&fsm.LeaveError{Attempt: 2, Err: unprintable{}}, "fsm: start: left attempt 2: (a fsm_test.unprintable that cannot be printed)"},
		{&fsm.LeaveError{Attempt: 2, Part: "a", Err: unprintable{}}, "fsm: start: left attempt 2: a: (a fsm_test.unprintable that cannot be printed)"},
		{&fsm.StopError{Err: unprintable{}}, "fsm: stop: (a fsm_test.unprintable that cannot be printed)"},
		{&fsm.PanicError{Value: unprintable{}}, "panic: (a fsm_test.unprintable that cannot be printed)"},
	} {
		err := c.err.(error)
		if err.Error() != c.want {
			t.Errorf("%T: %s; want %s", err, err.Error(), c.want)
		}
		var log strings.Builder
		if slog.New(slog.NewTextHandler(&log, nil)).Info("it", "e", err); !strings.Contains(log.String(), "unprintable that cannot be printed") {
			t.Errorf("%T: logged %s", err, log.String())
		}
		if text, e := json.Marshal(err); e != nil || !strings.Contains(string(text), "unprintable that cannot be printed") {
			t.Errorf("%T: as JSON %s, %v", err, text, e)
		}
	}
	bubble(t, "of a resource that died and could not be released", func(t *testing.T) {
		r := newRig(t, "a")
		r.release = func(context.Context, string) error { time.Sleep(time.Second); return errBoom }
		l := r.new()
		over := make(chan error, 1)
		go func() { over <- l.Run(background()) }()
		synctest.Wait()
		r.scope.Fail(none)
		want := "<nil>\nfsm: stop: a: boom"
		err := <-over
		if err.Error() != want || l.Status().Cause.Error() != want {
			t.Errorf("Run: %v\nthe cause: %v\nwant %s", err, l.Status().Cause, want)
		}
		wantIs(t, "Run", err, none)
		wantIs(t, "Run", err, errBoom)
	})
	bubble(t, "of an attempt that failed twice", func(t *testing.T) {
		r := newRig(t, "a")
		r.at = func(context.Context, string) error { return unprintable{} }
		once := nextFunc(func(try int, _ error) (time.Duration, bool) { return 0, try == 1 })
		err := r.new(fsm.WithRetry(once)).Start(background())
		cannot := "(a fsm_test.unprintable that cannot be printed)"
		if want := "fsm: start: attempt 1: a: " + cannot + " (1 try failed before, with the same error)"; err.Error() != want {
			t.Errorf("Start: %v\nwant %s", err, want)
		}
	})
}

// The text of a failed or left start is one line, whatever the part and the errors contain.
// The errors themselves stay as they are.
func TestErrorsAreOneLine(t *testing.T) {
	evil := errors.New("a\nb\x1b[2J\xff")
	for want, err := range map[string]error{
		`fsm: start: attempt 1: p\nq: a; b\x1b[2J\xff (rollback: a; b\x1b[2J\xff; boom)`: &fsm.StartError{Attempt: 1, Part: "p\nq", Err: evil, Rollback: errors.Join(evil, errBoom)},
		`fsm: start: left attempt 2: p\nq: a; b\x1b[2J\xff`:                              &fsm.LeaveError{Attempt: 2, Part: "p\nq", Err: evil},
		`fsm: start: left attempt 2: a; b\x1b[2J\xff`:                                    &fsm.LeaveError{Attempt: 2, Err: evil},
		`fsm: start: left before an attempt began: a; b\x1b[2J\xff`:                      &fsm.LeaveError{Err: evil},
	} {
		if got := err.Error(); got != want {
			t.Errorf("%T: %q; want %q", err, got, want)
		}
		wantIs(t, "it", err, evil)
		var back map[string]any
		if text, e := json.Marshal(err); e != nil || json.Unmarshal(text, &back) != nil || back["message"] != want || back["err"] != "a\nb\x1b[2J\ufffd" {
			t.Errorf("%T: as JSON %s, %v", err, text, e)
		}
	}
}

// The errors say the same as JSON and in a log as their fields do.
func TestErrorsAsJSONAndInLogs(t *testing.T) {
	var none *wrong
	for _, c := range []struct {
		err       error
		json, log string
	}{
		{&fsm.StartError{Attempt: 3, Part: "metadata", Err: io.EOF, Rollback: errBoom},
			`{"message":"fsm: start: attempt 3: metadata: EOF (rollback: boom)","attempt":3,"part":"metadata","err":"EOF","rollback":"boom"}`,
			`e.attempt=3 e.part=metadata e.err=EOF e.rollback=boom`},
		{&fsm.StartError{Attempt: 1, Err: none}, `{"message":"fsm: start: attempt 1: \u003cnil\u003e","attempt":1,"err":"\u003cnil\u003e"}`, `e.attempt=1 e.err=<nil>`},
		{&fsm.LeaveError{Attempt: 2, Part: "a", Err: io.EOF}, `{"message":"fsm: start: left attempt 2: a: EOF","attempt":2,"part":"a","err":"EOF"}`, `e.attempt=2 e.part=a e.err=EOF`},
		{&fsm.LeaveError{Err: none}, `{"message":"fsm: start: left before an attempt began: \u003cnil\u003e","attempt":0,"err":"\u003cnil\u003e"}`, `e.attempt=0 e.err=<nil>`},
		{&fsm.StopError{Part: "a", CutOff: 2, Err: io.EOF}, `{"message":"fsm: stop: 2 uses cut off: EOF","part":"a","cutOff":2,"err":"EOF"}`, `e.part=a e.cut_off=2 e.err=EOF`},
		{&fsm.StopError{Err: io.EOF}, `{"message":"fsm: stop: EOF","err":"EOF"}`, `e.err=EOF`},
		{&fsm.PanicError{Value: errBoom, Stack: []byte("here")}, `{"message":"panic: boom","stack":"here"}`, `e.panic=boom e.stack=here`},
		{&fsm.PanicError{Value: none}, `{"message":"panic: \u003cnil\u003e"}`, `e.panic=<nil> e.stack=""`},
	} {
		if got, err := json.Marshal(c.err); string(got) != c.json || err != nil {
			t.Errorf("as JSON %s, %v\nwant %s", got, err, c.json)
		}
		var text, asJSON strings.Builder
		slog.New(slog.NewTextHandler(&text, nil)).Info("it", "e", c.err)
		if !strings.HasSuffix(text.String(), " msg=it "+c.log+"\n") {
			t.Errorf("logged %swant %s at its end", text.String(), c.log)
		}
		slog.New(slog.NewJSONHandler(&asJSON, nil)).Info("it", "e", c.err)
		var line struct{ E map[string]any }
		if err := json.Unmarshal([]byte(asJSON.String()), &line); err != nil || len(line.E) != strings.Count(c.log, "=") {
			t.Errorf("logged as JSON %s, %v; want a group", asJSON.String(), err)
		}
	}
}

// The errors of an attempt with several tries can be distinguished, and read well.
func TestTriedErrorsUnwrap(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		r.at = func(context.Context, string) error {
			return fmt.Errorf("try %d: %w", r.opened, []error{io.EOF, errBoom}[r.opened-1])
		}
		l := r.new(fsm.WithRetry(&backoff{n: 1}))
		err := l.Start(background())
		wantIs(t, "Start", err, io.EOF)
		wantIs(t, "Start", err, errBoom)
		if want := "fsm: start: attempt 1: a: try 2: boom (1 try failed before, with: try 1: EOF)"; err.Error() != want {
			t.Errorf("Start: %v\nwant %s", err, want)
		}
		time.Sleep(time.Hour)
	})
}
