package pings

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

type partialError struct{ error }

func (partialError) Partial() bool { return true }

// Three failures in a row within one start, and no fewer, are a verdict; a ping that is
// partial, one that succeeds, and another start begin the count again.
func TestJudge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j Judge
		bad := errors.New("no answer")
		for i, step := range []struct {
			attempt  uint64
			err      error
			failures int
			ok       bool
		}{
			{1, bad, 1, true}, {1, bad, 2, true}, {1, bad, 3, false}, {1, nil, 0, true},
			{1, bad, 1, true}, {1, partialError{bad}, 0, true}, {1, bad, 1, true}, {1, bad, 2, true}, {2, bad, 1, true},
		} {
			got, answered := j.Ask(t.Context(), step.attempt, func(context.Context) error { return step.err })
			_, partial := step.err.(partialError)
			if want := (Judgement{step.ok, 0, step.failures, partial, step.err}); !answered || got != want {
				t.Errorf("step %d: %+v; want %+v", i, got, want)
			}
			time.Sleep(4 * time.Second)
			got, _ = j.Ask(t.Context(), step.attempt, func(context.Context) error { t.Errorf("step %d: a second ping within 5 s", i); return nil })
			if got.Age != 4*time.Second || got.Failures != step.failures {
				t.Errorf("step %d, 4 s later: %+v", i, got)
			}
			time.Sleep(time.Second)
		}
	})
}

// A ping that panics or exits, or whose error does when it is read, has failed.
func TestPingThatMisbehaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, ping := range map[string]func(context.Context) error{
			"panics":       func(context.Context) error { panic("no") },
			"exits":        func(context.Context) error { runtime.Goexit(); return nil },
			"error panics": func(context.Context) error { return wildError{func() { panic("no") }} },
			"error exits":  func(context.Context) error { return wildError{runtime.Goexit} },
		} {
			var j Judge
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			for n := 1; n <= 3; n++ {
				got, answered := j.Ask(ctx, 1, ping)
				if !answered || got.Err == nil || got.Failures != n || got.Partial || got.OK != (n < 3) {
					t.Errorf("%s: ping %d: %v, %+v", name, n, answered, got)
				}
				time.Sleep(fresh)
			}
			cancel()
		}
	})
}

type wildError struct{ do func() }

func (wildError) Error() string   { return "wild" }
func (e wildError) Partial() bool { e.do(); return true }

// A ping that does not obey its context holds no request up, and fails as often as others would.
func TestPingThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j Judge
		hang, pings := make(chan struct{}), atomic.Int64{}
		ping := func(context.Context) error {
			pings.Add(1)
			<-hang
			return errors.New("boom")
		}
		for i := 1; i <= 4; i++ {
			began := time.Now()
			got, ok := j.Ask(context.Background(), 1, ping)
			if !ok || got.Failures != i || got.OK != (i < 3) || got.Err == nil {
				t.Errorf("the judgement %d is %+v, %v", i, got, ok)
			}
			if took, want := time.Since(began), map[bool]time.Duration{true: fresh + grace}[i == 1]; took != want {
				t.Errorf("the judgement %d took %v; want %v", i, took, want)
			}
			time.Sleep(fresh)
		}
		if n := pings.Load(); n != 1 {
			t.Errorf("%d pings run at a time", n)
		}
		close(hang)
		synctest.Wait()
		if got, ok := j.Ask(context.Background(), 1, ping); !ok || got.Failures != 6 || got.OK {
			t.Errorf("after it has returned: %+v, %v", got, ok)
		}
		if got, ok := j.Ask(context.Background(), 2, func(context.Context) error { return nil }); !ok || got.Failures != 0 || !got.OK {
			t.Errorf("the next start: %+v, %v", got, ok)
		}
	})
}
