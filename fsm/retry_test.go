package fsm_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// A backoff tries again n times, a second after each failure, and records its calls.
type backoff struct {
	n     int           // how often it says yes
	pause time.Duration // 0: a second
	calls []string
}

func (b *backoff) Next(try int, err error) (time.Duration, bool) {
	b.calls = append(b.calls, fmt.Sprintf("%d %v", try, err))
	return cmp.Or(b.pause, time.Second), try <= b.n
}

// failing makes the rig's open fail n times at the part.
func (r *rig) failing(n int, part string) {
	r.at = func(_ context.Context, p string) error {
		if p != part || r.opened > n {
			return nil
		}
		return errBoom
	}
}

func TestG4RetryRollsBackBeforeTheNextTry(t *testing.T) {
	bubble(t, "succeeds", func(t *testing.T) {
		r := newRig(t, "a", "b", "c")
		r.failing(2, "c")
		b := &backoff{n: 5}
		l := r.new(fsm.WithRetry(b))
		began := time.Now()
		first := begin(t, func() error { return l.Start(background()) })
		first.mustPend("Start while it is tried again")
		wantState(t, l, fsm.Starting)
		if s := l.Status(); s.Held != nil || s.Attempt != 1 || !errors.Is(s.Cause, errBoom) {
			t.Errorf("G14, between two tries: %+v; want attempt 1, nothing held, why the try failed", s)
		}
		joined := begin(t, func() error { return l.Start(background()) }) // between two tries
		wantNil(t, "Start", first.result())
		wantNil(t, "Start that joined", joined.result())
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it took %v; want two pauses of a second", took)
		}
		r.wantLog("open +a +b -b -a open +a +b -b -a open +a +b +c")
		if want := []string{"1 boom", "2 boom"}; !slices.Equal(b.calls, want) {
			t.Errorf("Next was called with %q; want %q", b.calls, want)
		}
		if s := l.Status(); s.Attempt != 1 || s.Cause != nil {
			t.Errorf("%+v; want attempt 1 and no cause", s)
		}
		wantNil(t, "Stop", l.Stop(background()))
		r.wantLog("-c -b -a")
	})
	bubble(t, "gives up", func(t *testing.T) {
		r := newRig(t, "a", "b")
		r.failing(100, "b")
		l := r.new(fsm.WithRetry(&backoff{n: 2}))
		failed := startError(t, l.Start(background()))
		if want := "fsm: start: attempt 1: b: boom (2 tries failed before, the last with the same error)"; failed.Error() != want || !errors.Is(failed, errBoom) {
			t.Errorf("%q; want %q", failed, want)
		}
		wantState(t, l, fsm.Idle)
		r.wantLog("open +a -a open +a -a open +a -a")
		r.at = nil
		wantNil(t, "Start after that", l.Start(background()))
		wantNil(t, "Stop", l.Stop(background()))
	})
	bubble(t, "a release fails", func(t *testing.T) {
		r := newRig(t, "a", "b")
		r.failing(1, "b")
		r.release = func(context.Context, string) error {
			if r.opened == 1 {
				return errBoom
			}
			return nil
		}
		var log logBuffer
		l := r.new(fsm.WithRetry(&backoff{n: 1}), log.option())
		wantNil(t, "Start", l.Start(background()))
		if !strings.Contains(log.String(), "a release failed before another try") || !strings.Contains(log.String(), "a: boom") {
			t.Errorf("the log has %q; want the release that failed", log.String())
		}
		wantNil(t, "Stop, which that try's release is no concern of", l.Stop(background()))
	})
}

