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
)

var errBoom = errors.New("boom")

func background() context.Context { return context.Background() }

// fataler is a *testing.T or a *rapid.T.
type fataler interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// service stands for something of yours: it prints when it opens and when it closes.
func service(name string) *fsm.Lifecycle[string] {
	return fsm.New(func(_ context.Context, s *fsm.Scope) (string, error) {
		fmt.Println("open", name)
		s.Defer(name, func(context.Context) error { fmt.Println("close", name); return nil })
		return name, nil
	})
}

// A world has the resources of a group's members. Their opens and releases fail the test
// where the order that the group promises is broken.
type world struct {
	t fataler

	mu  sync.Mutex
	all []*resource
	log []string
}

// A resource is what one member opens.
type resource struct {
	w      *world
	name   string
	needs  []*resource
	above  []*resource // what needs it, directly or not
	l      *fsm.Lifecycle[string]
	opens  time.Duration // how long its open takes
	closes time.Duration // and its release
	deaf   bool          // its open does not end with its context

	// Under w.mu.
	fail      error  // of the next open
	state     string // down, opening, up or closing
	died      bool   // since its open started; or another caller has stopped it
	strangers int    // how many other callers' Stops have not returned
	scope     *fsm.Scope
}

// add adds a resource that needs others.
func (w *world) add(name string, needs ...*resource) *resource {
	r := &resource{w: w, name: name, needs: needs, state: "down"}
	r.l = fsm.New(r.open)
	for _, below := range w.all {
		if slices.ContainsFunc(needs, func(n *resource) bool { return n == below || slices.Contains(below.above, n) }) {
			below.above = append(below.above, r)
		}
	}
	w.all = append(w.all, r)
	return r
}

// member returns r as a member of a group.
func (r *resource) member() group.Member {
	m := group.Member{Name: r.name, Lifecycle: r.l}
	for _, n := range r.needs {
		m.Needs = append(m.Needs, n.name)
	}
	return m
}

func (w *world) group(opts ...fsm.Option) *group.Group {
	w.t.Helper()
	return w.groupOf(nil, opts...)
}

// groupOf returns the group of all resources, after edit of each member.
func (w *world) groupOf(edit func(*group.Member), opts ...fsm.Option) *group.Group {
	w.t.Helper()
	var members []group.Member
	for _, r := range w.all {
		m := r.member()
		if edit != nil {
			edit(&m)
		}
		members = append(members, m)
	}
	slices.Reverse(members) // the order in which they are given does not matter
	g, err := group.New(members, opts...)
	if err != nil {
		w.t.Fatalf("New: %v", err)
	}
	return g
}

func (r *resource) becomes(state string) {
	r.state = state
	r.w.log = append(r.w.log, map[string]string{"opening": "…", "up": "+", "closing": "~", "down": "-"}[state]+r.name)
}

func (r *resource) open(ctx context.Context, s *fsm.Scope) (string, error) {
	w := r.w
	w.mu.Lock()
	r.becomes("opening")
	for _, n := range r.needs {
		if n.state != "up" && !n.died {
			w.t.Errorf("%s opens while %s, which it needs, is %s", r.name, n.name, n.state)
		}
	}
	for _, a := range r.above {
		if a.state != "down" {
			w.t.Errorf("%s opens while %s, which needs it, is %s", r.name, a.name, a.state)
		}
	}
	err := r.fail
	r.fail, r.died = nil, r.strangers > 0
	w.mu.Unlock()
	if r.deaf {
		time.Sleep(r.opens)
	} else {
		sleep(ctx, r.opens)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r.scope = s
	r.becomes("up")
	s.Defer(r.name, r.close)
	return r.name, err
}

func (r *resource) close(context.Context) error {
	w := r.w
	w.mu.Lock()
	r.becomes("closing")
	for _, a := range r.above {
		if a.state != "down" && !r.died {
			w.t.Errorf("%s closes while %s, which needs it, is %s", r.name, a.name, a.state)
		}
	}
	w.mu.Unlock()
	time.Sleep(r.closes)
	w.mu.Lock()
	defer w.mu.Unlock()
	r.becomes("down")
	return nil
}

// die makes the resource die, and returns true, if it is up.
func (r *resource) die() bool {
	r.w.mu.Lock()
	up, scope := r.state == "up", r.scope
	if up {
		r.died = true
	}
	r.w.mu.Unlock()
	if up {
		scope.Fail(errBoom)
	}
	return up
}

// gone marks the end of this opening as nobody's fault: whatever is above may still be open.
func (r *resource) gone() {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	r.died = true
}

// stopByAnother is a Stop by another caller. It may stop any opening that starts before it
// returns.
func (r *resource) stopByAnother(ctx context.Context) error {
	count := func(n int) {
		r.w.mu.Lock()
		defer r.w.mu.Unlock()
		r.strangers += n
	}
	count(1)
	r.gone()
	defer count(-1)
	return r.l.Stop(ctx)
}

// states are those of all resources: "a up, b down".
func (w *world) states() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var s []string
	for _, r := range w.all {
		s = append(s, r.name+" "+r.state)
	}
	return strings.Join(s, ", ")
}

