package conformance_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/seed3893aba4/surestart/conformance"
	"github.com/seed3893aba4/surestart/fsm"
)

// shipped is fsm.Lifecycle on the suite's hooks.
type shipped struct{ *fsm.Lifecycle[int] }

func (l shipped) Use(ctx context.Context, f func(context.Context) error) error {
	return l.Lifecycle.Use(ctx, func(ctx context.Context, _ int) error { return f(ctx) })
}

func newShipped(h *conformance.Hooks) conformance.Lifecycle {
	return shipped{newQuiet(func(ctx context.Context, s *fsm.Scope) (int, error) {
		h.OnDeath(s.Fail)
		for i := range h.Parts() {
			if err := h.OpenPart(ctx, i); err != nil {
				return 0, err
			}
			s.Defer("part", func(ctx context.Context) error { return h.ReleasePart(ctx, i) })
		}
		return 0, nil
	})}
}

func newQuiet(open func(context.Context, *fsm.Scope) (int, error)) *fsm.Lifecycle[int] {
	return fsm.New(open, fsm.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
}

// The lifecycle that ships has every guarantee.
func TestShippedHasEveryGuarantee(t *testing.T) {
	card := conformance.Test(t, conformance.Subject{New: newShipped, Capabilities: conformance.Everything, Parts: 2})
	fmt.Printf("CHECKED conformance black box shipped schedules=%d\n", card.Schedules)
}
