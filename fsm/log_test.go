package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// A logger is a slog.Handler that does something before it writes, or instead.
type logger struct {
	slog.Handler
	do func(message string)
}

func (h logger) Handle(ctx context.Context, r slog.Record) error {
	h.do(r.Message)
	return h.Handler.Handle(ctx, r)
}

// enabler misbehaves already in Enabled.
type enabler struct {
	slog.Handler
	do func()
}

func (h enabler) Enabled(context.Context, slog.Level) bool { h.do(); return true }

// mishaps makes a lifecycle log everything that it has to log, and fails the test unless
// all goes on meanwhile.
func mishaps(t *testing.T, log fsm.Option) {
	t.Helper()
	r := newRig(t, "a")
	asked := 0
	l := r.new(log, fsm.WithReleaseTimeout(time.Second),
		fsm.WithRetry(nextFunc(func(try int, _ error) (time.Duration, bool) {
			if asked++; asked == 2 {
				panic("the backoff's")
			}
			return time.Second, try == 1
		})),
		fsm.WithBreaker(allowFunc(func() (func(fsm.Outcome, error), error) {
			return func(fsm.Outcome, error) { panic("the breaker's") }, nil
		})),
		fsm.WithRestart(nextFunc(func(try int, _ error) (time.Duration, bool) {
			if try == 2 {
				panic("the supervisor's")
			}
			return time.Second, true
		})),
		fsm.WithObserver(func(tr fsm.Transition) {
			if tr.To == fsm.Started {
				panic("an observer's")
			}
		}))
	start := func() error {
		ctx, cancel := context.WithTimeout(background(), time.Hour)
		defer cancel()
		return l.Start(ctx)
	}
	r.release = func(context.Context, string) error { return errBoom }
	r.at = func(_ context.Context, part string) error { // the first try fails, and so does its release
		if r.opened == 1 && part == "" {
			return errBoom
		}
		return nil
	}
	wantNil(t, "G12 Progress: Start, whose first try fails", start())
	scope := r.scope
	r.release = func(context.Context, string) error { time.Sleep(2 * time.Second); return errBoom } // outlives its timeout
	over, cancel := context.WithCancel(background())
	cancel()
	lease, err := l.Acquire()
	wantNil(t, "Acquire", err)
	stopError(t, l.Stop(over)) // no caller waits for the release, which fails
	lease.Release()
	_, err = l.Wait(background(), fsm.Idle)
	wantNil(t, "Wait", err)
	scope.Defer("late", func(context.Context) error { return errBoom })

	r.release, r.at = nil, func(_ context.Context, part string) error { return map[string]error{"": errBoom}[part] }
	wantIs(t, "G12 Progress: Start, while the backoff panics", start(), errBoom)
	opened := r.times()
	r.at = func(_ context.Context, part string) error { // the restart fails, with its second try
		if r.opened > opened+1 && r.opened <= opened+3 && part == "" {
			return errBoom
		}
		return nil
	}
	wantNil(t, "Start", start())
	r.die(errBoom)
	time.Sleep(time.Minute) // and the supervisor panics: it gives up
	synctest.Wait()
	if n := r.times() - opened; n != 3 {
		t.Errorf("G12 Progress is broken: with its restart it was opened %d times; want 3", n)
	}
	wantNil(t, "G12 Progress: Start after that", start())
	wantNil(t, "Close", l.Close())
	wantState(t, l, fsm.Closed)
}

