package others

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/seed3893aba4/surestart/conformance"
	"github.com/seed3893aba4/surestart/fsm"
)

type surestart struct{ *fsm.Lifecycle[int] }

func (l surestart) Use(ctx context.Context, f func(context.Context) error) error {
	return l.Lifecycle.Use(ctx, func(ctx context.Context, _ int) error { return f(ctx) })
}

func newSurestart(h *conformance.Hooks) conformance.Lifecycle {
	return surestart{fsm.New(func(ctx context.Context, s *fsm.Scope) (int, error) {
		h.OnDeath(s.Fail)
		for i := range h.Parts() {
			if err := h.OpenPart(ctx, i); err != nil {
				return 0, err
			}
			s.Defer("part", func(ctx context.Context) error { return h.ReleasePart(ctx, i) })
		}
		return 0, nil
	}, fsm.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))}
}

// newOnce starts in one sync.Once and stops in another. A Stop before the start also prevents the
// start.
func newOnce(h *conformance.Hooks) conformance.Lifecycle {
	var start, stop sync.Once
	opened := errors.New("stopped before it was started")
	return &calls{
		func(ctx context.Context) error {
			start.Do(func() { opened = h.Open(ctx) })
			return opened
		},
		func(ctx context.Context) error {
			start.Do(func() {})
			var err error
			stop.Do(func() {
				if opened == nil {
					err = h.Release(ctx)
				}
			})
			return err
		},
	}
}

// newMutex is the careful version: it sets the flag after the open.
func newMutex(h *conformance.Hooks) conformance.Lifecycle {
	var (
		mu      sync.Mutex
		started bool
	)
	return &calls{
		func(ctx context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			if started {
				return nil
			}
			err := h.Open(ctx)
			started = err == nil
			return err
		},
		func(ctx context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			if !started {
				return nil
			}
			started = false
			return h.Release(ctx)
		},
	}
}

// newSingleflight has a flag in front of a singleflight.Group.
func newSingleflight(h *conformance.Hooks) conformance.Lifecycle {
	var (
		group   singleflight.Group
		started atomic.Bool
	)
	return &calls{
		func(ctx context.Context) error {
			if started.Load() {
				return nil
			}
			_, err, _ := group.Do("start", func() (any, error) {
				err := h.Open(ctx)
				started.Store(err == nil)
				return nil, err
			})
			return err
		},
		func(ctx context.Context) error {
			if !started.Swap(false) {
				return nil
			}
			return h.Release(ctx)
		},
	}
}

// newErrgroup runs the resource in an errgroup whose context ends to stop it.
func newErrgroup(h *conformance.Hooks) conformance.Lifecycle {
	var (
		group  *errgroup.Group
		cancel context.CancelFunc
	)
	return &calls{
		func(ctx context.Context) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			var running context.Context
			running, cancel = context.WithCancel(ctx)
			group, running = errgroup.WithContext(running)
			ready := make(chan error, 1)
			group.Go(func() error {
				err := h.Open(running)
				ready <- err
				if err != nil {
					return err
				}
				<-running.Done()
				return h.Release(context.WithoutCancel(running))
			})
			select {
			case err := <-ready:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		func(context.Context) error {
			if group == nil {
				return nil
			}
			cancel()
			return group.Wait()
		},
	}
}
