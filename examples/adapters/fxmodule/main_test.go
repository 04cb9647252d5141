package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/fx"

	"github.com/seed3893aba4/surestart/fsm"
)

// A kept resource notes what happens to it.
type kept struct {
	opened, released int
	ctx              context.Context // open's
	fail             func(error)
}

func (k *kept) open(ctx context.Context, s *fsm.Scope) (*kept, error) {
	k.opened++
	k.ctx, k.fail = ctx, s.Fail
	s.Defer("kept", func(ctx context.Context) error {
		k.released++
		return ctx.Err() // a release on an expired context would fail
	})
	return k, nil
}

// hanging is a resource that never opens: its open waits until its context ends.
type hanging struct{}

func openHanging(ctx context.Context, s *fsm.Scope) (hanging, error) {
	s.Part("hanging")
	<-ctx.Done()
	return hanging{}, context.Cause(ctx)
}

// Started and stopped with the application; the resource outlives the context that
// fx gave to OnStart.
func TestWithTheApplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := new(kept)
		var l *fsm.Lifecycle[*kept]
		app := fx.New(fx.NopLogger, Module("kept", k.open), fx.Populate(&l))
		ctx, cancel := context.WithTimeout(t.Context(), app.StartTimeout())
		if err := app.Start(ctx); err != nil {
			t.Fatal(err)
		}
		cancel() // as App.Run does
		synctest.Wait()
		if k.ctx.Err() != nil || l.State() != fsm.Started {
			t.Errorf("%v, its context %v; want that it has outlived the start's", l.Status(), k.ctx.Err())
		}
		if err := l.Start(t.Context()); err != nil || k.opened != 1 { // from anywhere (G2)
			t.Errorf("Start again: %v, opened %d times", err, k.opened)
		}
		if err := app.Stop(t.Context()); err != nil || l.State() != fsm.Closed || k.released != 1 {
			t.Errorf("Stop: %v, %v, released %d times", err, l.State(), k.released)
		}
	})
}

// Another part does not come up in time, and the parts started before are released. With plain
// hooks they are not, because fx calls no OnStop with a context that has ended.
func TestStartTimeout(t *testing.T) {
	for _, plain := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			k := new(kept)
			var first *fsm.Lifecycle[*kept]
			var second *fsm.Lifecycle[hanging]
			opts := []fx.Option{fx.NopLogger, Module("kept", k.open), Module("hanging", openHanging)}
			if plain {
				opts = []fx.Option{fx.NopLogger, plainModule(k.open), plainModule(openHanging)}
			}
			app := fx.New(append(opts, fx.StartTimeout(time.Minute), fx.Populate(&first), fx.Populate(&second))...)
			ctx, cancel := context.WithTimeout(t.Context(), app.StartTimeout())
			defer cancel()
			if err := app.Start(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Start: %v; want that its time is up", err)
			}
			synctest.Wait() // the hanging one lets go when its last caller has left (G6)
			want := 1
			if plain {
				want = 0
			}
			if k.opened != 1 || k.released != want {
				t.Errorf("plain hooks: %t: opened %d times, released %d; want %d", plain, k.opened, k.released, want)
			}
			if s := second.Status(); s.State != fsm.Idle || len(s.Held) > 0 {
				t.Errorf("the hanging one: %v", s)
			}
			if err := first.Close(); err != nil || k.released != 1 { // whatever fx did
				t.Errorf("Close: %v, released %d times", err, k.released)
			}
		})
	}
}

func plainModule[R any](open func(context.Context, *fsm.Scope) (R, error)) fx.Option {
	return fx.Provide(func(app fx.Lifecycle) *fsm.Lifecycle[R] {
		l := fsm.New(open)
		app.Append(fx.Hook{OnStart: l.Start, OnStop: l.Shutdown})
		return l
	})
}

// A failed start is reported, with the part, and rolls the others back.
func TestStartFails(t *testing.T) {
	k := new(kept)
	refused := errors.New("refused")
	var l *fsm.Lifecycle[int]
	app := fx.New(fx.NopLogger, Module("kept", k.open),
		Module("refused", func(_ context.Context, s *fsm.Scope) (int, error) {
			s.Part("login")
			return 0, refused
		}),
		fx.Invoke(func(*fsm.Lifecycle[*kept]) {}), fx.Populate(&l))
	err := app.Start(t.Context())
	var failed *fsm.StartError
	if !errors.As(err, &failed) || failed.Part != "login" || !errors.Is(err, refused) {
		t.Errorf("Start: %v; want the part that failed, and why", err)
	}
	if k.opened != 1 || k.released != 1 {
		t.Errorf("opened %d times, released %d; want that it was given back", k.opened, k.released)
	}
}

// A stop waits for a use. At the end of fx's stop timeout it cuts the use off, and reports that.
func TestStopForced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := new(kept)
		var l *fsm.Lifecycle[*kept]
		app := fx.New(fx.NopLogger, fx.StopTimeout(time.Minute), Module("kept", k.open), fx.Populate(&l))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		used := make(chan error, 1)
		go func() {
			used <- l.Use(context.Background(), func(ctx context.Context, _ *kept) error {
				<-ctx.Done() // it would never end
				return context.Cause(ctx)
			})
		}()
		synctest.Wait()
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), app.StopTimeout())
		defer cancel()
		var cut *fsm.StopError
		if err := app.Stop(ctx); !errors.As(err, &cut) || cut.CutOff != 1 {
			t.Errorf("Stop: %v; want one use cut off", err)
		}
		if took := time.Since(began); took != 54*time.Second {
			t.Errorf("Stop took %v of virtual time; want nine tenths of its patience", took)
		}
		if err := <-used; !errors.Is(err, fsm.ErrClosed) {
			t.Errorf("the use: %v; want that it was cut off", err)
		}
		<-l.Done()
		if k.released != 1 {
			t.Errorf("released %d times", k.released)
		}
	})
}

// A resource that dies ends the application, which stops the rest.
func TestDeathEndsIt(t *testing.T) {
	k := new(kept)
	var l *fsm.Lifecycle[*kept]
	app := fx.New(fx.NopLogger, Module("kept", k.open), fx.Populate(&l))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended := app.Wait()
	k.fail(errors.New("connection reset"))
	if s := <-ended; s.ExitCode != 1 {
		t.Errorf("%v; want exit code 1", s)
	}
	if err := app.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if k.released != 1 || l.Status().Cause == nil {
		t.Errorf("released %d times, cause %v; want once, and the reason kept (G14)", k.released, l.Status().Cause)
	}
}
