package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// A foreign context does something that no context should when one of its methods is
// called for the nth time.
type foreign struct {
	mu    sync.Mutex
	done  chan struct{}
	calls int
	nth   int
	act   func() // what it then does
	acted bool
	lies  bool // Err is nil though Done is closed
}

func (f *foreign) hit() {
	f.mu.Lock()
	f.calls++
	now := f.calls == f.nth
	f.acted = f.acted || now
	f.mu.Unlock()
	if now {
		f.act()
	}
}

func (f *foreign) Deadline() (time.Time, bool) { f.hit(); return time.Time{}, false }
func (f *foreign) Done() <-chan struct{}       { f.hit(); return f.done }
func (f *foreign) Value(any) any               { f.hit(); return nil }
func (f *foreign) Err() error {
	f.hit()
	select {
	case <-f.done:
		if !f.lies {
			return context.Canceled
		}
	default:
	}
	return nil
}

// each runs scenario with contexts that block, and with contexts that panic: at their first call,
// at their second, and so on, as long as there are more calls.
func each(t *testing.T, scenario func(t *testing.T, f *foreign)) {
	for _, how := range []string{"blocks", "panics"} {
		acted := true
		for nth := 1; acted; nth++ {
			if nth > 50 {
				t.Fatal("the context is asked without end")
			}
			bubble(t, fmt.Sprintf("%s when asked for the %dth time", how, nth), func(t *testing.T) {
				unblock := make(chan struct{})
				f := &foreign{done: make(chan struct{}), nth: nth, act: func() { panic("foreign") }}
				if how == "blocks" {
					f.act = func() { <-unblock }
				}
				finish := time.AfterFunc(time.Hour, func() { close(unblock) }) // no other wait is so long
				scenario(t, f)
				if finish.Stop() {
					close(unblock)
				}
				synctest.Wait()
				acted = f.acted
			})
			if t.Failed() {
				return
			}
		}
	}
}

// contained is a call that may panic.
func contained(f func() error) func() error {
	return func() (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("panic: %v", v)
			}
		}()
		return f()
	}
}

// A caller's context can harm only that caller's call. No other caller waits for it, and a caller
// that is gone does not count.
func TestG12ForeignContextHarmsItsOwnCaller(t *testing.T) {
	hang := func(ctx context.Context, s *fsm.Scope) (int, error) {
		s.Defer("a", func(context.Context) error { return nil })
		<-ctx.Done()
		return 0, context.Cause(ctx)
	}
	gone := func(t *testing.T, l *fsm.Lifecycle[int], f *foreign, own *call) {
		t.Helper()
		time.Sleep(2 * time.Hour) // it has been unblocked
		if own.pending() {
			t.Fatal("the call with the foreign context never returns")
		}
		if n := l.Status().Waiters; n != 0 {
			t.Errorf("G12 Progress is broken: %d callers count as waiting; none does", n)
		}
		wantState(t, l, fsm.Idle)
		wantNil(t, "Close", l.Close())
	}
	t.Run("Start", func(t *testing.T) {
		each(t, func(t *testing.T, f *foreign) {
			l := fsm.New(hang)
			own := begin(t, contained(func() error { return l.Start(f) }))
			ctx, leave := context.WithCancel(background())
			other := begin(t, func() error { return l.Start(ctx) })
			other.mustPend("the other Start")
			close(f.done)
			synctest.Wait()
			leave()
			if other.pending() {
				t.Fatal("G12 Progress is broken: a Start whose context has ended waits for another's context")
			}
			leaveError(t, other.err)
			gone(t, l, f, own)
			if own.err == nil {
				t.Error("G3 StartedIsOpen is broken: a Start returned nil and nothing was ever open")
			}
		})
	})
	t.Run("Start in the queue", func(t *testing.T) {
		each(t, func(t *testing.T, f *foreign) {
			opens := 0
			l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
				opens++
				s.Defer("a", func(context.Context) error { time.Sleep(time.Second); return nil })
				return 0, nil
			})
			wantNil(t, "Start", l.Start(background()))
			stop := begin(t, func() error { return l.Stop(background()) })
			stop.mustPend("Stop")
			own := begin(t, contained(func() error { return l.Start(f) }))
			synctest.Wait()
			close(f.done)
			synctest.Wait()
			wantNil(t, "Stop", stop.result())
			time.Sleep(2 * time.Hour)
			wantNil(t, "Stop", l.Stop(background()))
			gone(t, l, f, own)
		})
	})
	t.Run("Stop", func(t *testing.T) {
		each(t, func(t *testing.T, f *foreign) {
			l := fsm.New(nothing)
			wantNil(t, "Start", l.Start(background()))
			lease, err := l.Acquire()
			wantNil(t, "Acquire", err)
			defer lease.Release()
			ctx, leave := context.WithCancel(background())
			other := begin(t, func() error { return l.Stop(ctx) })
			other.mustPend("the other Stop")
			own := begin(t, contained(func() error { return l.Stop(f) }))
			synctest.Wait()
			close(f.done)
			synctest.Wait()
			leave() // the last: it cuts the drain short
			if other.pending() {
				t.Fatal("G12 Progress is broken: a Stop whose context has ended waits for another's context")
			}
			if e := stopError(t, other.err); e.CutOff != 1 {
				t.Errorf("G9 DrainFirst is broken: the last Stop that left got %+v; want one use cut off", e)
			}
			gone(t, l, f, own)
		})
	})
	t.Run("Wait", func(t *testing.T) {
		each(t, func(t *testing.T, f *foreign) {
			l := fsm.New(nothing)
			own := begin(t, contained(func() error { _, err := l.Wait(f, fsm.Started); return err }))
			synctest.Wait()
			close(f.done)
			gone(t, l, f, own)
		})
	})
}

