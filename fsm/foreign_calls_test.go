package fsm_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// callsWithAContext are all calls that take a context.
var callsWithAContext = map[string]func(l *fsm.Lifecycle[int], ctx context.Context) error{
	"Start":          func(l *fsm.Lifecycle[int], ctx context.Context) error { return l.Start(ctx) },
	"Stop":           func(l *fsm.Lifecycle[int], ctx context.Context) error { return l.Stop(ctx) },
	"Shutdown":       func(l *fsm.Lifecycle[int], ctx context.Context) error { return l.Shutdown(ctx) },
	"Run":            func(l *fsm.Lifecycle[int], ctx context.Context) error { return l.Run(ctx) },
	"Ready":          func(l *fsm.Lifecycle[int], ctx context.Context) error { return l.Ready(ctx) },
	"FlushObservers": func(l *fsm.Lifecycle[int], ctx context.Context) error { return l.FlushObservers(ctx) },
	"Wait": func(l *fsm.Lifecycle[int], ctx context.Context) error {
		_, err := l.Wait(ctx, fsm.Started)
		return err
	},
	"Use": func(l *fsm.Lifecycle[int], ctx context.Context) error {
		return l.Use(ctx, func(context.Context, int) error { time.Sleep(time.Minute); return nil })
	},
	"Do": func(l *fsm.Lifecycle[int], ctx context.Context) error {
		_, err := fsm.Do(ctx, l, func(context.Context, int) (int, error) { time.Sleep(time.Minute); return 0, nil })
		return err
	},
	"Hold": func(l *fsm.Lifecycle[int], ctx context.Context) error {
		_, release, err := l.Hold(ctx)
		if err == nil {
			err = release(background())
		}
		return err
	},
	"the release of a Hold": func(l *fsm.Lifecycle[int], ctx context.Context) error {
		bounded, cancel := context.WithTimeout(background(), time.Minute)
		defer cancel()
		_, release, err := l.Hold(bounded)
		if err == nil {
			err = release(ctx)
		}
		return err
	},
}

// A scene is a lifecycle in one of its states.
type scene struct {
	l     *fsm.Lifecycle[int]
	scope *fsm.Scope
	lease fsm.Lease[int]
}

func newScene() *scene {
	s := &scene{}
	s.l = fsm.New(func(ctx context.Context, scope *fsm.Scope) (int, error) {
		s.scope = scope
		scope.Defer("a", func(context.Context) error { time.Sleep(5 * time.Second); return nil })
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(10 * time.Second):
			return 1, nil
		}
	}, fsm.WithRestart(nextFunc(func(int, error) (time.Duration, bool) { return time.Hour, true })), fsm.WithObserver(func(fsm.Transition) { time.Sleep(time.Second) }))
	return s
}

var scenes = map[string]func(*scene){
	"idle":     func(*scene) {},
	"starting": func(s *scene) { go s.l.Start(background()) },
	"started":  func(s *scene) { s.l.Start(background()) },
	"draining": func(s *scene) {
		s.l.Start(background())
		s.lease, _ = s.l.Acquire()
		go s.l.Stop(background())
	},
	"stopping": func(s *scene) { s.l.Start(background()); go s.l.Stop(background()) },
	"due": func(s *scene) {
		s.l.Start(background())
		s.scope.Fail(errBoom)
		time.Sleep(time.Minute)
	},
	"closed": func(s *scene) { s.l.Close() },
}

// A context whose methods panic, block, exit or lie harms only the call that it is given to,
// whatever the call and the state: all others end, and no caller counts that is gone.
func TestG12ForeignContextInEveryCallAndState(t *testing.T) {
	cases := 0
	for state, begins := range scenes {
		for name, method := range callsWithAContext {
			for _, how := range []string{"blocks", "panics", "exits"} {
				for _, lies := range []bool{false, true} {
					for nth, acted := 1, true; acted; nth++ {
						if !t.Run(fmt.Sprintf("%s %s, and the context %s when asked for the %dth time, lies %v", name, state, how, nth, lies), func(t *testing.T) {
							synctest.Test(t, func(t *testing.T) { acted = foreignCall(t, begins, method, how, nth, lies) })
						}) || nth > 50 {
							t.FailNow()
						}
						cases++
					}
				}
			}
		}
	}
	fmt.Printf("CHECKED fsm foreign contexts cases=%d\n", cases)
}

func foreignCall(t *testing.T, begins func(*scene), method func(*fsm.Lifecycle[int], context.Context) error, how string, nth int, lies bool) (acted bool) {
	unblock := make(chan struct{})
	f := &foreign{done: make(chan struct{}), nth: nth, lies: lies, act: map[string]func(){
		"blocks": func() { <-unblock }, "panics": func() { panic("foreign") }, "exits": runtime.Goexit,
	}[how]}
	s := newScene()
	begins(s)
	synctest.Wait()
	own := begin(t, contained(func() error { return method(s.l, f) }))
	synctest.Wait()
	time.Sleep(time.Second)
	close(f.done)
	synctest.Wait()
	time.Sleep(time.Second)
	ctx, cancel := context.WithTimeout(background(), 5*time.Second)
	defer cancel()
	other := begin(t, func() error { return s.l.Stop(ctx) })
	time.Sleep(6 * time.Second)
	if other.pending() {
		t.Error("G12 Progress is broken: a Stop whose context has ended waits for another's context")
	}
	s.lease.Release()
	time.Sleep(2 * time.Hour)
	f.mu.Lock()
	acted = f.acted
	f.mu.Unlock()
	close(unblock)
	time.Sleep(3 * time.Hour)
	if own.pending() {
		t.Fatalf("the call with the foreign context never returns: %v", s.l.Status())
	}
	if st := s.l.Status(); st.Waiters != 0 || st.InFlight != 0 || st.State == fsm.Stopping {
		t.Errorf("G12 Progress is broken: something of the call is left: %v", st)
	}
	wantNil(t, "Close", s.l.Close())
	wantNil(t, "FlushObservers", s.l.FlushObservers(background()))
	return acted
}
