package group_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/seed3893aba4/surestart/conformance"
	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/group"
)

// chained is a group of members that each hold one part, and need the one before.
type chained struct{ *group.Group }

func (c chained) Use(ctx context.Context, f func(context.Context) error) error {
	return c.Group.Use(ctx, func(ctx context.Context, _ struct{}) error { return f(ctx) })
}

func newChained(h *conformance.Hooks) conformance.Lifecycle {
	quiet := fsm.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))
	var members []group.Member
	for i := range h.Parts() {
		m := group.Member{Name: fmt.Sprint(i)}
		m.Lifecycle = fsm.New(func(ctx context.Context, s *fsm.Scope) (int, error) {
			if i == h.Parts()-1 {
				h.OnDeath(s.Fail)
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
	g, err := group.New(members, quiet)
	if err != nil {
		panic(err)
	}
	return chained{g}
}

// A group keeps the guarantees of a lifecycle, except for deaths and calls from inside: see
// docs/many-together.md. The suite finds nothing else.
func TestConformance(t *testing.T) {
	conformance.Test(t, conformance.Subject{New: newChained, Capabilities: conformance.Everything &^ (conformance.ReportsFailure | conformance.RefusesReentry), Parts: 3, Schedules: 1000})
}
