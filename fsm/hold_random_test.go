package fsm_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/seed3893aba4/surestart/fsm"
)

// Owners come and go in random order, while the resource fails to open, dies, is restarted,
// is stopped by others, and has a Run. What is held is open unless it has died or a Stop has
// ended the hold. While a Run lasts it stays open, or is started again. Once nobody holds it, and
// no Run lasts, it is closed and no restart is due.
func TestRandomHolds(t *testing.T) {
	seen := make(map[string]int)
	for range 20 { // each takes milliseconds
		rapid.Check(t, func(rt *rapid.T) {
			rapid.SyncTest(rt, func(rt *rapid.T) { randomHolds(t, rt, seen) })
		})
	}
	for _, what := range []string{"held", "failed", "left", "stopped", "died", "restarted", "run failed", "run lasted", "run ended"} {
		if seen[what] == 0 {
			t.Errorf("it never happened: %s (%v)", what, seen)
		}
	}
}

func randomHolds(tb testing.TB, t *rapid.T, seen map[string]int) {
	draw := func(name string, n int) int { return rapid.IntRange(0, n-1).Draw(t, name) }
	moment := func(name string) time.Duration { return time.Duration(draw(name, 4)) * time.Second }
	var mu sync.Mutex
	count := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		seen[what]++
	}
	r := newRig(tb, "a")
	opens, closes := moment("opens"), moment("closes")
	fails := 0
	r.at = func(ctx context.Context, part string) error {
		if part != "" {
			return nil
		}
		select {
		case <-time.After(opens):
		case <-ctx.Done():
		}
		mu.Lock()
		defer mu.Unlock()
		if fails > 0 {
			fails--
			return errBoom
		}
		return nil
	}
	r.release = func(context.Context, string) error { time.Sleep(closes); return nil }
	var opts []fsm.Option
	if draw("restarts", 3) > 0 {
		pause := moment("pause")
		opts = append(opts, fsm.WithRestart(nextFunc(func(try int, _ error) (time.Duration, bool) { count("restarted"); return pause, try < 4 })))
	}
	l := r.new(opts...)
	runs, endRun := context.WithCancel(background())
	defer endRun()
	var run chan error
	stopped := false // by another caller than the Run
	var calls sync.WaitGroup
	for range 1 + draw("steps", 20) {
		switch draw("what", 9) {
		case 0, 1, 2:
			patience, long, slow := moment("patience"), moment("long"), moment("slow")
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(background(), patience+time.Second/2)
				defer cancel()
				held, release, err := l.Hold(ctx)
				switch {
				case errors.As(err, new(*fsm.LeaveError)):
					count("left")
					return
				case err != nil:
					count("failed")
					return
				}
				count("held")
				if s := l.State(); s != fsm.Started && s != fsm.Stopping && held.Err() == nil { // it drains nothing, and ends at once
					t.Errorf("held, and %v", s)
				}
				time.Sleep(long)
				ctx, cancel = context.WithTimeout(background(), slow+time.Second/2)
				defer cancel()
				release(ctx)
				release(ctx)
			})
		case 3:
			stopped = true
			calls.Go(func() { l.Stop(background()); count("stopped") })
		case 4, 5:
			if l.State() == fsm.Started {
				count("died")
				r.die(errBoom)
			}
		case 6:
			mu.Lock()
			fails++
			mu.Unlock()
		case 7:
			if run == nil { // it closes the resource for good
				run = make(chan error, 1)
				go func() { run <- l.Run(runs) }()
			}
		case 8:
			if run != nil && draw("ends", 3) == 0 {
				endRun()
			}
		}
		time.Sleep(moment("between"))
	}
	calls.Wait()
	time.Sleep(time.Minute) // what was left is rolled back, or restarted
	synctest.Wait()
	if run != nil {
		ended := runs.Err() != nil
		if len(run) == 0 {
			count("run lasted")
			if s := l.Status(); s.State != fsm.Started {
				t.Errorf("a Run lasts: %v", s)
			}
			endRun()
		}
		switch err := <-run; {
		case errors.As(err, new(*fsm.StartError)):
			count("run failed")
		case ended:
			count("run ended")
		case err == nil && runs.Err() == nil && !stopped:
			t.Errorf("a Run has ended without a Stop: %v", l.Status())
		}
	}
	if s := l.Status(); s.State != fsm.Idle && s.State != fsm.Closed || !s.RestartAt.IsZero() {
		t.Errorf("nobody holds it: %v", s)
	}
	time.Sleep(time.Hour)
	if s := l.Status(); s.State != fsm.Idle && s.State != fsm.Closed || s.Waiters > 0 {
		t.Errorf("nobody holds it, an hour later: %v", s)
	}
	wantNil(tb, "Close", l.Close())
	synctest.Wait()
}
