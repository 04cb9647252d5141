package fsm_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

type atOnce struct{ tries int }

func (b atOnce) Next(try int, _ error) (time.Duration, bool) { return 0, try < b.tries }

// Real threads, for the race detector. A goroutine that open began registers its part
// after its try has failed, while later tries begin.
func TestG13LatePartWhileLaterTriesBegin(t *testing.T) {
	var late sync.WaitGroup
	var released sync.Map
	tries := 0
	l := fsm.New(func(ctx context.Context, s *fsm.Scope) (int, error) {
		tries++
		try := tries
		late.Add(1)
		go func() {
			defer late.Done()
			<-ctx.Done()
			s.Defer("late", func(ctx context.Context) error {
				if ctx.Err() != nil || fsm.Forced(ctx) {
					t.Errorf("the release of a late part: its context has ended with %v, forced %v", ctx.Err(), fsm.Forced(ctx))
				}
				released.Store(try, true)
				return nil
			})
		}()
		return 0, errBoom
	}, fsm.WithRetry(atOnce{200}))
	wantIs(t, "Start", l.Start(background()), errBoom)
	late.Wait()
	for try := range tries {
		if _, ok := released.Load(try + 1); !ok {
			t.Errorf("G4 Rollback is broken: the late part of try %d was not released", try+1)
		}
	}
}

// The same while a Stop that leaves forces the drain of the try that succeeded.
func TestG13LatePartWhileADrainIsForced(t *testing.T) {
	for range 200 {
		var late *fsm.Scope
		l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
			if late == nil {
				late = s
				return 0, errBoom
			}
			return 0, nil
		}, fsm.WithRetry(atOnce{2}))
		wantNil(t, "Start", l.Start(background()))
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		released := false
		registered := begin(t, func() error {
			late.Defer("late", func(context.Context) error { released = true; return nil })
			return nil
		})
		over, cancel := context.WithCancel(background())
		cancel()
		l.Stop(over)
		wantNil(t, "Scope.Defer", registered.result())
		if !released {
			t.Fatal("G4 Rollback is broken: a late part was not released")
		}
		lease.Release()
		wantNil(t, "Stop", l.Stop(background()))
	}
}

// A release that has ended is not within the next try, which goes on: a call with its context is no
// call from within (G15). The same holds for a part that came late.
func TestG15EndedReleaseIsNotWithinTheNextTry(t *testing.T) {
	for _, when := range []string{"in time", "late"} {
		bubble(t, when, func(t *testing.T) {
			var kept context.Context
			var first *fsm.Scope
			keep := func(ctx context.Context) error { kept = context.WithoutCancel(ctx); return nil }
			opening, proceed := make(chan struct{}), make(chan struct{})
			l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
				if first == nil {
					if first = s; when == "in time" {
						s.Defer("a", keep)
					}
					return 0, errBoom
				}
				close(opening)
				<-proceed
				return 0, nil
			}, fsm.WithRetry(atOnce{2}))
			start := begin(t, func() error { return l.Start(background()) })
			<-opening
			if when == "late" {
				first.Defer("a", keep)
			}
			joined := begin(t, func() error { return l.Start(kept) })
			joined.mustPend("G15 NoSelfDeadlock is broken: a Start with the context of a release that has ended")
			stopped := begin(t, func() error { return l.Stop(kept) })
			stopped.mustPend("G15 NoSelfDeadlock is broken: a Stop with the context of a release that has ended")
			close(proceed)
			wantIs(t, "Start", start.result(), fsm.ErrStopped)
			wantIs(t, "the Start that joined", joined.result(), fsm.ErrStopped)
			wantNil(t, "Stop", stopped.result())
		})
	}
}