// A panic, a Goexit, of open or of the backoff: the attempt fails, once and for all.
func TestG4RetryOnlyOfErrors(t *testing.T) {
	for name, at := range map[string]func(){
		"panic":  func() { panic(errBoom) },
		"Goexit": runtime.Goexit,
	} {
		bubble(t, name+" of open", func(t *testing.T) {
			r := newRig(t, "a", "b")
			r.at = func(_ context.Context, part string) error {
				if part == "b" {
					at()
				}
				return nil
			}
			b := &backoff{n: 5}
			startError(t, r.new(fsm.WithRetry(b)).Start(background()))
			r.wantLog("open +a -a")
			if b.calls != nil {
				t.Errorf("Next was called with %q", b.calls)
			}
		})
		bubble(t, name+" of the backoff", func(t *testing.T) {
			r := newRig(t, "a", "b")
			r.failing(1, "b")
			var log logBuffer
			l := r.new(log.option(), fsm.WithRetry(nextFunc(func(int, error) (time.Duration, bool) { at(); return 0, true })))
			startError(t, l.Start(background()))
			if got := strings.Count(log.String(), "the backoff panicked"); (got == 1) != (name == "panic") || got > 1 {
				t.Errorf("the log has %q", log.String())
			}
			if name == "panic" && !strings.Contains(log.String(), " error.panic="+errBoom.Error()) {
				t.Errorf("the log does not say what the backoff panicked with: %q", log.String())
			}
			r.wantLog("open +a -a")
			wantNil(t, "Start after that", l.Start(background()))
			wantNil(t, "Stop", l.Stop(background()))
		})
	}
}

type nextFunc func(try int, err error) (time.Duration, bool)

func (f nextFunc) Next(try int, err error) (time.Duration, bool) { return f(try, err) }

// Nobody waits for a pause to end: not a Stop, not a Shutdown, not the start
// timeout, not the last caller's context. Each ends the attempt at once.
func TestG8PauseIsCancelled(t *testing.T) {
	hour := nextFunc(func(int, error) (time.Duration, bool) { return time.Hour, true })
	for name, c := range map[string]struct {
		end  func(l *fsm.Lifecycle[*rig], leave context.CancelCauseFunc) error
		want error
	}{
		"Stop":        {func(l *fsm.Lifecycle[*rig], _ context.CancelCauseFunc) error { return l.Stop(background()) }, fsm.ErrStopped},
		"Shutdown":    {func(l *fsm.Lifecycle[*rig], _ context.CancelCauseFunc) error { return l.Shutdown(background()) }, fsm.ErrClosed},
		"last leaves": {func(_ *fsm.Lifecycle[*rig], leave context.CancelCauseFunc) error { leave(errLeft); return nil }, errLeft},
		"timeout":     {func(*fsm.Lifecycle[*rig], context.CancelCauseFunc) error { time.Sleep(time.Minute); return nil }, context.DeadlineExceeded},
	} {
		bubble(t, name, func(t *testing.T) {
			r := newRig(t, "a", "b")
			r.failing(1, "b")
			l := r.new(fsm.WithRetry(hour), fsm.WithStartTimeout(time.Minute))
			ctx, leave := context.WithCancelCause(background())
			began := time.Now()
			start := begin(t, func() error { return l.Start(ctx) })
			start.mustPend("Start")
			wantNil(t, name, c.end(l, leave))
			wantIs(t, "Start", start.result(), c.want)
			synctest.Wait()
			if name != "Shutdown" {
				wantState(t, l, fsm.Idle)
			}
			if took := time.Since(began); took > time.Minute {
				t.Errorf("it took %v of an hour's pause", took)
			}
			r.wantLog("open +a -a")
			if s := l.Status(); !errors.Is(s.Cause, errBoom) || !errors.Is(s.Cause, c.want) {
				t.Errorf("G14 CauseKept is broken: the cause is %v; want %v and why the try before had failed", s.Cause, c.want)
			}
		})
	}
}

// One of two leaves: the attempt goes on for the other.
func TestG6OneLeavesBetweenTries(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		r.failing(1, "a")
		l := r.new(fsm.WithRetry(&backoff{n: 1}))
		ctx, leave := context.WithCancelCause(background())
		leaver := begin(t, func() error { return l.Start(ctx) })
		leaver.mustPend("Start")
		stayer := begin(t, func() error { return l.Start(background()) })
		stayer.mustPend("Start")
		leave(errLeft)
		wantIs(t, "Start that leaves", leaver.result(), errLeft)
		wantNil(t, "Start that stays", stayer.result())
		wantNil(t, "Stop", l.Stop(background()))
	})
}

