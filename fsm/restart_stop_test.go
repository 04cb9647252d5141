package fsm_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// A Stop calls the restart off wherever it is; so does a Shutdown, for good.
func TestG8StopCallsARestartOff(t *testing.T) {
	for name, where := range map[string]func(r *rig, l *fsm.Lifecycle[*rig]){
		"while the dead one is released": func(r *rig, _ *fsm.Lifecycle[*rig]) {
			r.release = func(context.Context, string) error { time.Sleep(time.Second); return nil }
			r.die(errBoom)
			synctest.Wait()
		},
		"while it is due": func(r *rig, _ *fsm.Lifecycle[*rig]) {
			r.die(errBoom)
			synctest.Wait()
		},
		"while it is starting": func(r *rig, l *fsm.Lifecycle[*rig]) {
			r.at = func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
			r.die(errBoom)
			l.Wait(background(), fsm.Idle)
			l.Wait(background(), fsm.Starting)
			synctest.Wait()
		},
		"while the next is due": func(r *rig, l *fsm.Lifecycle[*rig]) {
			r.failing(100, "a")
			r.die(errBoom)
			time.Sleep(1500 * time.Millisecond)
		},
	} {
		for _, final := range []bool{false, true} {
			bubble(t, fmt.Sprint(name, ", for good: ", final), func(t *testing.T) {
				r := newRig(t, "a")
				l := r.new(fsm.WithRestart(&backoff{n: 100}))
				wantNil(t, "Start", l.Start(background()))
				where(r, l)
				stop := l.Stop
				if final {
					stop = l.Shutdown
				}
				wantNil(t, "Stop", stop(background()))
				opened := r.opened
				if s := l.Status(); !s.RestartAt.IsZero() {
					t.Errorf("after the Stop: %+v; want nothing due", s)
				}
				quiet(t)
				time.Sleep(time.Hour)
				if r.opened != opened || l.State() == fsm.Started {
					t.Errorf("it came up after it was stopped: opened %d times, %v", r.opened-opened, l.State())
				}
				if final {
					return
				}
				r.at = nil
				wantNil(t, "Start", l.Start(background()))
				r.die(errBoom) // and is supervised again
				synctest.Wait()
				_, err := l.Wait(background(), fsm.Started)
				wantNil(t, "Wait", err)
				wantNil(t, "Stop", l.Stop(background()))
			})
		}
	}
}

// A Stop in the instant in which the timer of a restart fires: whichever is first,
// nothing is opened after it.
func TestG8StopInTheInstantOfARestart(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new(fsm.WithRestart(&backoff{n: 1 << 30}))
		before, after := 0, 0
		for range 2000 {
			wantNil(t, "Start", l.Start(background()))
			r.die(errBoom)
			synctest.Wait()
			opened := r.times()
			stop := begin(t, func() error { time.Sleep(time.Second); return l.Stop(background()) })
			wantNil(t, "Stop", stop.result())
			synctest.Wait()
			wantState(t, l, fsm.Idle)
			if r.times() == opened {
				before++
			} else {
				after++
			}
		}
		t.Logf("the Stop came first %d times, the restart %d times", before, after)
	})
}