// A forced release calls no method of the contexts that Use received, whatever they do by now: it
// neither panics nor blocks.
func TestG9ForcedReleaseAsksNoForeignContext(t *testing.T) {
	for name, force := range map[string]func(l *fsm.Lifecycle[int], lease *fsm.Lease[int]){
		"Stop": func(l *fsm.Lifecycle[int], _ *fsm.Lease[int]) {
			ctx, cancel := context.WithCancel(background())
			cancel()
			l.Stop(ctx)
		},
		"Fail": func(_ *fsm.Lifecycle[int], lease *fsm.Lease[int]) { lease.Fail(errBoom) },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, f *foreign) {
				l := fsm.New(nothing)
				wantNil(t, "Start", l.Start(background()))
				lease, err := l.Acquire()
				wantNil(t, "Acquire", err)
				over, began := make(chan struct{}), false
				calls := 0
				use := begin(t, contained(func() error {
					return l.Use(f, func(ctx context.Context, _ int) error {
						f.mu.Lock()
						began, calls = true, f.calls
						f.mu.Unlock()
						<-over
						return context.Cause(ctx)
					})
				}))
				synctest.Wait()
				f.mu.Lock()
				if began && f.nth > f.calls {
					f.nth = f.calls + 1 // the next is one too many
				}
				f.mu.Unlock()
				forced := begin(t, contained(func() error { force(l, &lease); return nil }))
				if forced.pending() {
					t.Error("G9 DrainFirst is broken: what forces the release waits for a foreign context")
				} else if forced.err != nil {
					t.Errorf("G9 DrainFirst is broken: what forces the release panics: %v", forced.err)
				}
				lease.Release()
				if s := l.State(); s != fsm.Idle {
					t.Errorf("G9 DrainFirst is broken: after the forced release the state is %v", s)
				}
				f.mu.Lock()
				if began && f.calls != calls {
					t.Errorf("G9 DrainFirst is broken: the forced release asked the context of a use %d times", f.calls-calls)
				}
				f.mu.Unlock()
				close(over)
				time.Sleep(2 * time.Hour)
				if use.pending() {
					t.Fatal("Use never returns")
				}
				if use.err == nil {
					t.Error("the use that was cut off ended without a cause")
				}
				wantNil(t, "Close", l.Close())
			})
		})
	}
}

