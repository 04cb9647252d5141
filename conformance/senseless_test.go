package conformance_test

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/conformance"
)

// scripted is a lifecycle whose Start is a function of the test.
type scripted struct {
	bare
	start func(*scripted, context.Context) error
}

func (s *scripted) Start(ctx context.Context) error { return s.start(s, ctx) }

func newBare(h *conformance.Hooks) conformance.Lifecycle { return &bare{parts: parts{Hooks: h}} }

func starting(start func(*scripted, context.Context) error) func(*conformance.Hooks) conformance.Lifecycle {
	return func(h *conformance.Hooks) conformance.Lifecycle {
		return &scripted{bare{parts: parts{Hooks: h}}, start}
	}
}

var (
	theOne  conformance.Lifecycle
	forever = true
)

// senseless are invalid subjects, with the message for each.
var senseless = map[string]struct {
	subject conformance.Subject
	says    string
}{
	"no-New":       {conformance.Subject{}, "Subject.New is nil; want"},
	"exclusive":    {conformance.Subject{New: newBare, Capabilities: conformance.Idempotent | conformance.ErrorsOnRepeat}, "exclude each other; want"},
	"unknown":      {conformance.Subject{New: newBare, Capabilities: 1 << 30}, "0x40000000 is unknown; want"},
	"parts":        {conformance.Subject{New: newBare, Parts: 5}, "Subject.Parts is 5; want 0 to 4"},
	"schedules":    {conformance.Subject{New: newBare, Schedules: -1}, "Subject.Schedules is -1; want 0 or more"},
	"patience":     {conformance.Subject{New: newBare, Patience: -time.Second}, "Subject.Patience is -1s; want 0 or more"},
	"no-Use":       {conformance.Subject{New: newBare, Capabilities: conformance.DrainsUses}, "has DrainsUses, and *conformance_test.bare is no User; give it a method Use("},
	"no-Shutdown":  {conformance.Subject{New: newBare, Capabilities: conformance.Final}, "has Final, and *conformance_test.bare is no Shutdowner; give it a method Shutdown("},
	"New-nil":      {conformance.Subject{New: func(*conformance.Hooks) conformance.Lifecycle { return nil }}, "Subject.New returns nil; want a lifecycle"},
	"New-nil-type": {conformance.Subject{New: func(*conformance.Hooks) conformance.Lifecycle { return (*bare)(nil) }}, "Subject.New returns a nil *conformance_test.bare; want a lifecycle"},
	"New-panics":   {conformance.Subject{New: func(*conformance.Hooks) conformance.Lifecycle { panic("no config") }}, "Subject.New panics: no config; want"},
	"New-exits": {conformance.Subject{New: func(*conformance.Hooks) conformance.Lifecycle {
		runtime.Goexit()
		return nil
	}}, "Subject.New calls runtime.Goexit, as t.FailNow and t.Fatal do; want"},
	"New-waits": {conformance.Subject{New: func(*conformance.Hooks) conformance.Lifecycle {
		<-make(chan int)
		return nil
	}}, "Subject.New blocks; want it to return at once"},
	"New-spins": {conformance.Subject{Patience: 100 * time.Millisecond, New: func(*conformance.Hooks) conformance.Lifecycle {
		for forever {
			runtime.Gosched()
		}
		return nil
	}}, "Subject.New has not returned after 100ms (Subject.Patience); want it to return at once"},
	"New-opens": {conformance.Subject{New: func(h *conformance.Hooks) conformance.Lifecycle {
		h.Open(context.Background())
		return newBare(h)
	}}, "Subject.New calls a hook; want"},
	"New-the-same": {conformance.Subject{New: func(h *conformance.Hooks) conformance.Lifecycle {
		if theOne == nil {
			theOne = newBare(h)
		}
		return theOne
	}}, "Subject.New returns the same *conformance_test.bare again; want a new one each time"},
	"no-such-part": {conformance.Subject{Parts: 2, New: starting(func(f *scripted, ctx context.Context) error {
		return f.OpenPart(ctx, 2)
	})}, "Hooks.OpenPart is called with part 2; want 0 to 1, as Subject.Parts is 2"},
	"no-such-release": {conformance.Subject{New: starting(func(f *scripted, ctx context.Context) error {
		return f.ReleasePart(ctx, -1)
	})}, "Hooks.ReleasePart is called with part -1; want 0 to 0, as Subject.Parts is 1"},
	"death-nil": {conformance.Subject{Capabilities: conformance.ReportsFailure, New: starting(func(f *scripted, ctx context.Context) error {
		f.OnDeath(nil)
		return f.bare.Start(ctx)
	})}, "Hooks.OnDeath is called with nil; want the function"},
}

// An invalid subject is fatal for t, with a sentence that says what is wrong and what would be
// right.
func TestSenselessSubjectsAreFatal(t *testing.T) {
	const asked = "SURESTART_SENSELESS"
	for name, c := range senseless {
		t.Run(name, func(t *testing.T) {
			if os.Getenv(asked) != "" {
				conformance.Test(t, c.subject)
				t.Error("it goes on after that")
				return
			}
			cmd := exec.Command(os.Args[0], "-test.run=^TestSenselessSubjectsAreFatal$/^"+name+"$")
			cmd.Env = append(os.Environ(), asked+"=1")
			out, err := cmd.CombinedOutput()
			if text := string(out); err == nil || !strings.Contains(text, "conformance: Subject.") && !strings.Contains(text, "conformance: Hooks.") || !strings.Contains(text, c.says) || strings.Contains(text, "it goes on") {
				t.Errorf("it ends with %v, and says\n%s\nwant t.Fatal with %q", err, text, c.says)
			}
		})
	}
}
