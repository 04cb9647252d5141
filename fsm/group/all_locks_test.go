package group_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/group"
)

// The name of this file makes its test the first: a lock that is left would hang
// whichever test comes by it, and show nothing.
func TestG12NoLockIsLeft(t *testing.T) {
	w := &world{t: t}
	a := w.add("a")
	b := w.add("b", a)
	c, d := w.add("c"), w.add("d")
	var pause atomic.Int64
	var members []group.Member
	for _, r := range w.all {
		m := r.member()
		if r != d {
			m.Restart = backoff(func(int, error) (time.Duration, bool) { return time.Duration(pause.Load()), true })
		}
		members = append(members, m)
	}
	g, notice := group.NewNoticed(members)
	start := func() { g.Start(background()) }
	stop := func() { g.Stop(background()) }
	until := func(what string) { // the log has it
		for {
			w.mu.Lock()
			has := slices.Contains(w.log, what)
			w.mu.Unlock()
			if has {
				return
			}
			time.Sleep(50 * time.Microsecond)
		}
	}
	var late func()
	for _, step := range []struct {
		what string
		call func()
	}{
		{"Start that fails", func() { c.fail = errBoom; start() }},
		{"Start", start},
		{"the restart of a", func() { w.wantAll("up"); late = notice("a"); late(); w.wantAll("up") }},
		{"a late notice", func() { late() }},
		{"a death while another member is restarted", func() {
			pause.Store(int64(time.Hour))
			w.forget()
			a.die()
			until("-b")
			c.die()
			until("-c")
		}},
		{"Stop", stop},
		{"Start again", start},
		{"a death during the release", func() {
			w.forget()
			b.closes = 10 * time.Millisecond
			dies := notice("a")
			stopped := make(chan struct{})
			go func() { defer close(stopped); stop() }()
			until("~b")
			dies()
			<-stopped
		}},
		{"Start once more", start},
		{"the group's death", func() { d.die(); g.Wait(background(), fsm.Idle) }},
		{"Close", func() { g.Close() }},
	} {
		returned := make(chan struct{})
		go func() { defer close(returned); step.call() }()
		select {
		case <-returned:
		case <-time.After(10 * time.Second):
			t.Fatalf("G12 Progress is broken: %s never returns", step.what)
		}
	}
}
