package group_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/group"
)

// Random graphs of members, and random calls, failures, deaths and ends of contexts. The
// resources themselves look whether each opens and closes in order. Once nothing more
// comes, the group is at rest: all are open, or none is.
func TestRandom(t *testing.T) {
	seen := make(map[string]int)
	wanted := []string{"started", "failed", "stopped", "left", "died", "restarted", "stopped-by-another", "cut", "open-at-rest", "idle-at-rest"}
	missing := func(what string) bool { return seen[what] == 0 }
	for round := 0; round < 10 && slices.ContainsFunc(wanted, missing) && !t.Failed(); round++ {
		rapid.Check(t, func(t *rapid.T) {
			rapid.SyncTest(t, func(t *rapid.T) { randomLife(t, seen) })
		})
	}
	var figures string
	for _, what := range wanted {
		if missing(what) {
			t.Errorf("it never happened: %s (%v)", what, seen)
		}
		figures += fmt.Sprintf(" %s=%d", what, seen[what])
	}
	t.Logf("CHECKED group%s", figures)
}

func randomLife(t *rapid.T, seen map[string]int) {
	w := &world{t: t}
	draw := func(name string, n int) int { return rapid.IntRange(0, n-1).Draw(t, name) }
	moment := func(name string) time.Duration { return time.Duration(draw(name, 4)) * time.Second }
	for i := range 1 + draw("members", 6) {
		var needs []*resource
		for _, r := range w.all {
			if draw("needs", 3) == 0 {
				needs = append(needs, r)
			}
		}
		r := w.add(fmt.Sprint("m", i), needs...)
		r.opens, r.closes, r.deaf = moment("opens"), moment("closes"), draw("deaf", 3) == 0
	}
	opts := []fsm.Option{fsm.WithReleaseTimeout(2500 * time.Millisecond)}
	if draw("supervised", 3) == 0 {
		opts = append(opts, fsm.WithRestart(always(time.Second)))
	}
	rests := make(map[string]bool) // the members that the group restarts
	g := w.groupOf(func(m *group.Member) {
		if draw("restarts", 2) == 0 {
			m.Restart, rests[m.Name] = always(time.Second), true
		}
	}, opts...)

	var mu sync.Mutex
	count := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		seen[what]++
	}
	var calls sync.WaitGroup
	someTime := func() (context.Context, context.CancelFunc) {
		if draw("impatient", 3) > 0 {
			return context.WithCancel(background())
		}
		return context.WithTimeout(background(), 500*time.Millisecond+moment("patience"))
	}
	someone := func() *resource { return w.all[draw("who", len(w.all))] }
	if draw("started", 2) == 0 {
		wantNil(t, "Start", g.Start(background()))
	}
	for range 1 + draw("steps", 25) {
		switch draw("what", 10) {
		case 0, 1, 2:
			ctx, cancel := someTime()
			calls.Go(func() {
				defer cancel()
				err := g.Start(ctx)
				switch {
				case err == nil:
					count("started")
				case errors.As(err, new(*fsm.LeaveError)):
					count("left")
				case errors.As(err, new(*fsm.StartError)):
					count("failed")
				}
			})
		case 3:
			ctx, cancel := someTime()
			calls.Go(func() {
				defer cancel()
				if err := g.Stop(ctx); err == nil {
					count("stopped")
				}
			})
		case 4:
			ctx, cancel := someTime()
			calls.Go(func() {
				defer cancel()
				if _, release, err := g.Hold(ctx); err == nil {
					time.Sleep(time.Second)
					release(ctx)
				}
			})
		case 5: // a use of a member, which a stop waits for or cuts off
			r, d := someone(), 3*moment("use")
			calls.Go(func() {
				r.l.Use(background(), func(ctx context.Context, _ string) error {
					if sleep(ctx, d); ctx.Err() != nil {
						count("cut")
					}
					return nil
				})
			})
		case 6, 7:
			r := someone()
			before := g.Status()
			if r.die() {
				count("died")
				if rests[r.name] && before.State == fsm.Started {
					count("restarted")
				}
			}
		case 9: // another caller's stop
			r := someone()
			ctx, cancel := someTime()
			calls.Go(func() {
				defer cancel()
				if r.l.State() == fsm.Started {
					count("stopped-by-another")
				}
				r.stopByAnother(ctx)
			})
		case 8:
			r := someone()
			w.mu.Lock()
			r.fail = errBoom
			w.mu.Unlock()
		}
		time.Sleep(moment("pause"))
	}
	calls.Wait()
	time.Sleep(10 * time.Minute)
	s := g.Status()
	switch s.State {
	case fsm.Started:
		count("open-at-rest")
		w.wantAll("up")
	case fsm.Idle:
		count("idle-at-rest")
		w.wantAll("down")
	default:
		t.Errorf("at rest: %v", s)
	}
	wantNil(t, "Close", ignore[*fsm.StopError](g.Close()))
	w.wantAll("down")
	synctest.Wait()
	if own := libraryGoroutines(); own != "" {
		t.Errorf("when closed:\n%s", own)
	}
}