// A stop while a try is being given back waits for that, and no more is tried.
func TestG8StopDuringRollbackOfATry(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a", "b")
		r.failing(1, "b")
		proceed := make(chan struct{})
		r.release = func(context.Context, string) error { <-proceed; return nil }
		l := r.new(fsm.WithRetry(&backoff{n: 1}))
		start := begin(t, func() error { return l.Start(background()) })
		start.mustPend("Start")
		stop := begin(t, func() error { return l.Stop(background()) })
		stop.mustPend("Stop while a part is held")
		wantState(t, l, fsm.Stopping)
		close(proceed)
		wantNil(t, "Stop", stop.result())
		wantIs(t, "Start", start.result(), fsm.ErrStopped)
		r.wantLog("open +a -a")
	})
}

// Each try has a context of its own, which ends before its parts are given back
// and says why; the values are those of the first caller.
func TestG13ATryHasItsOwn(t *testing.T) {
	bubble(t, "context", func(t *testing.T) {
		r := newRig(t, "a", "b")
		r.failing(1, "b")
		type key struct{}
		var ofFirst, ofSecond context.Context
		r.release = func(context.Context, string) error {
			if r.opened == 1 {
				if ofFirst = r.ctx; ofFirst.Err() == nil || !errors.Is(context.Cause(ofFirst), errBoom) {
					t.Errorf("during the first try's rollback its context has ended with %v", context.Cause(ofFirst))
				}
			}
			return nil
		}
		l := r.new(fsm.WithRetry(&backoff{n: 1}), fsm.WithCallerContext(itself))
		wantNil(t, "Start", l.Start(context.WithValue(background(), key{}, 7)))
		if ofSecond = r.ctx; ofSecond.Err() != nil || ofSecond.Value(key{}) != 7 || ofSecond == ofFirst {
			t.Errorf("the second try's context: ended with %v, has %v", ofSecond.Err(), ofSecond.Value(key{}))
		}
		wantNil(t, "Stop", l.Stop(background()))
		wantIs(t, "the second try's context", context.Cause(ofSecond), fsm.ErrStopped)
	})
	// What comes late from a try that has failed does nothing to the next.
	bubble(t, "scope", func(t *testing.T) {
		r := newRig(t, "a", "b")
		l := r.new(fsm.WithRetry(&backoff{n: 1}))
		late := func(when string, scope *fsm.Scope) {
			released := false
			scope.Part("late")
			scope.Fail(errors.New("late"))
			scope.Defer("late", func(context.Context) error { released = true; return nil })
			if !released {
				t.Errorf("%s: what a try that had failed registered was not released at once", when)
			}
		}
		var first *fsm.Scope
		r.at = func(_ context.Context, part string) error {
			switch {
			case part != "b":
			case r.opened == 1:
				first = r.scope
				return errBoom
			default:
				late("during the next try", first)
			}
			return nil
		}
		start := begin(t, func() error { return l.Start(background()) })
		start.mustPend("Start")
		late("in the pause", first)
		wantState(t, l, fsm.Starting)
		wantNil(t, "Start", start.result())
		late("while it runs", first)
		wantState(t, l, fsm.Started)
		r.scope.Fail(errBoom) // its own
		_, err := l.Wait(background(), fsm.Idle)
		wantNil(t, "Wait", err)
		wantIs(t, "the cause", l.Status().Cause, errBoom)
	})
	// Nor does it say what the next is acquiring.
	bubble(t, "part", func(t *testing.T) {
		r := newRig(t, "a", "b")
		var first *fsm.Scope
		r.at = func(_ context.Context, part string) error {
			if part != "b" {
				return nil
			}
			if first == nil {
				first = r.scope
			} else {
				first.Part("late")
			}
			return errBoom
		}
		if failed := startError(t, r.new(fsm.WithRetry(&backoff{n: 1})).Start(background())); failed.Part != "b" {
			t.Errorf("failed at part %q; want b", failed.Part)
		}
	})
	// The failure reported during a later try fails the attempt.
	bubble(t, "fail", func(t *testing.T) {
		r := newRig(t, "a", "b")
		r.failing(1, "b")
		l := r.new(fsm.WithRetry(&backoff{n: 1}))
		failing := r.at
		r.at = func(ctx context.Context, part string) error {
			if r.opened == 2 && part == "b" {
				r.scope.Fail(errLeft)
				<-ctx.Done()
			}
			return failing(ctx, part)
		}
		wantIs(t, "Start", l.Start(background()), errLeft)
		r.wantLog("open +a -a open +a +b -b -a")
	})
}

