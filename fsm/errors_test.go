package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

func TestErrors(t *testing.T) {
	panicked := &fsm.PanicError{Value: io.EOF, Stack: []byte("a stack")}
	for _, c := range []struct {
		err  error
		text string
		is   []error
		not  []error
	}{
		{&fsm.StartError{Attempt: 3, Part: "metadata", Err: io.EOF},
			"fsm: start: attempt 3: metadata: EOF", []error{io.EOF}, []error{io.ErrNoProgress}},
		{&fsm.StartError{Attempt: 1, Err: io.EOF, Rollback: io.ErrClosedPipe},
			"fsm: start: attempt 1: EOF (rollback: io: read/write on closed pipe)", []error{io.EOF, io.ErrClosedPipe}, nil},
		{&fsm.StartError{Attempt: 1, Part: "a", Err: panicked},
			"fsm: start: attempt 1: a: panic: EOF", []error{io.EOF, panicked}, nil},
		{&fsm.StopError{CutOff: 7, Err: context.DeadlineExceeded},
			"fsm: stop: 7 uses cut off: context deadline exceeded", []error{context.DeadlineExceeded}, nil},
		{&fsm.StopError{Part: "a", Err: errors.Join(io.EOF, io.ErrNoProgress)},
			"fsm: stop: EOF\nmultiple Read calls return no data or error", []error{io.EOF, io.ErrNoProgress}, nil},
		{&fsm.PanicError{Value: "text"}, "panic: text", nil, []error{io.EOF}},
	} {
		if got := c.err.Error(); got != c.text {
			t.Errorf("%T: %q; want %q", c.err, got, c.text)
		}
		for _, target := range c.is {
			if !errors.Is(c.err, target) {
				t.Errorf("%v is not %v", c.err, target)
			}
		}
		for _, target := range c.not {
			if errors.Is(c.err, target) {
				t.Errorf("%v is %v", c.err, target)
			}
		}
	}
	if n := len((&fsm.StartError{Err: io.EOF}).Unwrap()); n != 1 {
		t.Errorf("a StartError without a failed rollback unwraps to %d errors; want 1", n)
	}
	if (&fsm.PanicError{Value: 1}).Unwrap() != nil {
		t.Error("a PanicError whose value is no error unwraps to one")
	}
	conditions := []error{fsm.ErrNotStarted, fsm.ErrStopped, fsm.ErrClosed, fsm.ErrReentrant}
	for i, a := range conditions {
		for j, b := range conditions {
			if errors.Is(a, b) != (i == j) {
				t.Errorf("%v and %v are not told apart", a, b)
			}
		}
	}
}

// What cannot work is refused where it is written, and says what would.
func TestBadOptions(t *testing.T) {
	open := func(context.Context, *fsm.Scope) (int, error) { return 0, nil }
	for name, f := range map[string]func(){
		"New":                     func() { fsm.New[int](nil) },
		"nil Option":              func() { fsm.New(open, nil) },
		"WithStartTimeout(-1ns)":  func() { fsm.WithStartTimeout(-1) },
		"WithStopTimeout(0s)":     func() { fsm.WithStopTimeout(0) },
		"WithStopTimeout(-1s)":    func() { fsm.WithStopTimeout(-time.Second) },
		"WithReleaseTimeout(0s)":  func() { fsm.WithReleaseTimeout(0) },
		"WithReleaseTimeout(-1s)": func() { fsm.WithReleaseTimeout(-time.Second) },
		//lint:ignore SA1012 that it is refused
		"WithBaseContext": func() { fsm.WithBaseContext(nil) },
		"WithObserver":    func() { fsm.WithObserver(nil) },
		"Defer": func() {
			err := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) { s.Defer("p", nil); return 0, nil }).Start(background())
			var p *fsm.PanicError
			if errors.As(err, &p) {
				panic(p.Value)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "fsm: ") || !strings.Contains(text, name) {
					t.Errorf("recovered %q; want a panic that names %s", text, name)
				}
			}()
			f()
		})
	}
}

func TestOptions(t *testing.T) {
	// The least that can work.
	fsm.WithStopTimeout(1)
	fsm.WithReleaseTimeout(1)

	bubble(t, "no start timeout by default", func(t *testing.T) {
		for _, opts := range [][]fsm.Option{nil, {fsm.WithStartTimeout(0)}} {
			r := newRig(t, "a")
			r.at = func(ctx context.Context, _ string) error {
				if _, bounded := ctx.Deadline(); bounded {
					t.Error("open's context is bounded")
				}
				time.Sleep(1000 * time.Hour)
				return nil
			}
			l := r.new(opts...)
			wantNil(t, "Start", l.Start(background()))
			wantNil(t, "Stop", l.Stop(background()))
		}
	})
	bubble(t, "the start timeout is each attempt's", func(t *testing.T) {
		r := newRig(t, "a")
		r.at = func(ctx context.Context, _ string) error { <-ctx.Done(); return nil }
		l := r.new(fsm.WithStartTimeout(time.Minute))
		for n := uint64(1); n <= 3; n++ {
			began := time.Now()
			e := startError(t, l.Start(background()))
			if took := time.Since(began); took != time.Minute || e.Attempt != n || e.Err != context.DeadlineExceeded {
				t.Errorf("attempt %d: %v after %v; want DeadlineExceeded after 1m", n, e, took)
			}
		}
	})
}

// A nil context is a mistake that is named, and has no effect.
func TestNilContext(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new()
		var none context.Context
		wants := func(method string, call func()) {
			t.Helper()
			defer func() {
				t.Helper()
				if text := fmt.Sprint(recover()); text != "fsm: "+method+"(nil): want a context" {
					t.Errorf("%s(nil): %s", method, text)
				}
			}()
			call()
		}
		wants("Start", func() { l.Start(none) })
		wants("Wait", func() { l.Wait(none, fsm.Started) })
		wants("FlushObservers", func() { l.FlushObservers(none) })
		wantNil(t, "Start after that", l.Start(background()))
		wants("Use", func() { l.Use(none, func(context.Context, *rig) error { return nil }) })
		wants("Stop", func() { l.Stop(none) })
		wants("Shutdown", func() { l.Shutdown(none) })
		wantState(t, l, fsm.Started)
		wantNil(t, "Stop", l.Stop(background()))
		wantNil(t, "Start: it was not shut down", l.Start(background()))
		wantNil(t, "Stop", l.Stop(background()))
		r.wantLog("open +a -a open +a -a")
	})
}
