package group_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/conformance"
	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/group"
)

var quiet = fsm.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))

// chained is a group of members that each hold one part, and need the one before.
type chained struct{ *group.Group }

func (c chained) Use(ctx context.Context, f func(context.Context) error) error {
	return c.Group.Use(ctx, func(ctx context.Context, _ struct{}) error { return f(ctx) })
}

func newChained(h *conformance.Hooks, more ...group.Member) chained {
	c := new(chained)
	members := more
	for i := range h.Parts() {
		m := group.Member{Name: fmt.Sprint(i)}
		m.Lifecycle = fsm.New(func(ctx context.Context, s *fsm.Scope) (int, error) {
			if i == h.Parts()-1 {
				h.OnDeath(func(err error) {
					// A member that dies earlier, or during a drain, is released before the group knows.
					if state, _ := c.Wait(context.Background(), fsm.Started, fsm.Stopping, fsm.Idle, fsm.Closed); state == fsm.Started {
						s.Fail(err)
					}
				})
			}
			if err := h.OpenPart(ctx, i); err != nil {
				return 0, err
			}
			s.Defer("part", func(ctx context.Context) error { return h.ReleasePart(ctx, i) })
			return i, nil
		}, quiet)
		if i > 0 {
			m.Needs = []string{fmt.Sprint(i - 1)}
		}
		members = append(members, m)
	}
	var err error
	if c.Group, err = group.New(members, quiet); err != nil {
		panic(err)
	}
	return *c
}

// restless is a group with two more members, one of which needs the other. They die at calls, and
// are started again, some at once and some during the steps that follow.
type restless struct {
	chained
	calls *atomic.Int64
	below *mortal
	above *mortal
}

func newRestless(h *conformance.Hooks) conformance.Lifecycle {
	below, above := newMortal("below"), newMortal("above", "below")
	return restless{newChained(h, below.Member, above.Member), new(atomic.Int64), below, above}
}

func (r restless) Start(ctx context.Context) error { r.dies(); return r.chained.Start(ctx) }
func (r restless) Stop(ctx context.Context) error  { r.dies(); return r.chained.Stop(ctx) }
func (r restless) Use(ctx context.Context, f func(context.Context) error) error {
	return r.chained.Use(ctx, func(ctx context.Context) error { r.dies(); return f(ctx) })
}

// dies makes one of the two members die, or both, if the group is started.
func (r restless) dies() {
	if n := r.calls.Add(1); r.State() == fsm.Started {
		if n%3 != 0 {
			r.below.scope.Load().Fail(errBoom)
		}
		if n%3 != 1 {
			r.above.scope.Load().Fail(errBoom)
		}
	}
}

// A mortal is a member without a part.
type mortal struct {
	group.Member
	scope  atomic.Pointer[fsm.Scope]
	deaths int
}

func newMortal(name string, needs ...string) *mortal {
	m := &mortal{Member: group.Member{Name: name, Needs: needs}}
	m.Lifecycle = fsm.New(func(_ context.Context, s *fsm.Scope) (string, error) {
		m.scope.Store(s)
		return name, nil
	}, quiet)
	m.Restart = m
	return m
}

func (m *mortal) Next(int, error) (time.Duration, bool) {
	m.deaths++
	return time.Duration(m.deaths%3) * 900 * time.Millisecond, true // a second passes in each step
}

// A group keeps the guarantees of a lifecycle: when a member dies, and the group with it; and when
// members die and the group starts them again. The suite finds nothing. For what is left out see
// docs/many-together.md.
func TestConformance(t *testing.T) {
	for name, subject := range map[string]func(*conformance.Hooks) conformance.Lifecycle{
		"members die":                 func(h *conformance.Hooks) conformance.Lifecycle { return newChained(h) },
		"members die and are started": newRestless,
	} {
		t.Run(name, func(t *testing.T) {
			conformance.Test(t, conformance.Subject{New: subject, Capabilities: conformance.Everything &^ conformance.RefusesReentry, Parts: 3, Schedules: 500})
		})
	}
}
