package group_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/group"
)

type backoff func(try int, err error) (time.Duration, bool)

func (f backoff) Next(try int, err error) (time.Duration, bool) { return f(try, err) }

type nextFunc func()

func (f nextFunc) Next(int, error) (time.Duration, bool) { f(); return 0, true }

func TestDeath(t *testing.T) {
	bubble(t, "the group dies, drains what lives, and Run returns the cause", func(t *testing.T) {
		w, a, b, c, d := diamond(t)
		g := w.group()
		run := make(chan error)
		go func() { run <- g.Run(background()) }()
		_, err := g.Wait(background(), fsm.Started)
		wantNil(t, "Wait", err)
		lease, err := c.l.Acquire()
		wantNil(t, "Acquire", err)
		above, err := d.l.Acquire()
		wantNil(t, "Acquire", err)
		b.die()
		synctest.Wait()
		wantState(t, g, fsm.Stopping)
		if c.state != "up" || a.state != "up" {
			t.Errorf("%s: want a and c to drain", w.states())
		}
		time.Sleep(time.Second)
		lease.Release()
		above.Release()
		err = <-run
		wantDied(t, "Run", err, "b", errBoom)
		w.wantAll("down")
	})
	bubble(t, "a death that comes during the start fails it", func(t *testing.T) {
		for _, restart := range []fsm.Backoff{nil, always(0)} {
			w, a, _, _, d := diamond(t)
			d.opens = 10 * time.Second
			g := w.groupOf(restarting(restart, "a"))
			start := make(chan error)
			go func() { start <- g.Start(background()) }()
			time.Sleep(time.Second)
			a.die()
			err := <-start
			wantDied(t, "Start", err, "a", errBoom)
			w.wantAll("down")
		}
	})
	bubble(t, "a member that another caller stops takes the group down", func(t *testing.T) {
		w, _, b, _, _ := diamond(t)
		g := w.group()
		wantNil(t, "Start", g.Start(background()))
		wantNil(t, "Stop of b", b.stopByAnother(background()))
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
		var rec acquired
		g := w.groupOf(restarting(always(time.Minute), "b"), fsm.WithTracer(&rec))
		wantNil(t, "Start", g.Start(background()))
		synctest.Wait()
		steps := len(rec.steps())
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
		if got := strings.Join(g.Status().Held, " "); got != "a c b d" { // b opens slowly
			t.Errorf("after the restart the group holds %q", got)
		}
		if got := rec.steps(); len(got) != steps {
			t.Errorf("acquiring %q; the restart is not the group's start", got)
		}
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
		released := 0
		g := w.groupOf(func(m *group.Member) {
			restarting(always(time.Hour), "a")(m)
			if m.Name == "a" {
				m.Lifecycle = a.released(func(context.Context, error) error { released++; return nil })
			}
		})
		wantNil(t, "Start", g.Start(background()))
		a.die()
		time.Sleep(time.Minute)
		began := time.Now()
		wantNil(t, "Stop", g.Stop(background()))
		wantTook(t, "Stop", began, 0)
		time.Sleep(2 * time.Hour)
		w.wantAll("down")
		if released != 1 {
			t.Errorf("a was released %d times", released)
		}
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
	bubble(t, "it dies again while what needs it opens all the same", func(t *testing.T) {
		w, a, _, _, d := diamond(t)
		g := w.groupOf(func(m *group.Member) {
			restarting(always(time.Second), "a")(m)
			if m.Name == "d" {
				m.Lifecycle = d.patient()
			}
		})
		wantNil(t, "Start", g.Start(background()))
		d.opens = 2 * time.Second
		a.die()
		time.Sleep(2 * time.Second) // d opens
		a.die()
		time.Sleep(time.Minute)
		wantState(t, g, fsm.Started)
		w.wantAll("up")
		wantNil(t, "Close", g.Close())
		w.wantAll("down")
	})
	bubble(t, "members of which neither needs the other", func(t *testing.T) {
		w := &world{t: t}
		a, b := w.add("a"), w.add("b")
		g := w.groupOf(restarting(always(time.Second), "a", "b"))
		wantNil(t, "Start", g.Start(background()))
		a.opens = 5 * time.Second
		a.die()
		time.Sleep(3 * time.Second) // a opens
		b.die()
		time.Sleep(time.Minute)
		w.wantAll("up")
		w.forget()
		b.die()
		time.Sleep(time.Minute)
		w.wantLog("~b -b …b +b")
		a.die()
		time.Sleep(time.Minute)
		w.wantLog("~a -a …a +a")
		wantNil(t, "Close", g.Close())
	})
	bubble(t, "a death at the instant at which the restart of another ends", func(t *testing.T) {
		w := &world{t: t}
		a, b := w.add("a"), w.add("b")
		g := w.groupOf(restarting(always(0), "a", "b"))
		wantNil(t, "Start", g.Start(background()))
		a.opens = time.Second
		for range 4000 { // goroutines of one instant: which is first is chance
			a.die()
			time.Sleep(time.Second)
			b.die()
			time.Sleep(time.Minute)
			if w.wantAll("up"); t.Failed() {
				break
			}
			w.forget()
		}
		wantNil(t, "Close", g.Close())
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
	bubble(t, "a notice of a death that comes once the member is let go, or open again, changes nothing", func(t *testing.T) {
		for _, restart := range []fsm.Backoff{nil, always(0)} { // of b
			w := &world{t: t}
			a := w.add("a")
			b := w.add("b", a)
			of := func(r *resource, restart fsm.Backoff) group.Member {
				m := r.member()
				m.Restart = restart
				return m
			}
			g, notice := group.NewNoticed([]group.Member{of(a, always(time.Minute)), of(b, restart)})
			wantNil(t, "Start", g.Start(background()))
			late := notice("b")
			a.die()
			for _, state := range []string{"down", "up"} {
				time.Sleep(40 * time.Second)
				w.wantAll(state)
				w.forget()
				late()
				synctest.Wait()
				w.wantLog("")
				wantState(t, g, fsm.Started)
			}
			wantNil(t, "Close", g.Close())
			w.wantAll("down")
		}
	})
	bubble(t, "it gives up: the group dies", func(t *testing.T) {
		w, a, _, _, _ := diamond(t)
		asked := 0
		g := w.groupOf(restarting(backoff(func(try int, _ error) (time.Duration, bool) {
			asked++
			return 0, try <= 2
		}), "a"))
		wantNil(t, "Start", g.Start(background()))
		for range 2 {
			a.die()
			synctest.Wait()
			w.wantAll("up")
		}
		w.forget()
		a.die()
		synctest.Wait()
		w.wantAll("down")
		wantDied(t, "the cause", g.Status().Cause, "a", errBoom)
		if asked != 3 || slices.Contains(w.log, "…a") {
			t.Errorf("asked %d times, and then: %q; want 3 and no start", asked, w.log)
		}
	})
	bubble(t, "the longest pause is that of all", func(t *testing.T) {
		for _, pauses := range [][]time.Duration{{time.Minute, time.Second}, {time.Second, time.Minute}} {
			w := &world{t: t}
			a, b := w.add("a"), w.add("b")
			g := w.groupOf(func(m *group.Member) { m.Restart = always(pauses[m.Name[0]-'a']) })
			wantNil(t, "Start", g.Start(background()))
			a.die()
			b.die()
			time.Sleep(30 * time.Second)
			w.wantAll("down")
			time.Sleep(time.Minute)
			w.wantAll("up")
			wantNil(t, "Close", g.Close())
		}
	})
	bubble(t, "its stops have the group's values", func(t *testing.T) {
		type key struct{}
		w := &world{t: t}
		a := w.add("a")
		g := w.groupOf(func(m *group.Member) {
			m.Restart = always(0)
			m.Lifecycle = a.released(func(ctx context.Context, err error) error {
				if ctx.Value(key{}) == nil {
					t.Error("the release lacks the group's values")
				}
				return err
			})
		}, fsm.WithBaseContext(context.WithValue(background(), key{}, true)))
		wantNil(t, "Start", g.Start(background()))
		a.die()
		synctest.Wait()
		w.wantAll("up")
		wantNil(t, "Close", g.Close())
	})
	bubble(t, "the count begins anew after a minute", func(t *testing.T) {
		w, a, _, _, _ := diamond(t)
		g := w.groupOf(restarting(backoff(func(try int, err error) (time.Duration, bool) {
			if try != 1 || err != errBoom {
				t.Errorf("restart %d, after: %v; want 1, and the cause as it is", try, err)
			}
			return 0, true
		}), "a"))
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
		for i, misbehave := range []func(){func() { panic("no") }, runtime.Goexit} {
			w, a, _, _, _ := diamond(t)
			g := w.groupOf(restarting(nextFunc(misbehave), "a"))
			wantNil(t, "Start", g.Start(background()))
			a.die()
			synctest.Wait()
			w.wantAll("down")
			wantState(t, g, fsm.Idle)
			cause := g.Status().Cause
			wantDied(t, "the cause", cause, "a", errBoom)
			panicked := new(fsm.PanicError)
			switch {
			case i == 0 && (!errors.As(cause, &panicked) || panicked.Value != "no"):
				t.Errorf("the cause is %v; want the panic too", cause)
			case i == 1 && !strings.HasSuffix(cause.Error(), "the Backoff of a: group: runtime.Goexit was called"):
				t.Errorf("the cause is %v; want the exit too", cause)
			}
		}
	})
	bubble(t, "the Backoff of another member exits meanwhile: its death is the group's", func(t *testing.T) {
		w := &world{t: t}
		a, b := w.add("a"), w.add("b")
		g := w.groupOf(func(m *group.Member) {
			restarting(always(time.Second), "a")(m)
			restarting(nextFunc(runtime.Goexit), "b")(m)
		})
		wantNil(t, "Start", g.Start(background()))
		a.die()
		synctest.Wait()
		b.die()
		synctest.Wait()
		wantDied(t, "the cause", g.Status().Cause, "b", errBoom)
		w.wantAll("down")
	})
	bubble(t, "a death while the group stops is no reason for a restart", func(t *testing.T) {
		w, a, _, _, d := diamond(t)
		d.closes = time.Second
		g := w.groupOf(restarting(nextFunc(func() { t.Error("the Backoff is asked") }), "a"))
		wantNil(t, "Start", g.Start(background()))
		time.AfterFunc(500*time.Millisecond, func() { a.die() })
		wantNil(t, "Stop", g.Stop(background()))
		w.wantAll("down")
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
