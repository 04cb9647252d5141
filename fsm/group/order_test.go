package group_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/group"
)

func TestOrder(t *testing.T) {
	bubble(t, "what can start at the same time does, and stops in reverse", func(t *testing.T) {
		w, a, b, c, d := diamond(t)
		a.opens, b.opens, c.opens, d.opens = time.Second, time.Second, 2*time.Second, time.Second
		a.closes, b.closes, c.closes, d.closes = time.Second, 2*time.Second, time.Second, time.Second
		g := w.group()
		began := time.Now()
		wantNil(t, "Start", g.Start(background()))
		wantTook(t, "Start", began, 4*time.Second)
		if got := strings.Join(g.Status().Held, " "); got != "a b c d" {
			t.Errorf("the group holds %q", got)
		}
		w.wantAll("up")
		began = time.Now()
		wantNil(t, "Stop", g.Stop(background()))
		wantTook(t, "Stop", began, 4*time.Second)
		w.wantAll("down")
		wantNil(t, "Start again", g.Start(background()))
		w.wantAll("up")
		wantNil(t, "Close", g.Close())
		w.wantAll("down")
	})
	bubble(t, "Status names the first that is starting", func(t *testing.T) {
		w := &world{t: t}
		a, b := w.add("a"), w.add("b")
		a.opens, b.opens = 2500*time.Millisecond, 900*time.Millisecond // b comes first: see groupOf
		var rec acquired
		g := w.group(fsm.WithTracer(&rec))
		done := make(chan error)
		go func() { done <- g.Start(background()) }()
		synctest.Wait()
		var got []string
		for range 3 {
			synctest.Wait()
			got = append(got, g.Status().Acquiring)
			time.Sleep(time.Second)
		}
		if want := []string{"b", "a", "a"}; !slices.Equal(got, want) {
			t.Errorf("acquiring %q; want %q", got, want)
		}
		wantNil(t, "Start", <-done)
		if steps := rec.steps(); len(slices.Compact(slices.Clone(steps))) != len(steps) {
			t.Errorf("acquiring %q: one twice in a row", steps)
		}
		for _, step := range rec.steps() {
			if step != "a" && step != "b" { // metrics have it as a label
				t.Errorf("acquiring %q, which is no member", step)
			}
		}
		wantNil(t, "Close", g.Close())
	})
	bubble(t, "no goroutine while started", func(t *testing.T) {
		w, _, _, _, _ := diamond(t)
		g := w.group()
		wantNil(t, "Start", g.Start(background()))
		synctest.Wait()
		if own := libraryGoroutines(); own != "" {
			t.Errorf("while started:\n%s", own)
		}
		wantNil(t, "Stop", g.Stop(background()))
		synctest.Wait()
		if own := libraryGoroutines(); own != "" {
			t.Errorf("when idle:\n%s", own)
		}
	})
	bubble(t, "a start that has returned keeps no context", func(t *testing.T) {
		w := &world{t: t}
		a := w.add("a")
		var of context.Context
		g := w.groupOf(func(m *group.Member) {
			m.Lifecycle = held{a.l, func(ctx context.Context) (context.Context, func(context.Context) error, error) {
				of = ctx
				return a.l.Hold(ctx)
			}}
		})
		wantNil(t, "Start", g.Start(background()))
		wantIs(t, "the context of the Hold", of.Err(), context.Canceled)
		wantState(t, g, fsm.Started)
		wantNil(t, "Close", g.Close())
	})
	bubble(t, "an empty group", func(t *testing.T) {
		g, err := group.New(nil)
		wantNil(t, "New", err)
		wantNil(t, "Start", g.Start(background()))
		wantNil(t, "Close", g.Close())
	})
}

// acquired has the parts that a lifecycle acquires.
type acquired struct {
	mu    sync.Mutex
	parts []string
}

func (a *acquired) Transition(fsm.Transition) {}

func (a *acquired) Step(s fsm.Step) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.Kind == fsm.StepAcquiring {
		a.parts = append(a.parts, s.Part)
	}
}

func (a *acquired) steps() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.parts
}

