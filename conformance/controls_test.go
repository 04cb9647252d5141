package conformance_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/conformance"
	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

// seeded is the lifecycle that ships with one thing done wrong.
type seeded struct {
	shipped
	h     *conformance.Hooks
	start func(*seeded, context.Context) error
	stop  func(*seeded, context.Context) error
	shut  func(*seeded, context.Context) error
	use   func(*seeded, context.Context, func(context.Context) error) error

	mu     sync.Mutex
	opened error           // how the last open ended
	ctx    context.Context // of the first Start that waits
	scope  *fsm.Scope
}

func (s *seeded) Start(ctx context.Context) error {
	if s.start != nil {
		return s.start(s, ctx)
	}
	return s.shipped.Start(ctx)
}

func (s *seeded) Stop(ctx context.Context) error {
	if s.stop != nil {
		return s.stop(s, ctx)
	}
	return s.shipped.Stop(ctx)
}

func (s *seeded) Shutdown(ctx context.Context) error {
	if s.shut != nil {
		return s.shut(s, ctx)
	}
	return s.shipped.Shutdown(ctx)
}

func (s *seeded) Use(ctx context.Context, f func(context.Context) error) error {
	if s.use != nil {
		return s.use(s, ctx, f)
	}
	return s.shipped.Use(ctx, f)
}

// open is newShipped's.
func (s *seeded) open(ctx context.Context, scope *fsm.Scope) (int, error) {
	return s.openWith(ctx, scope, scope.Fail)
}

func (s *seeded) openWith(ctx context.Context, scope *fsm.Scope, death func(error)) (int, error) {
	s.h.OnDeath(death)
	for i := range s.h.Parts() {
		if err := s.h.OpenPart(ctx, i); err != nil {
			return 0, err
		}
		scope.Defer("part", func(ctx context.Context) error { return s.h.ReleasePart(ctx, i) })
	}
	return 0, nil
}

// unaware is ctx without the values by which a lifecycle recognises its own contexts.
func unaware(ctx context.Context) context.Context {
	plain, cancel := context.WithCancelCause(context.Background())
	if ctx.Err() != nil {
		cancel(context.Cause(ctx))
	}
	context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return plain
}

var never = make(chan struct{})

type fault struct {
	breaks string
	name   string
	needs  conformance.Capability // to be seen
	waits  time.Duration          // Patience; zero: a second
	seed   seeded
	open   func(*seeded, context.Context, *fsm.Scope) (int, error)
}