// A context whose Done is closed and whose Err is nil is no reason to return nil.
func TestG3LyingContext(t *testing.T) {
	calls := map[string]func(l *fsm.Lifecycle[int], ctx context.Context) error{
		"Start":    func(l *fsm.Lifecycle[int], ctx context.Context) error { return l.Start(ctx) },
		"Stop":     func(l *fsm.Lifecycle[int], ctx context.Context) error { return l.Stop(ctx) },
		"Shutdown": func(l *fsm.Lifecycle[int], ctx context.Context) error { return l.Shutdown(ctx) },
		"Wait": func(l *fsm.Lifecycle[int], ctx context.Context) error {
			_, err := l.Wait(ctx, fsm.Closed)
			return err
		},
		"Use": func(l *fsm.Lifecycle[int], ctx context.Context) error {
			return l.Use(ctx, func(ctx context.Context, _ int) error {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(time.Minute):
					return errors.New("the use's context has not ended")
				}
			})
		},
	}
	for name, call := range calls {
		for _, when := range []string{"on entry", "meanwhile"} {
			bubble(t, name+" "+when, func(t *testing.T) {
				opening := make(chan struct{})
				l := fsm.New(func(ctx context.Context, _ *fsm.Scope) (int, error) {
					if name == "Start" {
						<-opening // deaf
					}
					return 0, nil
				})
				var lease fsm.Lease[int]
				if name != "Start" {
					wantNil(t, "Start", l.Start(background()))
					lease, _ = l.Acquire()
				}
				f := &foreign{done: make(chan struct{}), lies: true}
				if when == "on entry" {
					close(f.done)
				}
				c := begin(t, func() error { return call(l, f) })
				if when == "meanwhile" {
					c.mustPend(name)
					close(f.done)
				}
				if c.pending() {
					t.Fatalf("G12 Progress is broken: %s does not return though Done is closed", name)
				}
				if !errors.Is(c.err, context.Canceled) {
					t.Errorf("G3 StartedIsOpen is broken: %s returned %v; want an error that is context.Canceled", name, c.err)
				}
				lease.Release()
				close(opening)
				l.Close()
			})
		}
	}
}

// ended has an Err that is set though its Done is open.
type ended struct{ context.Context }

func (ended) Err() error { return context.Canceled }

// Such a context has ended too: the call begins nothing.
func TestG6ContextWithErrHasEnded(t *testing.T) {
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) {
		t.Error("opened for a caller whose context has ended")
		return 0, nil
	})
	open, cancel := context.WithCancel(background())
	defer cancel()
	wantIs(t, "Start", l.Start(ended{open}), context.Canceled)
	if s := l.State(); s != fsm.Idle {
		t.Errorf("after a Start whose context had ended the state is %v", s)
	}
}

// A use's context is derived of the caller's: it ends with that at once, for the same
// reason, and has its values and its deadline. It costs no goroutine.
func TestUseContext(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		l := fsm.New(nothing)
		wantNil(t, "Start", l.Start(background()))
		parent, cancel := context.WithCancelCause(context.WithValue(background(), ctxKey("who"), "caller"))
		bounded, stop := context.WithTimeout(parent, time.Hour)
		defer stop()
		wantNil(t, "Use", l.Use(bounded, func(ctx context.Context, _ int) error {
			child, stop := context.WithCancel(ctx)
			defer stop()
			at, _ := bounded.Deadline()
			if got, ok := ctx.Deadline(); !ok || !got.Equal(at) || ctx.Value(ctxKey("who")) != "caller" || ctx.Err() != nil {
				t.Errorf("deadline %v, value %v, ended with %v", got, ctx.Value(ctxKey("who")), ctx.Err())
			}
			buf := make([]byte, 1<<16)
			if strings.Contains(string(buf[:runtime.Stack(buf, true)]), "propagateCancel") {
				t.Error("a goroutine waits for the end of the caller's context")
			}
			cancel(errBoom)
			for what, ctx := range map[string]context.Context{"its": ctx, "a derived": child} {
				if ctx.Err() != context.Canceled || context.Cause(ctx) != errBoom {
					t.Errorf("after the caller's context ended, %s: %v, %v", what, ctx.Err(), context.Cause(ctx))
				}
			}
			return nil
		}))
		wantNil(t, "Close", l.Close())
	})
}
