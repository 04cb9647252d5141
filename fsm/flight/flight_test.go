package flight_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/flight"
)

func Example() {
	recorder := flight.NewRecorder(1000)
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil }, fsm.WithObserver(recorder.Observe))
	l.Start(context.Background())
	l.Close()
	l.FlushObservers(context.Background()) // it sees a transition after the call
	fmt.Println(len(recorder.Recording().Transitions), "kept")
	var file bytes.Buffer
	recorder.WriteTo(&file) // then: surestart replay -check FILE

	recording, err := flight.Read(&file)
	fmt.Println(len(recording.Transitions), "transitions", err, recording.Check())
	// One that the specification's machine cannot make: it was opened twice.
	opened := flight.Transition{From: fsm.Starting, To: fsm.Started, Event: fsm.EventOpened, Attempt: 1}
	recording.Transitions = append(recording.Transitions[:2], opened)
	var wrong *flight.Violation
	if errors.As(recording.Check(), &wrong) {
		fmt.Println("transition", wrong.At, "cannot be")
	}
	// Output:
	// 4 kept
	// 4 transitions <nil> <nil>
	// transition 2 cannot be
}

// record runs a lifecycle for a while, with failures, and returns what n kept of it.
func record(t *testing.T, n int) flight.Recording {
	t.Helper()
	recorder := flight.NewRecorder(n)
	fails := true
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) {
		if fails = !fails; fails {
			return 0, errors.New("no broker")
		}
		return 42, nil
	}, fsm.WithObserver(recorder.Observe))
	for range 20 {
		l.Start(context.Background())
		l.Stop(context.Background())
	}
	l.Close()
	synctest.Wait() // until the observer has received everything
	var buf bytes.Buffer
	if _, err := recorder.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	r, err := flight.Read(&buf)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What a lifecycle does is accepted, all of it and the last of it.
func TestRecordingsAreAccepted(t *testing.T) {
	for _, n := range []int{1000, 20, 1} {
		synctest.Test(t, func(t *testing.T) {
			r := record(t, n)
			if err := r.Check(); err != nil {
				t.Error(err)
			}
			// 20 starts, 10 of which fail: start, opened, stop, released; start, failed, released. And the end.
			const all = 10*4 + 10*3 + 1
			if want := min(n, all); len(r.Transitions) != want || r.Dropped != uint64(all-want) {
				t.Errorf("%d transitions, %d dropped; want %d and %d", len(r.Transitions), r.Dropped, want, all-want)
			}
			if last := r.Transitions[len(r.Transitions)-1]; last.To != fsm.Closed || last.At.IsZero() {
				t.Errorf("the last one is %+v", last)
			}
		})
	}
}

// Whatever is altered is found, and where.
func TestAlteredRecordingsAreRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole := record(t, 1000)
		checked := 0
		for i := range whole.Transitions {
			for what, alter := range map[string]func(r *flight.Recording) bool{
				"left out": func(r *flight.Recording) bool {
					r.Transitions = slices.Delete(r.Transitions, i, i+1)
					return i+1 < len(whole.Transitions) // that the end is missing cannot be seen
				},
				"twice": func(r *flight.Recording) bool {
					r.Transitions = slices.Insert(r.Transitions, i, r.Transitions[i])
					return true
				},
				"event":   func(r *flight.Recording) bool { r.Transitions[i].Event = fsm.EventTimeout; return true },
				"to":      func(r *flight.Recording) bool { r.Transitions[i].To = (r.Transitions[i].To + 1) % 5; return true },
				"from":    func(r *flight.Recording) bool { r.Transitions[i].From = (r.Transitions[i].From + 1) % 5; return true },
				"attempt": func(r *flight.Recording) bool { r.Transitions[i].Attempt++; return true },
			} {
				r := whole
				r.Transitions = slices.Clone(whole.Transitions)
				seen := alter(&r)
				if what == "event" && whole.Transitions[i].Event == fsm.EventFailed {
					seen = false // a timeout is a row too
				}
				var v *flight.Violation
				if err := r.Check(); seen && (!errors.As(err, &v) || v.At < i || v.At > i+1 || v.Guarantee.ID == "") {
					t.Errorf("transition %d, %s: %v", i, what, err)
				}
				checked++
			}
		}
		fmt.Printf("CHECKED flight altered recordings=%d\n", checked)
	})
}

// A whole recording is read; cut short anywhere, or followed by anything but white space,
// it is not, and the error says which.
func TestReadIsStrict(t *testing.T) {
	for _, text := range []string{"{}", `{"recording":2}`, `{"recording":1,"more":1}`, `{"recording":1,"transitions":[{"from":"Nowhere"}]}`} {
		if r, err := flight.Read(strings.NewReader(text)); err == nil {
			t.Errorf("%q is read as %+v", text, r)
		}
	}
	recorder := flight.NewRecorder(10)
	recorder.Observe(fsm.Transition{To: fsm.Starting, Event: fsm.EventStart, Attempt: 1, Cause: errors.New("é\n")})
	var kept bytes.Buffer
	recorder.WriteTo(&kept)
	whole := strings.TrimSpace(kept.String())
	for i := range whole {
		if _, err := flight.Read(strings.NewReader(whole[:i])); err == nil || !strings.Contains(err.Error(), "truncated") {
			t.Fatalf("cut off after %d bytes: %v; want truncated\n%s", i, err, whole[:i])
		}
	}
	for _, more := range []string{whole, "x", "}", "\x00", "\n\nnull", "1"} {
		if _, err := flight.Read(strings.NewReader(whole + more)); err == nil || !strings.Contains(err.Error(), "follows the value") || strings.Contains(err.Error(), "truncated") {
			t.Errorf("followed by %q: %v", more, err)
		}
	}
	for _, more := range []string{"", "\n", " \r\n\t"} {
		if _, err := flight.Read(strings.NewReader(whole + more)); err != nil {
			t.Errorf("followed by %q: %v", more, err)
		}
	}
}

// onNil is an error whose Error panics on a nil pointer.
type onNil struct{ text string }

func (e *onNil) Error() string { return e.text }

// A cause whose Error panics is recorded as well as can be; the history is still a right one.
func TestCausesThatCannotPrint(t *testing.T) {
	var none *onNil
	for _, c := range []struct {
		err  error
		text string
	}{
		{none, "<nil>"},
		{odd{func() { panic(odd{func() { panic("again") }}) }}, "(a flight_test.odd that cannot be printed)"},
		{odd{runtime.Goexit}, ""},
	} {
		recorder := new(flight.Recorder)
		l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 0, c.err }, fsm.WithObserver(recorder.Observe))
		l.Start(context.Background())
		l.Close()
		if err := l.FlushObservers(context.Background()); err != nil {
			t.Fatal(err)
		}
		r := recorder.Recording()
		if err := r.Check(); err != nil || len(r.Transitions) != 4 || r.Transitions[1].Cause != c.text {
			t.Errorf("%v; recorded %+v", err, r.Transitions)
		}
	}
}

// odd is an error whose Error does something else.
type odd struct{ instead func() }

func (e odd) Error() string { e.instead(); return "not reached" }

// A Recorder that NewRecorder has not made keeps a thousand.
func TestZeroRecorder(t *testing.T) {
	var r flight.Recorder
	for range 1001 {
		r.Observe(fsm.Transition{})
	}
	if got := r.Recording(); len(got.Transitions) != 1000 || got.Dropped != 1 {
		t.Errorf("kept %d, dropped %d; want 1000 and 1", len(got.Transitions), got.Dropped)
	}
}