func TestFailure(t *testing.T) {
	bubble(t, "what was started is stopped, and the error names the member", func(t *testing.T) {
		w, a, b, c, d := diamond(t)
		a.closes, b.closes = time.Second, time.Second
		c.opens, c.fail = 2*time.Second, errBoom
		g := w.group()
		began := time.Now()
		err := g.Start(background())
		wantIs(t, "Start", err, errBoom)
		wantTook(t, "Start", began, 4*time.Second) // c fails after 2, b and a close
		var start *fsm.StartError
		if !errors.As(err, &start) || start.Part != "c" {
			t.Errorf("%v; want c", err)
		}
		if d.state != "down" || d.scope != nil {
			t.Errorf("d was started")
		}
		w.wantAll("down")
		wantState(t, g, fsm.Idle)
		wantNil(t, "Start again", g.Start(background()))
		w.wantAll("up")
		wantNil(t, "Close", g.Close())
	})
	bubble(t, "a start that is abandoned has ended when Start returns", func(t *testing.T) {
		w := &world{t: t}
		fails, slow := w.add("fails"), w.add("slow") // slow comes first: see groupOf
		slow.opens, slow.closes, slow.deaf = 5*time.Second, time.Second, true
		fails.opens, fails.fail = time.Second, errBoom
		g := w.group()
		began := time.Now()
		err := g.Start(background())
		wantIs(t, "Start", err, errBoom)
		if start := new(fsm.StartError); !errors.As(err, &start) || start.Part != "fails" {
			t.Errorf("%v; want fails", err)
		}
		wantTook(t, "Start", began, 6*time.Second)
		w.wantAll("down")
	})
	bubble(t, "what was not started is not waited for", func(t *testing.T) {
		w := &world{t: t}
		a, b := w.add("a"), w.add("b")
		wantNil(t, "Start of b", b.l.Start(background())) // by another owner
		b.closes = time.Hour
		stopped := make(chan error)
		go func() { stopped <- b.l.Stop(background()) }()
		synctest.Wait()
		a.fail = errBoom
		began := time.Now()
		g := w.groupOf(func(m *group.Member) {
			if m.Name == "b" {
				m.Needs = []string{"a"}
			}
		})
		wantIs(t, "Start", g.Start(background()), errBoom)
		wantTook(t, "Start", began, 0)
		wantNil(t, "Stop of b", <-stopped)
	})
	bubble(t, "after a failure Status names what still starts", func(t *testing.T) {
		w := &world{t: t}
		slow, fails := w.add("slow"), w.add("fails") // fails comes first: see groupOf
		slow.opens = 5 * time.Second
		fails.opens, fails.fail = time.Second, errBoom
		g := w.groupOf(func(m *group.Member) {
			if m.Name == "slow" {
				m.Lifecycle = slow.patient()
			}
		})
		time.AfterFunc(3*time.Second, func() {
			if got := g.Status().Acquiring; got != "slow" {
				t.Errorf("acquiring %q; want slow", got)
			}
		})
		wantIs(t, "Start", g.Start(background()), errBoom)
		w.wantAll("down")
	})
	bubble(t, "a Stop during the start", func(t *testing.T) {
		w, _, b, _, d := diamond(t)
		b.opens, b.closes = 5*time.Second, time.Second
		var rec acquired
		g := w.group(fsm.WithTracer(&rec))
		start := make(chan error)
		go func() { start <- g.Start(background()) }()
		time.Sleep(time.Second)
		wantNil(t, "Stop", g.Stop(background()))
		wantIs(t, "Start", <-start, fsm.ErrStopped)
		w.wantAll("down")
		if d.scope != nil || slices.Contains(rec.steps(), "d") {
			t.Errorf("d was started")
		}
	})
}

