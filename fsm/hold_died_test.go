package fsm_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

var inAMinute = nextFunc(func(int, error) (time.Duration, bool) { return time.Minute, true })

// What died is still held: a restart is for the holders, and ends with the last of them.
func TestHoldOfWhatDied(t *testing.T) {
	bubble(t, "the restart is held, and a later hold too", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new(fsm.WithRestart(inAMinute))
		held, release := wantHeld(t, l)
		r.die(errBoom)
		<-held.Done()
		wantIs(t, "held", context.Cause(held), errBoom)
		again, second := wantHeld(t, l) // waits for the restart
		wantNil(t, "release", release(background()))
		wantState(t, l, fsm.Started)
		wantNil(t, "held", again.Err())
		wantNil(t, "release", second(background()))
		wantState(t, l, fsm.Idle)
	})
	for name, c := range map[string]struct {
		after time.Duration // the death
		fails bool          // the restart
		state fsm.State
	}{
		"being released":           {0, false, fsm.Stopping},
		"due":                      {2 * time.Second, false, fsm.Idle},
		"being restarted":          {61500 * time.Millisecond, false, fsm.Starting},
		"a failing restart's undo": {62500 * time.Millisecond, true, fsm.Stopping},
	} {
		bubble(t, "the last release calls the restart off: "+name, func(t *testing.T) {
			r := newRig(t, "a")
			slow := false
			r.at = func(ctx context.Context, part string) error {
				if slow && part == "" {
					select {
					case <-time.After(time.Second):
					case <-ctx.Done():
						wantIs(t, "the cause of open's context", context.Cause(ctx), fsm.ErrStopped)
					}
					if c.fails {
						return errBoom
					}
				}
				return nil
			}
			r.release = func(context.Context, string) error { time.Sleep(time.Second); return nil }
			l := r.new(fsm.WithRestart(inAMinute))
			_, release := wantHeld(t, l)
			slow = true
			r.die(errBoom)
			time.Sleep(c.after)
			wantState(t, l, c.state)
			wantNil(t, "release", release(background()))
			wantState(t, l, fsm.Idle)
			time.Sleep(time.Hour)
			wantState(t, l, fsm.Idle)
			if at := l.Status().RestartAt; !at.IsZero() {
				t.Errorf("a restart is due at %v", at)
			}
		})
	}
	bubble(t, "Ready learns that there is no restart", func(t *testing.T) {
		r := newRig(t, "a")
		r.release = func(context.Context, string) error { time.Sleep(time.Hour); return nil }
		l := r.new(fsm.WithRestart(inAMinute))
		_, release := wantHeld(t, l)
		r.die(errBoom)
		ready := begin(t, func() error { return l.Ready(background()) })
		ready.mustPend("Ready")
		last := begin(t, func() error { return release(background()) })
		last.mustPend("the last release")
		if ready.pending() {
			t.Error("Ready waits for a restart that has been called off")
		}
		wantIs(t, "Ready", ready.result(), errBoom)
		wantNil(t, "the last release", last.result())
	})
	bubble(t, "Starts that wait for the restart get an attempt", func(t *testing.T) {
		for _, pause := range []time.Duration{0, 2 * time.Second} { // while it is released, and while the restart is due
			r := newRig(t, "a")
			r.release = func(context.Context, string) error { time.Sleep(time.Second); return nil }
			l := r.new(fsm.WithRestart(inAMinute))
			_, release := wantHeld(t, l)
			began := time.Now()
			r.die(errBoom)
			start := begin(t, func() error { return l.Start(background()) })
			time.Sleep(pause)
			start.mustPend("Start")
			wantNil(t, "release", release(background()))
			wantNil(t, "Start", start.result())
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("after %v: it waited for the restart", took)
			}
			wantNil(t, "Stop", l.Stop(background()))
		}
	})
	for name, starts := range map[string]bool{"a Run that waits gets an attempt, and keeps no restart": false, "a Run that lasts keeps the restart": true} {
		bubble(t, name, func(t *testing.T) {
			r := newRig(t, "a")
			fails := false
			r.at = func(_ context.Context, part string) error {
				if part == "" && fails {
					fails = false
					time.Sleep(time.Second)
					return errBoom
				}
				return nil
			}
			l := r.new(fsm.WithRestart(inAMinute))
			_, release := wantHeld(t, l)
			fails = true
			began := time.Now()
			if !starts {
				r.die(errBoom)
			}
			ctx, cancel := context.WithCancel(background())
			defer cancel()
			run := begin(t, func() error { return l.Run(ctx) })
			run.mustPend("Run")
			if starts {
				r.die(errBoom)
				synctest.Wait()
			}
			wantNil(t, "release", release(background()))
			if starts {
				time.Sleep(time.Hour)
				run.mustPend("Run")
				wantState(t, l, fsm.Started)
				cancel()
				wantNil(t, "Run", run.result())
				return
			}
			startError(t, run.result())
			if took := time.Since(began); took > time.Second {
				t.Errorf("Run waited for the restart: %v", took)
			}
			time.Sleep(time.Hour)
			wantState(t, l, fsm.Idle)
		})
	}
	bubble(t, "without a restart a later hold opens it again", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new()
		_, first := wantHeld(t, l)
		r.die(errBoom)
		_, second := wantHeld(t, l)
		wantNil(t, "release", first(background()))
		wantState(t, l, fsm.Started)
		wantNil(t, "release", second(background()))
		wantState(t, l, fsm.Idle)
	})
	bubble(t, "the last release of what died leaves a later Start alone", func(t *testing.T) {
		r := newRig(t, "a")
		proceed := make(chan struct{}, 2)
		proceed <- struct{}{}
		r.at = func(_ context.Context, part string) error {
			if part == "" {
				<-proceed
			}
			return nil
		}
		l := r.new()
		_, release := wantHeld(t, l)
		r.die(errBoom)
		start := begin(t, func() error { return l.Start(background()) })
		start.mustPend("Start")
		wantNil(t, "release", release(background()))
		wantState(t, l, fsm.Starting)
		proceed <- struct{}{}
		if err := start.result(); err != nil && !errors.Is(err, errBoom) {
			t.Error(err)
		}
		wantState(t, l, fsm.Started)
		wantNil(t, "Stop", l.Stop(background()))
	})
}