// Everything that a lifecycle may have to log: what mishaps has it log, sorted, without times and stacks.
var everyLine = []string{
	`level=ERROR msg="surestart: a part was registered too late, and its release failed" part=late attempt=1 error=boom`,
	`level=ERROR msg="surestart: a release failed and no caller waits for its error" attempt=1 error.part=a error.err="a: boom"`,
	`level=ERROR msg="surestart: a release failed before another try" attempt=1 error="a: boom"`,
	`level=ERROR msg="surestart: an observer panicked" transition=opened error.panic="an observer's"`,
	`level=ERROR msg="surestart: an observer panicked" transition=opened error.panic="an observer's"`,
	`level=ERROR msg="surestart: an observer panicked" transition=opened error.panic="an observer's"`,
	`level=ERROR msg="surestart: the backoff gave up; the dead resource is not restarted" restarts=1 error.attempt=4 error.part=a error.err="boom (1 try failed before, with the same error)"`,
	`level=ERROR msg="surestart: the backoff of the restarts panicked" error.panic="the supervisor's"`,
	`level=ERROR msg="surestart: the backoff panicked" attempt=2 error.panic="the backoff's"`,
	`level=ERROR msg="surestart: the breaker panicked" attempt=1 error.panic="the breaker's"`,
	`level=ERROR msg="surestart: the breaker panicked" attempt=2 error.panic="the breaker's"`,
	`level=ERROR msg="surestart: the breaker panicked" attempt=3 error.panic="the breaker's"`,
	`level=ERROR msg="surestart: the breaker panicked" attempt=4 error.panic="the breaker's"`,
	`level=ERROR msg="surestart: the breaker panicked" attempt=5 error.panic="the breaker's"`,
	`level=WARN msg="surestart: a release outlives its timeout; its part stays held until it returns" part=a attempt=1 timeout=1s`,
}

var loggedStack = regexp.MustCompile(` error\.stack="(\\.|[^"\\])*"`)

// A logger that hangs, panics or exits delays and kills nothing: every attempt has its open, its
// releases and its end, whatever it logs.
func TestG12NoLoggerHoldsUpAnAttempt(t *testing.T) {
	for level, want := range map[slog.Level][]string{ // or the others show nothing
		slog.LevelWarn:  everyLine,
		slog.LevelError: everyLine[:len(everyLine)-1], // without the warning
	} {
		bubble(t, fmt.Sprint("that writes from ", level), func(t *testing.T) {
			var log logBuffer
			mishaps(t, fsm.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))))
			lines := strings.Split(strings.TrimSpace(loggedStack.ReplaceAllString(log.String(), "")), "\n")
			for i, line := range lines {
				_, lines[i], _ = strings.Cut(line, " ") // its time
			}
			slices.Sort(lines) // an observer and a breaker have queues of their own
			if want, got := strings.Join(want, "\n"), strings.Join(lines, "\n"); got != want {
				t.Errorf("logged:\n%s\nwant:\n%s", got, want)
			}
			quiet(t)
		})
	}
	for _, c := range []struct {
		name    string
		handler func(hang chan struct{}) slog.Handler
	}{
		{"that hangs", func(hang chan struct{}) slog.Handler { return logger{slog.DiscardHandler, func(string) { <-hang }} }},
		{"that hangs when it is asked", func(hang chan struct{}) slog.Handler {
			return enabler{slog.DiscardHandler, func() { <-hang }}
		}},
		{"that panics", func(chan struct{}) slog.Handler {
			return enabler{logger{slog.DiscardHandler, func(string) { panic("the logger's") }}, func() {}}
		}},
		{"that panics when it is asked", func(chan struct{}) slog.Handler {
			return enabler{slog.DiscardHandler, func() { panic("the logger's") }}
		}},
		{"that exits", func(chan struct{}) slog.Handler { // the last: a lifecycle that it kills takes the process with it
			return enabler{logger{slog.DiscardHandler, func(string) { runtime.Goexit() }}, func() {}}
		}},
	} {
		bubble(t, c.name, func(t *testing.T) {
			hang := make(chan struct{})
			mishaps(t, fsm.WithLogger(slog.New(c.handler(hang))))
			close(hang)
			quiet(t)
		})
	}
}

