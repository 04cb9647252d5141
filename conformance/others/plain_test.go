package others

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/cometbft/cometbft/libs/service"
	"go.uber.org/fx"
	"golang.org/x/sync/singleflight"
)

// Defects of others, without the suite: each test passes as long as the defect is there.

// fx (its issue 1035): the context of a Start ends, and what had been started is not stopped: the rollback is given the same context.
func TestPlainFxDoesNotRollBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		stopped := false
		app := fx.New(fx.NopLogger, fx.Invoke(func(lc fx.Lifecycle) {
			lc.Append(fx.Hook{OnStop: func(context.Context) error { stopped = true; return nil }})
			lc.Append(fx.Hook{OnStart: func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() }})
		}))
		err := app.Start(ctx)
		synctest.Wait()
		if err == nil || stopped {
			t.Errorf("Start: %v, the first hook stopped: %v; the defect is gone", err, stopped)
		}
	})
}

// fx: the context of a Start ends, and its hook succeeds all the same: it stays open after the failed Start, until somebody calls Stop.
func TestPlainFxLeavesItOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		gate, stopped := make(chan struct{}), false
		app := fx.New(fx.NopLogger, fx.Invoke(func(lc fx.Lifecycle) {
			lc.Append(fx.Hook{
				OnStart: func(context.Context) error { cancel(); <-gate; return nil },
				OnStop:  func(context.Context) error { stopped = true; return nil },
			})
		}))
		err := app.Start(ctx)
		close(gate)
		synctest.Wait()
		if err == nil || stopped {
			t.Errorf("Start: %v, the hook stopped: %v; the defect is gone", err, stopped)
		}
	})
}

// A flag and singleflight: a Start during a Stop opens while the old one is being given back.
func TestPlainSingleflightOpensTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			group   singleflight.Group
			started atomic.Bool
			held    atomic.Int32
			release = make(chan struct{})
		)
		start := func() {
			group.Do("start", func() (any, error) { held.Add(1); started.Store(true); return nil, nil })
		}
		start()
		go func() {
			started.Store(false)
			<-release
			held.Add(-1)
		}()
		synctest.Wait()
		if start(); held.Load() != 2 {
			t.Errorf("%d are held; the defect is gone", held.Load())
		}
		close(release)
	})
}

// plainComet tells what happens while it starts.
type plainComet struct {
	service.BaseService
	starting, stoppedWhile bool
	gate                   chan struct{}
	fails                  any
}

func (s *plainComet) OnStart() error {
	s.starting = true
	<-s.gate
	s.starting = false
	if s.fails != nil {
		panic(s.fails)
	}
	return nil
}
func (s *plainComet) OnStop() { s.stoppedWhile = s.starting }

// CometBFT: a Stop during a Start stops what is not there yet, and the Start goes on and returns nil.
func TestPlainCometStopsWhileItStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &plainComet{gate: make(chan struct{})}
		s.BaseService = *service.NewBaseService(nil, "plain", s)
		started := make(chan error, 1)
		go func() { started <- s.Start() }()
		synctest.Wait()
		stopped := s.Stop()
		close(s.gate)
		if err := <-started; err != nil || stopped != nil || !s.stoppedWhile {
			t.Errorf("Start: %v, Stop: %v, OnStop during OnStart: %v; the defect is gone", err, stopped, s.stoppedWhile)
		}
	})
}

// CometBFT: after a Start that panicked every later one is told that it has been started.
func TestPlainCometStaysStartedAfterAPanic(t *testing.T) {
	s := &plainComet{gate: make(chan struct{}), fails: "boom"}
	s.BaseService = *service.NewBaseService(nil, "plain", s)
	close(s.gate)
	func() {
		defer func() { recover() }()
		s.Start()
	}()
	if err := s.Start(); !errors.Is(err, service.ErrAlreadyStarted) {
		t.Errorf("%v; the defect is gone", err)
	}
}