// A Stop or a Shutdown answers the Starts that wait for a restart, in Idle too, and the
// next Start opens at once.
func TestG8StopAnswersThoseWhoWaitForARestart(t *testing.T) {
	for _, released := range []bool{false, true} {
		for _, final := range []bool{false, true} {
			bubble(t, fmt.Sprint("released: ", released, ", for good: ", final), func(t *testing.T) {
				r := newRig(t, "a")
				l := r.new(fsm.WithRestart(&backoff{n: 100, pause: time.Hour}))
				wantNil(t, "Start", l.Start(background()))
				proceed := make(chan struct{})
				r.release = func(context.Context, string) error { <-proceed; return nil }
				if released {
					close(proceed)
				}
				r.die(errBoom)
				synctest.Wait()
				starts := []*call{begin(t, func() error { return l.Start(background()) }), begin(t, func() error { return l.Start(background()) })}
				for _, s := range starts {
					s.mustPend("Start that waits for the restart")
				}
				stop, want := l.Stop, fsm.ErrStopped
				if final {
					stop, want = l.Shutdown, fsm.ErrClosed
				}
				stopped := begin(t, func() error { return stop(background()) })
				synctest.Wait()
				for _, s := range starts {
					wantIs(t, "Start that waited", s.result(), want)
				}
				if !released {
					stopped.mustPend("Stop while the dead one is released")
					close(proceed)
				}
				wantNil(t, "Stop", stopped.result())
				quiet(t)
				if final {
					wantIs(t, "Start", l.Start(background()), fsm.ErrClosed)
					return
				}
				began := time.Now()
				wantNil(t, "Start after the Stop", l.Start(background()))
				if took := time.Since(began); took != 0 {
					t.Errorf("G8 StopWins is broken: the Start after a Stop took %v; want none", took)
				}
				wantNil(t, "Stop", l.Stop(background()))
			})
		}
	}
}

// A Stop that comes while a restart that has failed is rolled back: it is not made again.
func TestG8StopWhileAFailedRestartIsRolledBack(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a", "b")
		l := r.new(fsm.WithRestart(&backoff{n: 100}))
		wantNil(t, "Start", l.Start(background()))
		r.failing(100, "b")
		r.release = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		r.die(errBoom)
		l.Wait(background(), fsm.Starting)
		l.Wait(background(), fsm.Stopping)
		start := begin(t, func() error { return l.Start(background()) })
		start.mustPend("Start while the restart is rolled back")
		wantNil(t, "Stop", l.Stop(background()))
		wantIs(t, "Start that waited", start.result(), fsm.ErrStopped)
		time.Sleep(time.Hour)
		if r.opened != 2 || !l.Status().RestartAt.IsZero() {
			t.Errorf("G8 StopWins is broken: opened %d times; want 2: it was tried again after it was stopped", r.opened)
		}
	})
}

// Real threads: deaths, starts and stops at random. When the last Stop has returned, nothing opens
// any more.
func TestG8RestartsRaceStops(t *testing.T) {
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	for seed := range uint64(rounds) {
		rnd := rand.New(rand.NewPCG(seed, 8))
		r := newRig(t, "a")
		if rnd.IntN(2) == 0 {
			fails := rnd.Uint64()
			r.at = func(context.Context, string) error {
				if fails>>(r.opened&31)&3 == 0 {
					return errBoom
				}
				return nil
			}
		}
		wait := time.Duration(rnd.IntN(3)*10) * time.Microsecond
		l := r.new(fsm.WithLogger(slog.New(slog.DiscardHandler)), fsm.WithRestart(nextFunc(func(int, error) (time.Duration, bool) { return wait, true })))
		l.Start(background())
		var all sync.WaitGroup
		for i := range 3 {
			mine := rand.New(rand.NewPCG(seed, uint64(i)))
			all.Go(func() {
				for range 4 {
					switch mine.IntN(4) {
					case 0:
						l.Stop(background())
					case 1:
						l.Start(background())
					default:
						if lease, err := l.Acquire(); err == nil {
							lease.Fail(errBoom)
							lease.Release()
						}
					}
					for range mine.IntN(20) {
						runtime.Gosched()
					}
				}
			})
		}
		all.Wait()
		wantNil(t, "Stop", l.Stop(background()))
		r.mu.Lock()
		opened := r.opened
		r.mu.Unlock()
		for range 50 {
			runtime.Gosched()
		}
		time.Sleep(3 * wait) // longer than what was due
		r.mu.Lock()
		if r.opened != opened || len(r.held) > 0 || l.State() != fsm.Idle {
			t.Fatalf("seed %d: opened %d times after the last Stop had returned; %v, %v are held", seed, r.opened-opened, l.State(), r.held)
		}
		r.mu.Unlock()
	}
}
