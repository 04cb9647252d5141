package main

import (
	"context"
	"sync"
	"sync/atomic"

	comet "github.com/cometbft/cometbft/libs/service"
	"github.com/grafana/dskit/services"
	looplab "github.com/looplab/fsm"
	"golang.org/x/sync/singleflight"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

// The alternatives. Each guards the same resource, an int that a function opens.

var background = context.Background()

func nothing(context.Context, *fsm.Scope) (int, error) { return 0, nil }

// must panics on errors that only a mistake in the program can cause.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func started() *fsm.Lifecycle[int] {
	l := fsm.New(nothing)
	must(l.Start(background))
	return l
}

// guarded is a flag under a mutex.
type guarded struct {
	mu      sync.Mutex
	started bool
	open    func()
}

func (g *guarded) start(context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.started {
		g.open()
		g.started = true
	}
	return nil
}

func (g *guarded) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.started = false
}

// shared is a flag under a lock that readers share.
type shared struct {
	mu      sync.RWMutex
	started bool
}

func (s *shared) start(context.Context) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.started {
		return context.Canceled
	}
	return nil
}

func (s *shared) set(started bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = started
}

// cometService is CometBFT's BaseService with an open.
type cometService struct {
	comet.BaseService
	open func()
}

func newComet(open func()) *cometService {
	s := &cometService{open: open}
	s.BaseService = *comet.NewBaseService(nil, "resource", s)
	return s
}

func (s *cometService) OnStart() error { s.open(); return nil }
func (s *cometService) OnReset() error { return nil }

func newDskit(open func()) *services.BasicService {
	return services.NewIdleService(func(context.Context) error { open(); return nil }, nil)
}

// transitions is the table of package fsm, for a bare looplab/fsm.
var transitions = func() (events looplab.Events) {
	for _, row := range spec.Table() {
		events = append(events, looplab.EventDesc{Name: row.Event.String(), Src: []string{row.From.String()}, Dst: row.To.String()})
	}
	return events
}()

func newLooplab(callbacks looplab.Callbacks) *looplab.FSM {
	return looplab.NewFSM("Idle", transitions, callbacks)
}

func fire(m *looplab.FSM, events ...string) {
	for _, e := range events {
		must(m.Event(background, e))
	}
}

// The results go here, so that no call is optimized away.
var (
	sinkState atomic.Uint32
	sinkValue atomic.Int64
)

var flights singleflight.Group

func noFlight() (any, error) { return nil, nil }
