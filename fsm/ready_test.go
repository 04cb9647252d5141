package fsm_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// Ready returns the reason at once if nothing is going to open the resource.
func TestReadyAnswersAtOnce(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new()
		wantIs(t, "Ready, never started", l.Ready(background()), fsm.ErrNotStarted)
		wantNil(t, "Stop", l.Stop(background()))
		wantIs(t, "Ready, never started", l.Ready(background()), fsm.ErrNotStarted)
		r.failing(1, "a")
		wantIs(t, "Start", l.Start(background()), errBoom)
		var failed *fsm.StartError
		if err := l.Ready(background()); !errors.As(err, &failed) || failed.Attempt != 1 {
			t.Errorf("Ready after a failed start: %v; want why it failed", err)
		}
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Ready", l.Ready(background()))
		ended, cancel := context.WithCancel(background())
		cancel()
		wantNil(t, "Ready of what is open, its context ended", l.Ready(ended))
		r.die(errBoom)
		synctest.Wait()
		wantIs(t, "Ready of what died", l.Ready(background()), errBoom)
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Stop", l.Stop(background()))
		wantIs(t, "Ready, stopped", l.Ready(background()), fsm.ErrStopped)
		if r.opened != 3 {
			t.Errorf("opened %d times; want 3: Ready starts nothing", r.opened)
		}
		wantNil(t, "Shutdown", l.Shutdown(background()))
		wantIs(t, "Ready, closed", l.Ready(background()), fsm.ErrClosed)
	})
}

// Ready waits while the resource is going to be opened, and no longer.
func TestReadyWaits(t *testing.T) {
	bubble(t, "for an attempt", func(t *testing.T) {
		for _, fails := range []bool{false, true} {
			r := newRig(t, "a")
			proceed := make(chan struct{})
			r.at = func(context.Context, string) error {
				<-proceed
				if fails {
					return errBoom
				}
				return nil
			}
			l := r.new()
			start := begin(t, func() error { return l.Start(background()) })
			start.mustPend("Start")
			ready := begin(t, func() error { return l.Ready(background()) })
			ready.mustPend("Ready while it opens")
			close(proceed)
			if fails {
				wantIs(t, "Ready", ready.result(), errBoom)
				wantIs(t, "Start", start.result(), errBoom)
			} else {
				wantNil(t, "Ready", ready.result())
				wantNil(t, "Start", start.result())
			}
			wantNil(t, "Stop", l.Stop(background()))
		}
	})
	bubble(t, "not for a drain", func(t *testing.T) {
		_, l, lease, stop := draining(t)
		wantIs(t, "Ready while it drains", l.Ready(background()), fsm.ErrStopped)
		start := begin(t, func() error { return l.Start(background()) })
		start.mustPend("Start that waits for the release")
		ready := begin(t, func() error { return l.Ready(background()) })
		ready.mustPend("Ready while a Start waits for the release")
		lease.Release()
		wantNil(t, "Stop", stop.result())
		wantNil(t, "Start", start.result())
		wantNil(t, "Ready", ready.result())
		wantNil(t, "Stop", l.Stop(background()))
	})
	bubble(t, "for a Start that leaves", func(t *testing.T) {
		_, l, lease, stop := draining(t)
		ctx, cancel := context.WithCancel(background())
		start := begin(t, func() error { return l.Start(ctx) })
		start.mustPend("Start that waits for the release")
		ready := begin(t, func() error { return l.Ready(background()) })
		ready.mustPend("Ready")
		cancel()
		wantIs(t, "Start", start.result(), context.Canceled)
		wantIs(t, "Ready, nobody waits any more", ready.result(), fsm.ErrStopped)
		lease.Release()
		wantNil(t, "Stop", stop.result())
	})
	bubble(t, "for a restart", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new(fsm.WithRestart(&backoff{n: 2}), fsm.WithLogger(slog.New(slog.DiscardHandler)))
		wantNil(t, "Start", l.Start(background()))
		r.failing(2, "a") // the first restart fails, the second does not
		r.die(errBoom)
		began := time.Now()
		wantNil(t, "Ready", l.Ready(background()))
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("Ready returned after %v; want the second restart's two seconds", took)
		}
		r.failing(100, "a")
		r.die(errBoom)
		wantIs(t, "Ready when the backoff has given up", l.Ready(background()), errBoom)
		wantState(t, l, fsm.Idle)
	})
	bubble(t, "and a Stop of what is due answers it", func(t *testing.T) {
		for _, final := range []bool{false, true} {
			r := newRig(t, "a")
			l := r.new(fsm.WithRestart(&backoff{n: 2}))
			wantNil(t, "Start", l.Start(background()))
			r.die(errBoom)
			ready := begin(t, func() error { return l.Ready(background()) })
			ready.mustPend("Ready while a restart is due")
			want := fsm.ErrStopped
			if final {
				want = fsm.ErrClosed
				wantNil(t, "Shutdown", l.Shutdown(background()))
			} else {
				wantNil(t, "Stop", l.Stop(background()))
			}
			wantIs(t, "Ready", ready.result(), want)
		}
	})
	bubble(t, "as long as its context lasts", func(t *testing.T) {
		r := newRig(t, "a")
		l := r.new(fsm.WithRestart(&backoff{n: 2, pause: time.Hour}))
		wantNil(t, "Start", l.Start(background()))
		r.die(errBoom)
		ctx, cancel := context.WithTimeoutCause(background(), time.Second, errors.New("enough"))
		defer cancel()
		if err := l.Ready(ctx); err == nil || err.Error() != "enough" {
			t.Errorf("Ready: %v; want the cause of its context", err)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
}

// Real threads: every Ready returns, and nil only if the resource was open.
func TestG12ReadyRaces(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	for range rounds {
		r := newRig(t, "a")
		l := r.new(fsm.WithRestart(nextFunc(func(try int, _ error) (time.Duration, bool) { return 0, try < 3 })),
			fsm.WithLogger(slog.New(slog.DiscardHandler)))
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				for range 20 {
					switch i {
					case 0:
						l.Start(background())
					case 1:
						l.Stop(background())
					default:
						if l.Ready(background()) == nil {
							if lease, err := l.Acquire(); err == nil {
								lease.Fail(errBoom)
								lease.Release()
							}
						}
					}
					runtime.Gosched()
				}
			})
		}
		all.Wait()
		wantNil(t, "Stop", l.Stop(background()))
	}
}
