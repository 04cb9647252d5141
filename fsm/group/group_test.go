package group_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/group"
	"github.com/seed3893aba4/surestart/internal/kept"
	"github.com/seed3893aba4/surestart/producer"
)

// diamond is a world of four: b and c need a, d needs b and c.
func diamond(t fataler) (w *world, a, b, c, d *resource) {
	w = &world{t: t}
	a = w.add("a")
	b = w.add("b", a)
	c = w.add("c", a)
	d = w.add("d", b, c)
	return w, a, b, c, d
}

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
		slow, fails := w.add("slow"), w.add("fails")
		slow.opens, slow.closes, slow.deaf = 5*time.Second, time.Second, true
		fails.opens, fails.fail = time.Second, errBoom
		g := w.group()
		began := time.Now()
		wantIs(t, "Start", g.Start(background()), errBoom)
		wantTook(t, "Start", began, 6*time.Second)
		w.wantAll("down")
	})
	bubble(t, "a Stop during the start", func(t *testing.T) {
		w, _, b, _, d := diamond(t)
		b.opens, b.closes = 5*time.Second, time.Second
		g := w.group()
		start := make(chan error)
		go func() { start <- g.Start(background()) }()
		time.Sleep(time.Second)
		wantNil(t, "Stop", g.Stop(background()))
		wantIs(t, "Start", <-start, fsm.ErrStopped)
		w.wantAll("down")
		if d.scope != nil {
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

// ignore returns nil for an error of that type.
func ignore[E error](err error) error {
	var e E
	if errors.As(err, &e) {
		return nil
	}
	return err
}

func TestDeath(t *testing.T) {
	bubble(t, "the group dies, drains what lives, and Run returns the cause", func(t *testing.T) {
		w, a, b, c, _ := diamond(t)
		g := w.group()
		run := make(chan error)
		go func() { run <- g.Run(background()) }()
		_, err := g.Wait(background(), fsm.Started)
		wantNil(t, "Wait", err)
		lease, err := c.l.Acquire()
		wantNil(t, "Acquire", err)
		b.die()
		synctest.Wait()
		if c.state != "up" || a.state != "up" {
			t.Errorf("%s: want a and c to drain", w.states())
		}
		time.Sleep(time.Second)
		lease.Release()
		err = <-run
		wantDied(t, "Run", err, "b", errBoom)
		w.wantAll("down")
	})
	bubble(t, "a death that comes during the start fails it", func(t *testing.T) {
		w, a, _, _, d := diamond(t)
		d.opens = 10 * time.Second
		g := w.group()
		start := make(chan error)
		go func() { start <- g.Start(background()) }()
		time.Sleep(time.Second)
		a.die()
		err := <-start
		wantDied(t, "Start", err, "a", errBoom)
		w.wantAll("down")
	})
	bubble(t, "a member that another caller stops takes the group down", func(t *testing.T) {
		w, _, b, _, _ := diamond(t)
		g := w.group()
		wantNil(t, "Start", g.Start(background()))
		b.gone()
		wantNil(t, "Stop of b", b.l.Stop(background()))
		g.Wait(background(), fsm.Idle)
		wantDied(t, "the cause", g.Status().Cause, "b", fsm.ErrStopped)
		w.wantAll("down")
	})
	bubble(t, "WithRestart starts the group again", func(t *testing.T) {
		w, a, _, _, _ := diamond(t)
		g := w.group(fsm.WithRestart(always(time.Minute)))
		wantNil(t, "Start", g.Start(background()))
		a.die()
		synctest.Wait()
		w.wantAll("down")
		time.Sleep(time.Minute)
		synctest.Wait()
		w.wantAll("up")
		wantState(t, g, fsm.Started)
		wantNil(t, "Close", g.Close())
	})
}

// restarting gives the members of these names a Restart.
func restarting(b fsm.Backoff, names ...string) func(*group.Member) {
	return func(m *group.Member) {
		for _, name := range names {
			if m.Name == name {
				m.Restart = b
			}
		}
	}
}

func TestRestart(t *testing.T) {
	bubble(t, "what died and what needs it, in order; the others stay", func(t *testing.T) {
		w, _, b, _, d := diamond(t)
		d.closes, b.opens = time.Second, time.Second
		g := w.groupOf(restarting(always(time.Minute), "b"))
		wantNil(t, "Start", g.Start(background()))
		w.log = nil
		b.die()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		slices.Sort(w.log) // what dies is released while what needs it is stopped
		w.wantLog("-b -d ~b ~d")
		wantState(t, g, fsm.Started)
		if got := w.states(); got != "a up, b down, c up, d down" {
			t.Errorf("during the pause: %s", got)
		}
		time.Sleep(time.Minute)
		w.wantLog("…b +b …d +d")
		w.wantAll("up")
		synctest.Wait()
		if own := libraryGoroutines(); own != "" {
			t.Errorf("after the restart:\n%s", own)
		}
		b.die() // again
		time.Sleep(2 * time.Minute)
		w.wantAll("up")
		wantNil(t, "Stop", g.Stop(background()))
		w.wantAll("down")
	})
	bubble(t, "a Stop ends the pause", func(t *testing.T) {
		w, a, _, _, _ := diamond(t)
		g := w.groupOf(restarting(always(time.Hour), "a"))
		wantNil(t, "Start", g.Start(background()))
		a.die()
		time.Sleep(time.Minute)
		began := time.Now()
		wantNil(t, "Stop", g.Stop(background()))
		wantTook(t, "Stop", began, 0)
		time.Sleep(2 * time.Hour)
		w.wantAll("down")
	})
	bubble(t, "what needs it dies, or it dies again, while it is restarted", func(t *testing.T) {
		w, a, b, _, d := diamond(t)
		g := w.groupOf(restarting(always(time.Second), "a", "b"))
		wantNil(t, "Start", g.Start(background()))
		b.opens, d.opens = 2*time.Second, time.Second
		b.die()
		time.Sleep(2 * time.Second) // b opens
		a.die()
		time.Sleep(4500 * time.Millisecond) // d opens
		a.die()
		time.Sleep(time.Minute)
		wantState(t, g, fsm.Started)
		w.wantAll("up")
		wantNil(t, "Close", g.Close())
		w.wantAll("down")
	})
	bubble(t, "each Backoff is asked once for each death", func(t *testing.T) {
		w, a, b, _, _ := diamond(t)
		var asked []string
		g := w.groupOf(func(m *group.Member) {
			m.Restart = backoff(func(try int, _ error) (time.Duration, bool) {
				asked = append(asked, fmt.Sprint(m.Name, try))
				return 10 * time.Second, true
			})
		})
		wantNil(t, "Start", g.Start(background()))
		b.die()
		time.Sleep(5 * time.Second)
		a.die()
		time.Sleep(time.Minute)
		synctest.Wait()
		w.wantAll("up")
		if want := []string{"b1", "a1"}; !slices.Equal(asked, want) {
			t.Errorf("asked: %q; want %q", asked, want)
		}
		wantNil(t, "Close", g.Close())
	})
	bubble(t, "its Backoff gets the errors of the stops", func(t *testing.T) {
		w, a, _, _, d := diamond(t)
		var got error
		g := w.groupOf(restarting(backoff(func(_ int, err error) (time.Duration, bool) { got = err; return 0, true }), "a"))
		wantNil(t, "Start", g.Start(background()))
		lease, err := d.l.Acquire()
		wantNil(t, "Acquire", err)
		defer lease.Release()
		a.die()
		time.Sleep(time.Minute)
		synctest.Wait()
		wantIs(t, "the error", got, errBoom)
		if stop := new(fsm.StopError); !errors.As(got, &stop) || stop.CutOff != 1 || !strings.Contains(got.Error(), "d: ") {
			t.Errorf("%v; want that a use of d was cut off", got)
		}
		w.wantAll("up")
		wantNil(t, "Close", g.Close())
	})
	bubble(t, "a notice of a death that comes once the member is open again changes nothing", func(t *testing.T) {
		w := &world{t: t}
		a := w.add("a")
		b := w.add("b", a)
		var notices []func()
		g := w.groupOf(func(m *group.Member) {
			switch m.Name {
			case "a":
				m.Restart = always(0)
			case "b":
				m.Lifecycle = held{b.l, func(ctx context.Context) (context.Context, func(context.Context) error, error) {
					held, release, err := b.l.Hold(ctx)
					return noticedLate{held, &notices}, release, err
				}}
			}
		})
		wantNil(t, "Start", g.Start(background()))
		b.die()
		a.die()
		time.Sleep(time.Minute)
		synctest.Wait()
		w.wantAll("up")
		w.log = nil
		notices[0]()
		time.Sleep(time.Minute)
		synctest.Wait()
		w.wantLog("")
		wantState(t, g, fsm.Started)
		wantNil(t, "Close", g.Close())
		w.wantAll("down")
	})
	bubble(t, "it gives up: the group dies", func(t *testing.T) {
		w, a, _, _, _ := diamond(t)
		g := w.groupOf(restarting(times(2), "a"))
		wantNil(t, "Start", g.Start(background()))
		for range 2 {
			a.die()
			synctest.Wait()
			w.wantAll("up")
		}
		a.die()
		synctest.Wait()
		w.wantAll("down")
		wantDied(t, "the cause", g.Status().Cause, "a", errBoom)
	})
	bubble(t, "the count begins anew after a minute", func(t *testing.T) {
		w, a, _, _, _ := diamond(t)
		g := w.groupOf(restarting(times(1), "a"))
		wantNil(t, "Start", g.Start(background()))
		for range 5 {
			time.Sleep(time.Minute)
			a.die()
			synctest.Wait()
			w.wantAll("up")
		}
		wantNil(t, "Close", g.Close())
	})
	bubble(t, "a member that fails to start again: the group dies", func(t *testing.T) {
		w, a, _, c, _ := diamond(t)
		g := w.groupOf(restarting(always(0), "a"))
		wantNil(t, "Start", g.Start(background()))
		w.mu.Lock()
		c.fail = errBoom
		w.mu.Unlock()
		a.die()
		synctest.Wait()
		w.wantAll("down")
		wantDied(t, "the cause", g.Status().Cause, "c", errBoom)
	})
	bubble(t, "a Backoff that panics or exits has given up", func(t *testing.T) {
		for _, misbehave := range []func(){func() { panic("no") }, runtime.Goexit} {
			w, a, _, _, _ := diamond(t)
			g := w.groupOf(restarting(nextFunc(misbehave), "a"))
			wantNil(t, "Start", g.Start(background()))
			a.die()
			synctest.Wait()
			w.wantAll("down")
			wantState(t, g, fsm.Idle)
		}
	})
	bubble(t, "another member without a Restart dies meanwhile: the group dies", func(t *testing.T) {
		w, _, b, c, _ := diamond(t)
		g := w.groupOf(restarting(always(time.Minute), "b"))
		wantNil(t, "Start", g.Start(background()))
		b.die()
		time.Sleep(time.Second)
		c.die()
		synctest.Wait()
		w.wantAll("down")
		wantState(t, g, fsm.Idle)
	})
}

type noRestarts struct{ always }

func (noRestarts) Restarts() fsm.Backoff { return nil }

type backoff func(try int, err error) (time.Duration, bool)

func (f backoff) Next(try int, err error) (time.Duration, bool) { return f(try, err) }

type nextFunc func()

func (f nextFunc) Next(int, error) (time.Duration, bool) { f(); return 0, true }

func TestMisbehaviour(t *testing.T) {
	bubble(t, "a member whose open starts the group gets an error", func(t *testing.T) {
		var g *group.Group
		within := fsm.New(func(ctx context.Context, _ *fsm.Scope) (string, error) { return "", g.Start(ctx) })
		g, err := group.New([]group.Member{{Name: "a", Lifecycle: within}})
		wantNil(t, "New", err)
		wantIs(t, "Start", g.Start(background()), fsm.ErrReentrant)
	})
	for name, c := range map[string]struct {
		misbehave func()
		want      string
	}{
		"panics": {func() { panic("no") }, "fsm: start: attempt 1: b: panic: no"},
		"exits":  {runtime.Goexit, "fsm: start: attempt 1: b: group: runtime.Goexit was called"},
	} {
		bubble(t, "a Hold that "+name, func(t *testing.T) {
			w := &world{t: t}
			a := w.add("a")
			g, err := group.New([]group.Member{
				a.member(),
				{Name: "b", Lifecycle: held{service("b"), func(context.Context) (context.Context, func(context.Context) error, error) {
					c.misbehave()
					return nil, nil, nil
				}}, Needs: []string{"a"}},
			})
			wantNil(t, "New", err)
			if err := g.Start(background()); err == nil || err.Error() != c.want {
				t.Errorf("Start: %v; want %s", err, c.want)
			}
			w.wantAll("down")
		})
		bubble(t, "a release that "+name, func(t *testing.T) {
			w, _, b, _, _ := diamond(t)
			g := w.groupOf(func(m *group.Member) {
				if m.Name == "b" {
					m.Lifecycle = held{b.l, func(ctx context.Context) (context.Context, func(context.Context) error, error) {
						ctx, release, err := b.l.Hold(ctx)
						return ctx, func(ctx context.Context) error { release(ctx); c.misbehave(); return nil }, err
					}}
				}
			})
			wantNil(t, "Start", g.Start(background()))
			_, want, _ := strings.Cut(c.want, "b: ")
			if err := g.Stop(background()); err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("Stop: %v; want %s", err, want)
			}
			w.wantAll("down")
		})
	}
	bubble(t, "a use of a member that stops the group is cut off", func(t *testing.T) {
		w, _, _, c, _ := diamond(t)
		g := w.group()
		wantNil(t, "Start", g.Start(background()))
		began := time.Now()
		wantNil(t, "Use", c.l.Use(background(), func(ctx context.Context, _ string) error {
			wantIs(t, "Stop", g.Stop(ctx), fsm.ErrStopped)
			return nil
		}))
		wantTook(t, "Stop", began, 10*time.Second)
		g.Wait(background(), fsm.Idle)
		w.wantAll("down")
	})
}

// held is a member with a Hold of its own.
type held struct {
	*fsm.Lifecycle[string]
	hold func(context.Context) (context.Context, func(context.Context) error, error)
}

func (h held) Hold(ctx context.Context) (context.Context, func(context.Context) error, error) {
	return h.hold(ctx)
}

// noticedLate is a context whose end is noticed when the test says so.
type noticedLate struct {
	context.Context
	notices *[]func()
}

func (noticedLate) Value(any) any { return nil }
func (c noticedLate) AfterFunc(f func()) (stop func() bool) {
	*c.notices = append(*c.notices, f)
	return func() bool { return false }
}

// A producer is a member, too.
var _ group.Holder = (*producer.Producer)(nil)

func TestNested(t *testing.T) {
	bubble(t, "a group is a member", func(t *testing.T) {
		w := &world{t: t}
		a := w.add("a")
		b := w.add("b", a)
		inner := w.group()
		c := w.add("c", b)
		outer, err := group.New([]group.Member{
			{Name: "inner", Lifecycle: inner},
			{Name: "c", Lifecycle: c.l, Needs: []string{"inner"}},
		})
		wantNil(t, "New", err)
		wantNil(t, "Start", outer.Start(background()))
		w.wantLog("…a +a …b +b …c +c")
		a.gone() // with b: the inner group dies, and so the outer
		b.die()
		outer.Wait(background(), fsm.Idle)
		w.wantAll("down")
		wantNil(t, "Start", outer.Start(background()))
		w.log = nil
		wantNil(t, "Close", outer.Close())
		w.wantLog("~c -c ~b -b ~a -a")
		wantState(t, inner, fsm.Idle)
	})
	bubble(t, "groups share a member", func(t *testing.T) {
		w := &world{t: t}
		w.add("shared")
		first, second := w.group(), w.group()
		wantNil(t, "Start", first.Start(background()))
		wantNil(t, "Start", second.Start(background()))
		w.wantLog("…shared +shared")
		wantNil(t, "Stop", first.Stop(background()))
		w.wantAll("up")
		wantState(t, second, fsm.Started)
		wantNil(t, "Stop", second.Stop(background()))
		w.wantAll("down")
	})
}

// A member that lives on does not keep the groups that it belonged to.
func TestNothingIsKept(t *testing.T) {
	w := &world{t: t}
	w.add("shared")
	_, release, err := w.all[0].l.Hold(background())
	wantNil(t, "Hold", err)
	var isKept func() bool
	func() {
		g := w.group()
		isKept = kept.Watch(g)
		wantNil(t, "Start", g.Start(background()))
		wantNil(t, "Stop", g.Stop(background()))
	}()
	if isKept() {
		t.Error("a group that was stopped is still reachable")
	}
	w.wantAll("up")
	wantNil(t, "release", release(background()))
}

func TestNewRefuses(t *testing.T) {
	one, two := service("one"), service("two")
	var none *fsm.Lifecycle[string]
	for want, members := range map[string][]group.Member{
		`group: member 0 has no name`:                                       {{Lifecycle: one}},
		`group: member "a" has no lifecycle`:                                {{Name: "a"}},
		`group: member "b" has no lifecycle`:                                {{Name: "b", Lifecycle: none}},
		`group: two members have the name "a"`:                              {{Name: "a", Lifecycle: one}, {Name: "a", Lifecycle: two}},
		`group: the members "a" and "b" have the same lifecycle`:            {{Name: "a", Lifecycle: one}, {Name: "b", Lifecycle: one}},
		`group: member "a" needs "b", which is no member`:                   {{Name: "a", Lifecycle: one, Needs: []string{"b"}}},
		`group: the members need each other: a needs a`:                     {{Name: "a", Lifecycle: one, Needs: []string{"a"}}},
		`group: the members need each other: a needs b needs a`:             {{Name: "a", Lifecycle: one, Needs: []string{"b"}}, {Name: "b", Lifecycle: two, Needs: []string{"a"}}},
		"group: member \"a\" has no lifecycle\ngroup: member 1 has no name": {{Name: "a"}, {Lifecycle: two}},
	} {
		g, err := group.New(members)
		if g != nil || err == nil || err.Error() != want {
			t.Errorf("New: %v, %v; want %s", g != nil, err, want)
		}
	}
	if _, err := group.New([]group.Member{{Name: "a", Lifecycle: one, Restart: noRestarts{}}}); err == nil || !strings.Contains(err.Error(), `member "a": the Backoff's method Restarts returned nil`) {
		t.Errorf("New: %v", err)
	}
	if _, err := group.New([]group.Member{{Name: "a", Lifecycle: one}, {Name: "b", Lifecycle: two, Needs: []string{"a", "a"}}}); err != nil {
		t.Errorf("a need that is named twice: %v", err)
	}
}