// A Start from within a later try is refused as it is from within the first (G15).
func TestG15ReentrantInALaterTry(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		r.failing(1, "a")
		l := r.new(fsm.WithRetry(&backoff{n: 1}))
		failing := r.at
		r.at = func(ctx context.Context, part string) error {
			wantIs(t, "Start within open", l.Start(ctx), fsm.ErrReentrant)
			wantIs(t, "Stop within open", l.Stop(ctx), fsm.ErrReentrant)
			return failing(ctx, part)
		}
		wantNil(t, "Start", l.Start(background()))
		if err := l.Stop(r.ctx); errors.Is(err, fsm.ErrReentrant) { // it ends the context itself, and may find that it has
			t.Errorf("Stop with the context of an open that is over: %v", err)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
}

// The steps report a failed try, and the next one as it begins. A negative pause counts as none.
func TestRetryIsTold(t *testing.T) {
	for _, pause := range []time.Duration{-time.Second, 0, time.Second} {
		bubble(t, fmt.Sprint(pause), func(t *testing.T) {
			r := newRig(t, "a", "b")
			r.failing(1, "b")
			var received []string
			l := r.new(fsm.WithTracer(stepsFunc(func(s fsm.Step) {
				about := fmt.Sprint(s.Kind, " ", s.Part)
				if s.CutOff != 0 {
					about += fmt.Sprint(" cut off ", s.CutOff)
				}
				if s.Pause != 0 && s.Kind != fsm.StepRetry {
					about += fmt.Sprint(" with a pause of ", s.Pause)
				}
				switch s.Kind {
				case fsm.StepRetry:
					about += fmt.Sprint(": ", s.Err, ", ", s.Pause)
				case fsm.StepTryAgain:
					about += fmt.Sprint("after ", s.Took)
				}
				received = append(received, about)
			})), fsm.WithRetry(nextFunc(func(int, error) (time.Duration, bool) { return pause, true })))
			wantNil(t, "Start", l.Start(background()))
			wantNil(t, "Stop", l.Stop(background()))
			synctest.Wait()
			waits := max(pause, 0)
			if want := []string{
				"begun ", "acquiring a", "held a", "acquiring b", fmt.Sprintf("retry b: %v, %v", errBoom, waits), "releasing a", "released a",
				fmt.Sprint("try again after ", waits), "acquiring a", "held a", "acquiring b", "held b",
				"releasing b", "released b", "releasing a", "released a",
			}; !slices.Equal(received, want) {
				t.Errorf("received %q\nwant %q", received, want)
			}
		})
	}
}

// A try that a Stop prevents has no steps.
func TestRetryThatIsNotMadeIsNotTold(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		r.failing(1, "a")
		var received []fsm.StepKind
		l := r.new(fsm.WithTracer(stepsFunc(func(s fsm.Step) { received = append(received, s.Kind) })), fsm.WithRetry(&backoff{n: 1}))
		start := begin(t, func() error { return l.Start(background()) })
		start.mustPend("Start")
		wantNil(t, "Stop", l.Stop(background()))
		wantIs(t, "Start", start.result(), fsm.ErrStopped)
		synctest.Wait()
		if want := []fsm.StepKind{fsm.StepBegun, fsm.StepAcquiring, fsm.StepRetry}; !slices.Equal(received, want) {
			t.Errorf("received %v; want %v", received, want)
		}
	})
}

type stepsFunc func(fsm.Step)

func (f stepsFunc) Step(s fsm.Step)           { f(s) }
func (f stepsFunc) Transition(fsm.Transition) {}

func TestResilienceOptionsRefuseNil(t *testing.T) {
	for name, f := range map[string]func(){
		"WithRetry":   func() { fsm.WithRetry(nil) },
		"WithBreaker": func() { fsm.WithBreaker(nil) },
	} {
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, "fsm: "+name+"(nil): want a ") {
					t.Errorf("%s(nil): %s", name, text)
				}
			}()
			f()
		}()
	}
}
