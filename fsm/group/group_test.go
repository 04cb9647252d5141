package group_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/group"
	"github.com/seed3893aba4/surestart/internal/kept"
	"github.com/seed3893aba4/surestart/producer"
)

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
					m.Lifecycle = b.released(func(context.Context, error) error { c.misbehave(); return nil })
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

type noRestarts struct{ always }

func (noRestarts) Restarts() fsm.Backoff { return nil }

func TestNewRefuses(t *testing.T) {
	one, two := service("one"), service("two")
	var none *fsm.Lifecycle[string]
	for want, members := range map[string][]group.Member{
		`group: member 0 has no name`:                                       {{Lifecycle: one}},
		`group: member "a" has no lifecycle`:                                {{Name: "a"}},
		`group: member "b" has no lifecycle`:                                {{Name: "b", Lifecycle: none}},
		"group: member 0 has no name\ngroup: member 1 has no name":          {{}, {}},
		`group: two members have the name "a"`:                              {{Name: "a", Lifecycle: one}, {Name: "a", Lifecycle: one}},
		`group: the members "a" and "b" have the same lifecycle`:            {{Name: "a", Lifecycle: one}, {Name: "b", Lifecycle: one}},
		`group: member "a" needs "b", which is no member`:                   {{Name: "a", Lifecycle: one, Needs: []string{"b"}}},
		`group: the members form a cycle: a needs a`:                        {{Name: "a", Lifecycle: one, Needs: []string{"a"}}},
		`group: the members form a cycle: a needs b needs a`:                {{Name: "a", Lifecycle: one, Needs: []string{"b"}}, {Name: "b", Lifecycle: two, Needs: []string{"a"}}},
		`group: the members form a cycle: b needs b`:                        {{Name: "a", Lifecycle: one, Needs: []string{"b"}}, {Name: "b", Lifecycle: two, Needs: []string{"b"}}},
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