func TestDeadline(t *testing.T) {
	bubble(t, "all drains end at one deadline, in order", func(t *testing.T) {
		w, a, _, _, d := diamond(t)
		g := w.group(fsm.WithReleaseTimeout(3 * time.Second))
		wantNil(t, "Start", g.Start(background()))
		for _, r := range []*resource{a, d} {
			lease, err := r.l.Acquire()
			wantNil(t, "Acquire", err)
			defer lease.Release()
		}
		began := time.Now()
		err := g.Stop(background())
		wantTook(t, "Stop", began, 3*time.Second)
		var stop *fsm.StopError
		if !errors.As(err, &stop) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop: %v; want the deadline", err)
		}
		for _, name := range []string{"a: ", "d: "} {
			if !strings.Contains(err.Error(), name+"fsm: stop: 1 use cut off") {
				t.Errorf("Stop: %v; want %s", err, name)
			}
		}
		if strings.Contains(err.Error(), "b: ") || strings.Contains(err.Error(), "c: ") {
			t.Errorf("Stop: %v; b and c had no uses", err)
		}
		w.wantAll("down")
	})
	bubble(t, "a forced Stop cuts the members off at once", func(t *testing.T) {
		w, _, _, _, d := diamond(t)
		g := w.group()
		wantNil(t, "Start", g.Start(background()))
		own, err := g.Acquire()
		wantNil(t, "Acquire", err)
		defer own.Release()
		lease, err := d.l.Acquire()
		wantNil(t, "Acquire", err)
		defer lease.Release()
		ctx, cancel := context.WithTimeout(background(), time.Second)
		defer cancel()
		began := time.Now()
		if err := g.Stop(ctx); err == nil {
			t.Error("Stop: nil")
		}
		g.Wait(background(), fsm.Idle)
		wantTook(t, "the stop", began, time.Second)
		w.wantAll("down")
	})
	bubble(t, "also while members are taken down for a restart", func(t *testing.T) {
		w, a, _, _, d := diamond(t)
		g := w.groupOf(restarting(always(time.Second), "a"), fsm.WithReleaseTimeout(3*time.Second))
		wantNil(t, "Start", g.Start(background()))
		lease, err := d.l.Acquire()
		wantNil(t, "Acquire", err)
		defer lease.Release()
		a.die()
		synctest.Wait()
		began := time.Now()
		err = g.Stop(background())
		if stop := new(fsm.StopError); !errors.As(err, &stop) || !strings.Contains(err.Error(), "d: fsm: stop: 1 use cut off") {
			t.Errorf("Stop: %v; want that a use of d was cut off", err)
		}
		wantTook(t, "Stop", began, 3*time.Second)
		w.wantAll("down")
	})
	for name, dies := range map[string]func(a, b *resource){
		"while members are taken down": func(a, _ *resource) { a.die() },
		"although a member dies":       func(_, b *resource) { b.die() },
	} {
		bubble(t, "a forced Stop cuts them off at once: "+name, func(t *testing.T) {
			w, a, b, c, _ := diamond(t)
			g := w.groupOf(restarting(always(time.Second), "a"))
			wantNil(t, "Start", g.Start(background()))
			lease, err := c.l.Acquire()
			wantNil(t, "Acquire", err)
			defer lease.Release()
			own, err := g.Acquire()
			wantNil(t, "Acquire", err)
			defer own.Release()
			ctx, cancel := context.WithTimeout(background(), time.Second)
			defer cancel()
			began := time.Now()
			time.AfterFunc(500*time.Millisecond, func() { dies(a, b) })
			if err := g.Stop(ctx); err == nil {
				t.Error("Stop: nil")
			}
			g.Wait(background(), fsm.Idle)
			wantTook(t, "the stop", began, time.Second)
			w.wantAll("down")
		})
	}
	bubble(t, "the error of a release that outlives the deadline", func(t *testing.T) {
		late := fsm.New(func(_ context.Context, s *fsm.Scope) (string, error) {
			s.Defer("late", func(context.Context) error { time.Sleep(time.Minute); return errBoom })
			return "late", nil
		})
		g, err := group.New([]group.Member{{Name: "late", Lifecycle: late}}, fsm.WithReleaseTimeout(time.Second))
		wantNil(t, "New", err)
		wantNil(t, "Start", g.Start(background()))
		err = g.Stop(background())
		wantIs(t, "Stop", err, errBoom)
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop: %v; nothing was cut off", err)
		}
	})
	bubble(t, "a release that fails at the deadline; it has the group's values", func(t *testing.T) {
		type key struct{}
		w := &world{t: t}
		a := w.add("a")
		failed := errBoom
		g := w.groupOf(func(m *group.Member) {
			m.Lifecycle = a.released(func(ctx context.Context, _ error) error {
				if ctx.Value(key{}) == nil {
					t.Error("the release lacks the group's values")
				}
				defer func() { failed = nil }()
				if failed == nil {
					return nil
				}
				<-ctx.Done()
				return &fsm.StopError{Err: failed}
			})
		}, fsm.WithBaseContext(context.WithValue(background(), key{}, true)), fsm.WithReleaseTimeout(time.Second))
		wantNil(t, "Start", g.Start(background()))
		wantIs(t, "Stop", g.Stop(background()), errBoom)
		w.wantAll("down")
	})
	bubble(t, "a forced Stop of what waits for a restart", func(t *testing.T) {
		w, a, _, _, _ := diamond(t)
		g := w.groupOf(restarting(always(time.Hour), "a"))
		wantNil(t, "Start", g.Start(background()))
		own, err := g.Acquire()
		wantNil(t, "Acquire", err)
		defer own.Release()
		a.die()
		synctest.Wait()
		stopped := make(chan error)
		go func() { stopped <- g.Stop(background()) }()
		ctx, cancel := context.WithTimeout(background(), time.Second)
		defer cancel()
		if err := g.Shutdown(ctx); err == nil {
			t.Error("Shutdown: nil")
		}
		if err := <-stopped; err != nil && !errors.As(err, new(*fsm.StopError)) || err != nil && strings.Contains(err.Error(), "panic") {
			t.Errorf("Stop: %v", err)
		}
		w.wantAll("down")
	})
	bubble(t, "a release that hangs keeps what it needs open", func(t *testing.T) {
		w, _, _, _, d := diamond(t)
		d.closes = time.Minute
		g := w.group(fsm.WithReleaseTimeout(time.Second))
		wantNil(t, "Start", g.Start(background()))
		ctx, cancel := context.WithTimeout(background(), 30*time.Second)
		defer cancel()
		wantIs(t, "Stop", g.Stop(ctx), context.DeadlineExceeded)
		if s := w.states(); !strings.HasPrefix(s, "a up, ") {
			t.Errorf("%s, while d is still closing", s)
		}
		wantNil(t, "a later Stop", ignore[*fsm.StopError](g.Stop(background())))
		w.wantAll("down")
	})
}
