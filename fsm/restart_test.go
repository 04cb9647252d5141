package fsm_test

import (
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
	"github.com/seed3893aba4/surestart/internal/control"
)

// die reports that the running resource died.
func (r *rig) die(cause error) {
	r.mu.Lock()
	scope := r.scope
	r.mu.Unlock()
	scope.Fail(cause)
}

// times is how often it was opened.
func (r *rig) times() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opened
}

func TestG7RestartAfterADeath(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a", "b")
		b := &backoff{n: 10}
		var log logBuffer
		l := r.new(log.option(), fsm.WithRestart(b))
		type key struct{}
		wantNil(t, "Start", l.Start(context.WithValue(background(), key{}, 7)))
		r.die(errBoom)
		quiet(t) // G7: a timer, and no goroutine
		wantState(t, l, fsm.Idle)
		s := l.Status()
		if !s.RestartAt.Equal(time.Now().Add(time.Second)) || !errors.Is(s.Cause, errBoom) {
			t.Errorf("%v; want a restart in a second, and why", s)
		}
		if want := "; cause: boom; starts again at "; !strings.Contains(s.String(), want) {
			t.Errorf("%q; want %q in it", s, want)
		}
		began := time.Now()
		_, err := l.Wait(background(), fsm.Started)
		wantNil(t, "Wait", err)
		if took := time.Since(began); took != time.Second {
			t.Errorf("it was started again after %v; want a second", took)
		}
		quiet(t)
		if s := l.Status(); s.Attempt != 2 || s.Cause != nil || !s.RestartAt.IsZero() {
			t.Errorf("%+v; want attempt 2, no cause, nothing due", s)
		}
		if r.ctx.Value(key{}) != 7 {
			t.Error("the values of the attempt that died are not those of the new one")
		}
		wantNil(t, "Stop", l.Stop(background()))
		time.Sleep(time.Hour)
		wantState(t, l, fsm.Idle)
		r.wantLog("open +a +b -b -a open +a +b -b -a")
		if want := []string{"1 boom"}; !slices.Equal(b.asked, want) {
			t.Errorf("the backoff was asked %q; want %q", b.asked, want)
		}
		if log.String() != "" {
			t.Errorf("logged: %s; want nothing, all went well", &log)
		}
	})
}

// What fails is made again until the backoff gives up; what nobody supervises is not.
func TestRestartLimit(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		b := &backoff{n: 3}
		var log logBuffer
		l := r.new(log.option(), fsm.WithRestart(b))
		r.failing(100, "a")
		wantIs(t, "Start", l.Start(background()), errBoom)
		time.Sleep(time.Hour)
		if r.opened != 1 || b.asked != nil {
			t.Errorf("a Start that failed: opened %d times, asked %q; it is its caller's affair", r.opened, b.asked)
		}
		r.at = nil
		for range 2 { // a Stop calls off what was before it, and no more
			wantNil(t, "Stop", l.Stop(background()))
			wantNil(t, "Start", l.Start(background()))
		}
		r.failing(100, "a")
		r.die(errors.New("gone"))
		time.Sleep(time.Hour)
		quiet(t)
		wantState(t, l, fsm.Idle)
		start := func(n int) string { return fmt.Sprintf("fsm: start: attempt %d: a: boom", n) }
		if want := []string{"1 gone", "2 " + start(4), "3 " + start(5), "4 " + start(6)}; !slices.Equal(b.asked, want) {
			t.Errorf("the backoff was asked %q; want %q", b.asked, want)
		}
		if s := l.Status(); s.Attempt != 6 || !errors.Is(s.Cause, errBoom) || !s.RestartAt.IsZero() {
			t.Errorf("G14 CauseKept is broken: %+v; want why the last of six attempts failed, nothing due", s)
		}
		if want := `a resource that died is not started again any more" restarts=3 error=`; strings.Count(log.String(), want) != 1 {
			t.Errorf("the log has %q; want %q", log.String(), want)
		}
		wantIs(t, "Start after it has given up", l.Start(background()), errBoom)
		synctest.Wait()
		if len(b.asked) != 4 {
			t.Errorf("the backoff was asked %q; want nothing after it has given up", b.asked)
		}
		r.at = nil
		wantNil(t, "Start after it has given up", l.Start(background()))
		wantNil(t, "Stop", l.Stop(background()))
	})
}