// One line that makes a logger panic, hang for a while or exit does not cost the others:
// they come in order, with the time and the place at which they were logged.
func TestLinesAreKept(t *testing.T) {
	for name, how := range map[string]func(){
		"panics": func() { panic("the logger's") }, "exits": runtime.Goexit, "sleeps": func() { time.Sleep(time.Hour) },
	} {
		bubble(t, "a logger that "+name, func(t *testing.T) {
			var mu sync.Mutex
			var got []string
			t0 := time.Now()
			l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
				s.Defer("part", func(context.Context) error { time.Sleep(time.Minute); return errBoom })
				return 0, errBoom
			}, fsm.WithReleaseTimeout(time.Second), fsm.WithLogger(slog.New(recordHandler(func(r slog.Record) {
				mu.Lock()
				got = append(got, fmt.Sprintf("%v %s %s", r.Time.Sub(t0), filepath.Base(r.Source().File), r.Message))
				n := len(got)
				mu.Unlock()
				if n == 1 {
					how()
				}
			}))))
			over, cancel := context.WithTimeout(background(), time.Second)
			defer cancel()
			wantIs(t, "Start", l.Start(over), context.DeadlineExceeded)
			_, err := l.Wait(background(), fsm.Idle)
			wantNil(t, "Wait", err)
			time.Sleep(2 * time.Hour)
			mu.Lock()
			defer mu.Unlock()
			want := []string{"1s hooks.go surestart: a release outlives its timeout; its part stays held until it returns",
				"1m0s release.go surestart: a release failed and no caller waits for its error"}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("logged\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			quiet(t)
		})
	}
}

type recordHandler func(slog.Record)

func (recordHandler) Enabled(context.Context, slog.Level) bool        { return true }
func (h recordHandler) Handle(_ context.Context, r slog.Record) error { h(r); return nil }
func (h recordHandler) WithAttrs([]slog.Attr) slog.Handler            { return h }
func (h recordHandler) WithGroup(string) slog.Handler                 { return h }

// nosyError is an error whose text looks at the lifecycle, which no lock of its may see.
type nosyError struct{ look func() }

func (e nosyError) Error() string { e.look(); return "nosy" }
func (e nosyError) Unwrap() error { e.look(); return errBoom }
func (e nosyError) Is(error) bool { e.look(); return false }
func (e nosyError) As(any) bool   { e.look(); return false }

// The methods of an error that open, a release or a report of failure has given are
// foreign: none is called under the lifecycle's lock. (A goroutine that waits for a
// mutex hangs a bubble, so this one runs outside.)
func TestG12NoErrorsMethodUnderTheLock(t *testing.T) {
	returns(t, "a life among errors that look at it", func() {
		var l *fsm.Lifecycle[*rig]
		nosy := nosyError{func() { l.Status() }}
		r := newRig(t, "a")
		again := nextFunc(func(try int, _ error) (time.Duration, bool) { return 0, try < 3 })
		l = r.new(fsm.WithRetry(again), fsm.WithRestart(nextFunc(func(try int, _ error) (time.Duration, bool) { return time.Microsecond, try < 3 })),
			fsm.WithLogger(slog.New(slog.DiscardHandler)), fsm.WithStartTimeout(time.Hour))
		r.release = func(context.Context, string) error { return nosy }
		r.at = func(_ context.Context, part string) error {
			if part == "" {
				return nosy
			}
			return nil
		}
		wantIs(t, "Start, three tries of which fail", l.Start(background()), errBoom)
		caller, leave := context.WithCancelCause(background())
		r.at = func(ctx context.Context, part string) error {
			if part == "" && r.opened%3 == 0 {
				leave(nosy)
				<-ctx.Done()
			}
			return r.failed(part, nosy)
		}
		wantIs(t, "Start, whose caller leaves in the third try", l.Start(caller), errBoom)
		_, err := l.Wait(background(), fsm.Idle)
		wantNil(t, "Wait", err)
		r.at = func(_ context.Context, part string) error {
			if part == "" && r.opened%3 == 0 {
				r.die(nosy)
			}
			return r.failed(part, nosy)
		}
		wantIs(t, "Start, whose resource fails in the third try", l.Start(background()), errBoom)
		r.at = nil
		wantNil(t, "Start", l.Start(background()))
		r.die(nosy)
		_, err = l.Wait(background(), fsm.Idle, fsm.Starting)
		wantNil(t, "Wait", err)
		wantIs(t, "Close", errors.Join(l.Close(), nosy), errBoom)
		if s := l.Status().String(); !strings.Contains(s, "nosy") {
			t.Errorf("the Status is %s", s)
		}
	})
}

func (r *rig) failed(part string, err error) error {
	if part == "" {
		return err
	}
	return nil
}