var faults = []fault{
	{breaks: "G1", name: "every Start opens", needs: conformance.JoinsStarts, seed: seeded{start: func(s *seeded, ctx context.Context) error {
		if s.State() != spec.Starting {
			return s.shipped.Start(ctx)
		}
		return s.h.Open(ctx)
	}}},
	{breaks: "G2", name: "Stop of a stopped one fails", needs: conformance.Idempotent, seed: seeded{stop: func(s *seeded, ctx context.Context) error {
		if s.State() == spec.Idle {
			return errors.New("not started")
		}
		return s.shipped.Stop(ctx)
	}}},
	{breaks: "G3", name: "nil while it opens", needs: conformance.JoinsStarts, seed: seeded{start: func(s *seeded, ctx context.Context) error {
		if s.State() == spec.Starting {
			return nil
		}
		return s.shipped.Start(ctx)
	}}},
	{breaks: "G4", name: "parts are registered at the end", open: func(s *seeded, ctx context.Context, scope *fsm.Scope) (int, error) {
		s.h.OnDeath(scope.Fail)
		for i := range s.h.Parts() {
			if err := s.h.OpenPart(ctx, i); err != nil {
				return 0, err
			}
		}
		for i := range s.h.Parts() {
			scope.Defer("part", func(ctx context.Context) error { return s.h.ReleasePart(ctx, i) })
		}
		return 0, nil
	}},
	{breaks: "G4", name: "a panic is not contained", needs: conformance.ContainsPanics, open: func(s *seeded, ctx context.Context, scope *fsm.Scope) (int, error) {
		done := make(chan error)
		go func() { done <- s.h.Open(ctx) }()
		if err := <-done; err != nil {
			return 0, err
		}
		scope.Defer("part", func(ctx context.Context) error { return s.h.Release(ctx) })
		return 0, nil
	}},
	{breaks: "G5", name: "the failure is shared with who comes later", needs: conformance.JoinsStarts | conformance.Retries, seed: seeded{start: func(s *seeded, ctx context.Context) error {
		s.mu.Lock()
		err := s.opened
		s.mu.Unlock()
		if s.State() == spec.Stopping && err != nil {
			return err
		}
		return s.shipped.Start(ctx)
	}}, open: func(s *seeded, ctx context.Context, scope *fsm.Scope) (int, error) {
		_, err := s.open(ctx, scope)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.opened = err
		return 0, err
	}},
	{breaks: "G6", name: "it opens on the first caller's context", needs: conformance.JoinsStarts | conformance.HonoursContext | conformance.CancelsOpen, seed: seeded{start: func(s *seeded, ctx context.Context) error {
		s.mu.Lock()
		if s.State() == spec.Idle {
			s.ctx = ctx
		}
		s.mu.Unlock()
		return s.shipped.Start(ctx)
	}}, open: func(s *seeded, ctx context.Context, scope *fsm.Scope) (int, error) {
		s.mu.Lock()
		callers := s.ctx
		s.mu.Unlock()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(callers, cancel)()
		return s.open(ctx, scope)
	}},
	{breaks: "G7", name: "a goroutine is left", open: func(s *seeded, ctx context.Context, scope *fsm.Scope) (int, error) {
		go func() { <-never }()
		return s.open(ctx, scope)
	}},
	{breaks: "G8", name: "Stop of what opens returns at once", needs: conformance.StopsStarts, seed: seeded{stop: func(s *seeded, ctx context.Context) error {
		if s.State() == spec.Starting {
			return nil
		}
		return s.shipped.Stop(ctx)
	}}},
	{breaks: "G8", name: "Stop lets it open first", needs: conformance.StopsStarts | conformance.CancelsOpen, seed: seeded{stop: func(s *seeded, ctx context.Context) error {
		if s.State() == spec.Starting {
			if _, err := s.Wait(ctx, spec.Started, spec.Idle); err != nil {
				return err
			}
		}
		return s.shipped.Stop(ctx)
	}}},
	{breaks: "G9", name: "uses are not counted", needs: conformance.DrainsUses, seed: seeded{use: func(s *seeded, ctx context.Context, f func(context.Context) error) error {
		if err := s.shipped.Use(ctx, func(context.Context) error { return nil }); err != nil {
			return err
		}
		return f(ctx)
	}}},
	{breaks: "G10", name: "a use is admitted at any time", needs: conformance.DrainsUses, seed: seeded{use: func(_ *seeded, ctx context.Context, f func(context.Context) error) error {
		return f(ctx)
	}}},
	{breaks: "G11", name: "Shutdown is Stop", needs: conformance.Final, seed: seeded{shut: func(s *seeded, ctx context.Context) error { return s.shipped.Stop(ctx) }}},
	{breaks: "G12", name: "a failed Start keeps a lock", needs: conformance.Retries, seed: seeded{start: func(s *seeded, ctx context.Context) error {
		s.mu.Lock()
		if err := s.shipped.Start(ctx); err != nil {
			return err
		}
		s.mu.Unlock()
		return nil
	}}},
	{breaks: "G12", name: "it spins while it stops", needs: conformance.JoinsStarts | conformance.Restarts, waits: 100 * time.Millisecond, seed: seeded{start: func(s *seeded, ctx context.Context) error {
		for s.State() == spec.Stopping {
			runtime.Gosched()
		}
		return s.shipped.Start(ctx)
	}}},
	{breaks: "G12", name: "a Start does not hear its context", needs: conformance.HonoursContext, seed: seeded{start: func(s *seeded, ctx context.Context) error {
		if err := ctx.Err(); err != nil {
			return s.shipped.Start(ctx)
		}
		return s.shipped.Start(context.WithoutCancel(ctx))
	}}},
	{breaks: "G13", name: "a failure is always the latest attempt's", needs: conformance.ReportsFailure | conformance.Retries, open: func(s *seeded, ctx context.Context, scope *fsm.Scope) (int, error) {
		s.mu.Lock()
		s.scope = scope
		s.mu.Unlock()
		return s.openWith(ctx, scope, func(err error) { s.latest().Fail(err) })
	}},
	{breaks: "G14", name: "the failure does not say why", needs: conformance.KeepsCause, seed: seeded{start: func(s *seeded, ctx context.Context) error {
		err := s.shipped.Start(ctx)
		if errors.As(err, new(*fsm.StartError)) {
			return errors.New("the start failed")
		}
		return err
	}}},
	{breaks: "G15", name: "a Stop from inside waits for itself", needs: conformance.RefusesReentry, seed: seeded{stop: func(s *seeded, ctx context.Context) error {
		return s.shipped.Stop(unaware(ctx))
	}}},
}

func (s *seeded) latest() *fsm.Scope {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scope
}

// Each guarantee, broken on purpose, is found by its name, whether everything is declared or
// only what the fault needs. With -short only some are tried.
func TestSeededFaultsAreFoundByName(t *testing.T) {
	found := 0
	for i := range faults {
		f := &faults[i]
		if testing.Short() && !slices.Contains([]string{"G3", "G4"}, f.breaks) {
			continue // the others take a minute under -race
		}
		for _, caps := range []conformance.Capability{conformance.Everything, f.needs} {
			name := f.breaks + " " + strings.ReplaceAll(f.name, " ", "-")
			if caps == f.needs {
				name += "/alone"
			}
			t.Run(name, func(t *testing.T) {
				if f.isFound(t, caps) {
					found++
				}
			})
		}
	}
	if os.Getenv("SURESTART_CONFORMANCE_CHILD") == "" {
		fmt.Printf("CHECKED conformance black box seeded faults found=%d\n", found)
	}
}

func (f *fault) isFound(t *testing.T, caps conformance.Capability) bool {
	card := conformance.Measure(t, conformance.Subject{
		New: func(h *conformance.Hooks) conformance.Lifecycle {
			s := &seeded{h: h, start: f.seed.start, stop: f.seed.stop, shut: f.seed.shut, use: f.seed.use}
			open := s.open
			if f.open != nil {
				open = func(ctx context.Context, scope *fsm.Scope) (int, error) { return f.open(s, ctx, scope) }
			}
			s.shipped = shipped{newQuiet(open)}
			return s
		},
		Capabilities: caps,
		Parts:        2,
		Schedules:    1500, // the rarest is seen in some hundred
		Patience:     cmp.Or(f.waits, time.Second),
	})
	var broken []string
	for _, r := range card.Rows {
		if r.Verdict == conformance.No {
			broken = append(broken, r.ID)
		}
	}
	t.Logf("broken: %v\n%v", broken, card.Row(f.breaks).Timeline())
	if !slices.Contains(broken, f.breaks) {
		t.Errorf("%s is not found to be broken:\n%v", f.breaks, card)
		return false
	}
	return true
}