// One that dies again and again, young, runs into the limit; one that has run for a
// minute begins anew.
func TestRestartCountsAnewOnceItHasRun(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		b := &backoff{n: 3}
		l := r.new(fsm.WithRestart(b))
		wantNil(t, "Start", l.Start(background()))
		for _, age := range []time.Duration{time.Second, time.Minute - 1, time.Minute, time.Second, time.Second, time.Second} {
			time.Sleep(age)
			r.die(errBoom)
			synctest.Wait()
			l.Wait(background(), fsm.Started, fsm.Idle)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		wantState(t, l, fsm.Idle)
		if want := []string{"1 boom", "2 boom", "1 boom", "2 boom", "3 boom", "4 boom"}; !slices.Equal(b.asked, want) {
			t.Errorf("the backoff was asked %q; want %q", b.asked, want)
		}
	})
}

// While somebody else's attempt is under way the backoff is not asked: that may come up.
func TestRestartIsNotAskedDuringAnAttempt(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		h := &holdsAnswers{answered: make(chan struct{}), proceed: make(chan struct{})}
		b := &backoff{n: 100}
		l := r.new(control.WithHook(h).(fsm.Option), fsm.WithRestart(b))
		wantNil(t, "Start", l.Start(background()))
		up := make(chan struct{})
		r.at = func(context.Context, string) error {
			if r.times() == 2 {
				return errBoom
			}
			<-up
			return nil
		}
		h.holds.Store(true)
		r.die(errBoom)
		<-h.answered
		h.holds.Store(false)
		start := begin(t, func() error { return l.Start(background()) })
		start.mustPend("Start of somebody else")
		close(h.proceed)
		synctest.Wait()
		close(up)
		wantNil(t, "Start of somebody else", start.result())
		if want := []string{"1 boom"}; !slices.Equal(b.asked, want) {
			t.Errorf("the backoff was asked %q; want %q", b.asked, want)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
}

// It dies again when a restart has come up, and before its goroutine has noticed.
func TestRestartAfterADeathBeforeItIsNoticed(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		h := &holdsAnswers{answered: make(chan struct{}), proceed: make(chan struct{})}
		b := &backoff{n: 100}
		l := r.new(control.WithHook(h).(fsm.Option), fsm.WithRestart(b))
		wantNil(t, "Start", l.Start(background()))
		h.holds.Store(true)
		r.die(errBoom)
		<-h.answered
		wantState(t, l, fsm.Started)
		r.die(errBoom)
		synctest.Wait()
		if len(b.asked) != 1 {
			t.Errorf("the backoff was asked %q; want once: the supervisor is one caller, in a call yet", b.asked)
		}
		h.holds.Store(false)
		close(h.proceed)
		time.Sleep(time.Minute)
		wantState(t, l, fsm.Started)
		wantNil(t, "Stop", l.Stop(background()))
	})
}

// A Stop begins the count anew, however young the resource was.
func TestRestartCountsAnewAfterAStop(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		b := &backoff{n: 100}
		l := r.new(fsm.WithRestart(b))
		for range 2 {
			wantNil(t, "Start", l.Start(background()))
			for range 2 {
				r.die(errBoom)
				synctest.Wait()
				l.Wait(background(), fsm.Started)
			}
			wantNil(t, "Stop", l.Stop(background()))
		}
		if want := []string{"1 boom", "2 boom", "1 boom", "2 boom"}; !slices.Equal(b.asked, want) {
			t.Errorf("the backoff was asked %q; want %q", b.asked, want)
		}
	})
}

