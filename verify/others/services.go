package others

import (
	"context"
	"sync"
	"time"

	"github.com/cometbft/cometbft/libs/service"
	"github.com/grafana/dskit/services"
	looplab "github.com/looplab/fsm"
	"github.com/thejerf/suture/v4"
	"go.uber.org/fx"

	"github.com/seed3893aba4/surestart/conformance"
)

// cometService is a service in the way of CometBFT's own: OnStart and OnStop.
type cometService struct {
	service.BaseService
	h *conformance.Hooks
}

func (s *cometService) OnStart() error { return s.h.Open(context.Background()) }
func (s *cometService) OnStop()        { s.h.Release(context.Background()) }

func newComet(h *conformance.Hooks) conformance.Lifecycle {
	s := &cometService{h: h}
	s.BaseService = *service.NewBaseService(nil, "measured", s)
	return &calls{
		func(context.Context) error { return s.Start() },
		func(context.Context) error { return s.Stop() },
	}
}

func newDskit(h *conformance.Hooks) conformance.Lifecycle {
	s := services.NewIdleService(h.Open, func(error) error { return h.Release(context.Background()) })
	return &calls{
		func(ctx context.Context) error { return services.StartAndAwaitRunning(ctx, s) },
		func(ctx context.Context) error { return services.StopAndAwaitTerminated(ctx, s) },
	}
}

// served is a service as suture's documents require it: it runs until its context ends.
type served struct{ h *conformance.Hooks }

func (s served) Serve(ctx context.Context) error {
	if err := s.h.Open(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return s.h.Release(context.WithoutCancel(ctx))
}

func newSuture(h *conformance.Hooks) conformance.Lifecycle {
	var (
		mu     sync.Mutex
		cancel context.CancelFunc
		ended  <-chan error
	)
	return &calls{
		func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			var ctx context.Context
			ctx, cancel = context.WithCancel(context.Background())
			sup := suture.New("measured", suture.Spec{EventHook: func(suture.Event) {}, Timeout: time.Hour})
			sup.Add(served{h})
			ended = sup.ServeBackground(ctx)
			return nil
		},
		func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			if cancel == nil {
				return nil
			}
			cancel()
			<-ended
			cancel = nil
			return nil
		},
	}
}

// newFx has a hook for each part, as fx's documents require.
func newFx(h *conformance.Hooks) conformance.Lifecycle {
	return fx.New(fx.NopLogger, fx.Invoke(func(lc fx.Lifecycle) {
		for i := range h.Parts() {
			lc.Append(fx.Hook{
				OnStart: func(ctx context.Context) error { return h.OpenPart(ctx, i) },
				OnStop:  func(ctx context.Context) error { return h.ReleasePart(ctx, i) },
			})
		}
	}))
}

// newLooplab is the machine of looplab's README, with the work in before_ callbacks, which can
// cancel the transition.
func newLooplab(h *conformance.Hooks) conformance.Lifecycle {
	machine := looplab.NewFSM("closed",
		looplab.Events{
			{Name: "open", Src: []string{"closed"}, Dst: "open"},
			{Name: "close", Src: []string{"open"}, Dst: "closed"},
		},
		looplab.Callbacks{
			"before_open": func(ctx context.Context, e *looplab.Event) {
				if err := h.Open(ctx); err != nil {
					e.Cancel(err)
				}
			},
			"before_close": func(ctx context.Context, e *looplab.Event) { e.Err = h.Release(ctx) },
		})
	return &calls{
		func(ctx context.Context) error { return unwrapped(machine.Event(ctx, "open")) },
		func(ctx context.Context) error { return unwrapped(machine.Event(ctx, "close")) },
	}
}

// unwrapped returns the error with which a callback cancelled.
func unwrapped(err error) error {
	if c, ok := err.(looplab.CanceledError); ok && c.Err != nil {
		return c.Err
	}
	return err
}
