// Command fxmodule puts a lifecycle into an uber/fx application. OnStart starts it, OnStop shuts it
// down, and a resource that dies ends the application.
//
// The context of OnStart ends when the application has started, or the start timeout has passed.
// The resource's own context lasts until the release (G6). A failed start releases its own parts
// (G4), and fx stops what was started before. But once the context of a stop has ended, fx
// skips the remaining OnStop hooks (uber/fx #1035). So each hook here leaves time for the others.
//
//	go run ./fxmodule
package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"go.uber.org/fx"

	"github.com/seed3893aba4/surestart/fsm"
)

// Module provides a *fsm.Lifecycle[R], which starts and stops with the application if another part
// of it needs the lifecycle.
func Module[R any](name string, open func(context.Context, *fsm.Scope) (R, error), opts ...fsm.Option) fx.Option {
	return fx.Module(name, fx.Provide(func(app fx.Lifecycle, end fx.Shutdowner) *fsm.Lifecycle[R] {
		l := fsm.New(open, append(opts, fsm.WithObserver(func(t fsm.Transition) {
			if t.Event == fsm.EventDied && t.From == fsm.Started {
				_ = end.Shutdown(fx.ExitCode(1)) // it fails only if the application does not wait for the end
			}
		}))...)
		app.Append(fx.Hook{OnStart: sparing(l.Start), OnStop: sparing(l.Shutdown)})
		return l
	}))
}

// sparing leaves a tenth of the time to the hooks that come after.
func sparing(hook func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if end, ok := ctx.Deadline(); ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, end.Add(-time.Until(end)/10))
			defer cancel()
		}
		return hook(ctx)
	}
}

// listen is a resource to show it with.
func listen(ctx context.Context, s *fsm.Scope) (net.Listener, error) {
	s.Part("listener")
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.Defer("listener", func(context.Context) error { return ln.Close() })
	return ln, nil
}

func main() {
	fx.New(
		Module("listener", listen),
		fx.StartTimeout(10*time.Second), // bounds the whole start; OnStart's context has it
		fx.StopTimeout(20*time.Second),  // and the stop: at its end the drain is cut short (G9)
		fx.Invoke(func(app fx.Lifecycle, l *fsm.Lifecycle[net.Listener]) {
			app.Append(fx.StartHook(func(ctx context.Context) error { // after the listener's
				return l.Use(ctx, func(_ context.Context, ln net.Listener) error {
					fmt.Println("listening on", ln.Addr().Network())
					return nil
				})
			}))
		}),
	).Run()
}