// Others who start it meanwhile are joined, and do not take it along when they leave.
func TestG6RestartAndOtherCallers(t *testing.T) {
	bubble(t, "one starts it before it is due", func(t *testing.T) {
		r := newRig(t, "a")
		b := &backoff{n: 100}
		l := r.new(fsm.WithRestart(b))
		wantNil(t, "Start", l.Start(background()))
		r.die(errBoom)
		synctest.Wait()
		wantNil(t, "Start", l.Start(background()))
		if s := l.Status(); s.Attempt != 2 || !s.RestartAt.IsZero() {
			t.Errorf("%+v; want attempt 2, nothing due", s)
		}
		time.Sleep(time.Hour)
		if r.opened != 2 {
			t.Errorf("opened %d times; want 2", r.opened)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
	bubble(t, "one starts it before it is due, and fails", func(t *testing.T) {
		r := newRig(t, "a")
		b := &backoff{n: 100}
		l := r.new(fsm.WithRestart(b))
		wantNil(t, "Start", l.Start(background()))
		r.die(errBoom)
		synctest.Wait()
		due := l.Status().RestartAt
		time.Sleep(time.Second / 2)
		r.failing(2, "a")
		wantIs(t, "Start", l.Start(background()), errBoom)
		synctest.Wait()
		if s := l.Status(); s.Attempt != 2 || due.IsZero() || !s.RestartAt.Equal(due) {
			t.Errorf("%+v; want attempt 2, and the restart due at %v as before", s, due)
		}
		_, err := l.Wait(background(), fsm.Started)
		wantNil(t, "Wait", err)
		if !time.Now().Equal(due) || len(b.asked) != 1 {
			t.Errorf("started again at %v, the backoff was asked %q; want %v, asked once", time.Now(), b.asked, due)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
	bubble(t, "one queues during the release, and fails", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new(fsm.WithRestart(&backoff{n: 100}))
		wantNil(t, "Start", l.Start(background()))
		r.release = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		r.failing(2, "a")
		r.die(errors.New("gone"))
		wantIs(t, "Start that queued", l.Start(background()), errBoom)
		_, err := l.Wait(background(), fsm.Started)
		wantNil(t, "Wait", err)
		if s := l.Status(); s.Attempt != 3 {
			t.Errorf("%+v; want attempt 3", s)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
	bubble(t, "one joins the restart and leaves", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new(fsm.WithRestart(&backoff{n: 100}))
		wantNil(t, "Start", l.Start(background()))
		r.at = func(ctx context.Context, _ string) error {
			select {
			case <-time.After(time.Minute):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		r.die(errBoom)
		l.Wait(background(), fsm.Idle)
		l.Wait(background(), fsm.Starting)
		ctx, cancel := context.WithTimeout(background(), time.Second)
		defer cancel()
		wantIs(t, "Start that leaves", l.Start(ctx), context.DeadlineExceeded)
		wantState(t, l, fsm.Starting)
		_, err := l.Wait(background(), fsm.Started)
		wantNil(t, "Wait", err)
		wantNil(t, "Stop", l.Stop(background()))
	})
}

// However the backoff ends, the lifecycle goes on.
func TestRestartBackoffMisbehaves(t *testing.T) {
	for name, how := range map[string]func(){"panics": func() { panic(errBoom) }, "calls Goexit": runtime.Goexit} {
		bubble(t, name, func(t *testing.T) {
			r := newRig(t, "a")
			var log logBuffer
			l := r.new(log.option(), fsm.WithRestart(nextFunc(func(int, error) (time.Duration, bool) { how(); return 0, true })))
			wantNil(t, "Start", l.Start(background()))
			r.die(errBoom)
			time.Sleep(time.Hour)
			quiet(t)
			wantState(t, l, fsm.Idle)
			if name == "panics" && !strings.Contains(log.String(), "the backoff of the restarts panicked") {
				t.Errorf("the log has %q", log.String())
			}
			wantNil(t, "Start", l.Start(background()))
			wantNil(t, "Stop", l.Stop(background()))
			r.wantLog("open +a -a open +a -a")
		})
	}
	// It is asked by one at a time, also if a Start fails meanwhile.
	bubble(t, "is asked once", func(t *testing.T) {
		r := newRig(t, "a")
		asked := 0
		l := r.new(fsm.WithRestart(nextFunc(func(int, error) (time.Duration, bool) {
			asked++
			time.Sleep(time.Second)
			return time.Second, true
		})))
		wantNil(t, "Start", l.Start(background()))
		r.failing(2, "a")
		r.die(errBoom)
		synctest.Wait()
		wantIs(t, "Start while it is asked", l.Start(background()), errBoom)
		synctest.Wait()
		time.Sleep(time.Second / 2)
		if asked != 1 {
			t.Errorf("asked %d times at once", asked)
		}
		_, err := l.Wait(background(), fsm.Started)
		wantNil(t, "Wait", err)
		wantNil(t, "Stop", l.Stop(background()))
	})
	// A Stop, or another death, while it is being asked.
	bubble(t, "takes long", func(t *testing.T) {
		r := newRig(t, "a")
		var asked []string
		l := r.new(fsm.WithRestart(nextFunc(func(try int, err error) (time.Duration, bool) {
			asked = append(asked, fmt.Sprint(try, " ", err))
			time.Sleep(time.Second)
			return -time.Hour, len(asked) > 1
		})))
		wantNil(t, "Start", l.Start(background()))
		r.die(errBoom)
		synctest.Wait()
		wantNil(t, "Start", l.Start(background()))
		r.die(errors.New("gone"))
		synctest.Wait()
		_, err := l.Wait(background(), fsm.Started) // though of the first death it said no
		wantNil(t, "Wait", err)
		if want := []string{"1 boom", "2 gone"}; !slices.Equal(asked, want) {
			t.Errorf("asked %q; want %q", asked, want)
		}
		r.die(errBoom)
		synctest.Wait()
		wantNil(t, "Stop while it is asked", l.Stop(background()))
		time.Sleep(time.Hour)
		wantState(t, l, fsm.Idle)
	})
	func() {
		defer func() {
			if text := fmt.Sprint(recover()); !strings.Contains(text, "fsm: WithRestart(nil): want a Backoff") {
				t.Errorf("WithRestart(nil): %s", text)
			}
		}()
		fsm.WithRestart(nil)
	}()
}
