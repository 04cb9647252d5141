package group

import (
	"context"

	"github.com/seed3893aba4/surestart/fsm"
)

// NewNoticed is New, with a function that returns the notice of the death of a member as it is
// open then, to be given at any time.
func NewNoticed(members []Member) (*Group, func(name string) (notice func())) {
	sorted, err := sort(members)
	if err != nil {
		panic(err)
	}
	var s *session
	g := fsm.New(func(ctx context.Context, scope *fsm.Scope) (struct{}, error) {
		s = newSession(ctx, scope, sorted)
		return struct{}{}, s.open()
	})
	return g, func(name string) func() {
		for _, p := range s.parts {
			if p.Name == name {
				held := p.held
				return func() { s.died(p, held) }
			}
		}
		panic("no member " + name)
	}
}