// wantAll fails the test unless every resource is in that state.
func (w *world) wantAll(state string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.all {
		if r.state != state {
			w.t.Errorf("%s is %s; want %s", r.name, r.state, state)
		}
	}
}

// wantLog compares what the hooks did since the last call, and forgets it.
func (w *world) wantLog(want string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := strings.Join(w.log, " "); got != want {
		w.t.Errorf("the hooks did %q; want %q", got, want)
	}
	w.log = nil
}

// forget forgets what the hooks did.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = nil
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// bubble runs f as a subtest in a synctest bubble: time is virtual, and a goroutine that
// is left behind fails the test.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func wantNil(t fataler, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v; want nil", what, err)
	}
}

func wantIs(t fataler, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("%s: %v; want %v", what, err, target)
	}
}

func wantTook(t fataler, what string, since time.Time, want time.Duration) {
	t.Helper()
	if took := time.Since(since); took != want {
		t.Errorf("%s took %v; want %v", what, took, want)
	}
}

func wantState(t fataler, g *group.Group, want fsm.State) {
	t.Helper()
	if s := g.Status(); s.State != want {
		t.Fatalf("the group: %v; want %v", s, want)
	}
}

// always restarts after a pause.
type always time.Duration

func (d always) Next(int, error) (time.Duration, bool) { return time.Duration(d), true }

// libraryGoroutines returns the stacks of the goroutines of this module's packages in this
// bubble, "" if there are none.
func libraryGoroutines() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var own []string
	for _, stack := range strings.Split(string(buf), "\n\n") {
		header, _, _ := strings.Cut(stack, "\n")
		if strings.Contains(header, "synctest bubble") && strings.Contains(stack, "created by github.com/seed3893aba4/surestart/fsm") {
			own = append(own, stack)
		}
	}
	return strings.Join(own, "\n\n")
}

// wantDied checks that an error says that a member died, and with which cause.
func wantDied(t testing.TB, what string, err error, member string, cause error) {
	t.Helper()
	var died *group.DiedError
	if !errors.As(err, &died) || died.Member != member || !errors.Is(err, cause) {
		t.Errorf("%s: %v; want the death of %s with: %v", what, err, member, cause)
	}
}

// held is a member with a Hold of its own.
type held struct {
	*fsm.Lifecycle[string]
	hold func(context.Context) (context.Context, func(context.Context) error, error)
}

func (h held) Hold(ctx context.Context) (context.Context, func(context.Context) error, error) {
	return h.hold(ctx)
}

// diamond is a world of four: b and c need a, d needs b and c.
func diamond(t fataler) (w *world, a, b, c, d *resource) {
	w = &world{t: t}
	a = w.add("a")
	b = w.add("b", a)
	c = w.add("c", a)
	d = w.add("d", b, c)
	return w, a, b, c, d
}

// ignore returns nil for an error of that type.
func ignore[E error](err error) error {
	var e E
	if errors.As(err, &e) {
		return nil
	}
	return err
}

// released returns a member whose release returns what after makes of its error.
func (r *resource) released(after func(context.Context, error) error) group.Holder {
	return held{r.l, func(ctx context.Context) (context.Context, func(context.Context) error, error) {
		ctx, release, err := r.l.Hold(ctx)
		return ctx, func(ctx context.Context) error { return after(ctx, release(ctx)) }, err
	}}
}

// patient returns a member whose Hold does not end with its context.
func (r *resource) patient() group.Holder {
	return held{r.l, func(ctx context.Context) (context.Context, func(context.Context) error, error) {
		return r.l.Hold(context.WithoutCancel(ctx))
	}}
}
