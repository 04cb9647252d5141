package others

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/cometbft/cometbft/libs/service"
	"github.com/grafana/dskit/services"
	looplab "github.com/looplab/fsm"
	"github.com/thejerf/suture/v4"
	"go.uber.org/fx"
)

// plainComet is a service with a resource.
type plainComet struct {
	service.BaseService
	resource
	panics       bool
	stoppedWhile bool // it was opening
	closing      error
	lost         error
}

func (s *plainComet) OnStart() error {
	if s.panics {
		panic("boom")
	}
	return s.open()
}
func (s *plainComet) OnStop() { s.stoppedWhile, s.lost = s.opened == 1 && s.held == 0, s.closing }

func newPlainComet() *plainComet {
	s := &plainComet{}
	s.BaseService = *service.NewBaseService(nil, "plain", s)
	return s
}

func cometOpensForNobody(t *testing.T) {
	s := newPlainComet()
	start := func(context.Context) error { return s.Start() }
	err := start(ended)
	expect(t, err == nil && s.held == 1, "Start: %v, %d held", err, s.held)
}

// A Stop during a Start stops nothing, because nothing is open yet. The Start goes on and returns
// nil.
func cometStopsWhileItStarts(t *testing.T) {
	s := newPlainComet()
	s.gate = make(chan struct{})
	start := async(s.Start)
	stopped := s.Stop()
	close(s.gate)
	err := <-start
	expect(t, err == nil && stopped == nil && s.stoppedWhile, "Start: %v, Stop: %v, OnStop during OnStart: %v", err, stopped, s.stoppedWhile)
}

// OnStop has no way to say that it failed, and Stop returns nil.
func cometLosesTheError(t *testing.T) {
	s := newPlainComet()
	s.closing = errNoBroker
	err := errors.Join(s.Start(), s.Stop())
	expect(t, err == nil && s.lost == errNoBroker, "Stop: %v, OnStop: %v", err, s.lost)
}

// The comparison does not ask for this, because it is not offered: after a Start that panicked,
// every later Start reports that the service has been started.
func TestPlainCometStaysStartedAfterAPanic(t *testing.T) {
	s := newPlainComet()
	s.panics = true
	func() {
		defer func() { recover() }()
		s.Start()
	}()
	err := s.Start()
	expect(t, errors.Is(err, service.ErrAlreadyStarted), "%v", err)
}

func plainDskit(r *resource) services.Service {
	return services.NewIdleService(func(context.Context) error { return r.open() }, func(error) error { r.close(); return nil })
}

// It opens for a caller whose context has ended.
func dskitOpensForNobody(t *testing.T) {
	r := &resource{}
	err := services.StartAndAwaitRunning(ended, plainDskit(r))
	synctest.Wait()
	expect(t, err != nil && r.opened == 1, "Start: %v, opened %d times", err, r.opened)
}

// A Start that has been stopped returns while its resource is still being closed.
func dskitStartDoesNotWait(t *testing.T) {
	r, closing := &resource{gate: make(chan struct{})}, make(chan struct{})
	s := services.NewIdleService(func(context.Context) error { return r.open() }, func(error) error {
		<-closing
		r.close()
		return nil
	})
	start := async(func() error { return services.StartAndAwaitRunning(context.Background(), s) })
	s.StopAsync()
	close(r.gate)
	err := <-start
	expect(t, err != nil && r.held == 1, "Start: %v, %d held", err, r.held)
	close(closing)
	synctest.Wait()
}

// After a start that failed no other one opens.
func dskitStartsOnce(t *testing.T) {
	r := &resource{fails: errNoBroker}
	s := plainDskit(r)
	first := services.StartAndAwaitRunning(context.Background(), s)
	r.fails = nil
	again := services.StartAndAwaitRunning(context.Background(), s)
	expect(t, errors.Is(first, errNoBroker) && again != nil && r.opened == 1, "Start: %v, then %v, opened %d times", first, again, r.opened)
}

// The caller that stops it gets the failure of the start.
func dskitStopFails(t *testing.T) {
	r := &resource{gate: make(chan struct{}), fails: errNoBroker}
	s := plainDskit(r)
	s.StartAsync(t.Context())
	stop := async(func() error { return services.StopAndAwaitTerminated(context.Background(), s) })
	close(r.gate)
	err := <-stop
	expect(t, errors.Is(err, errNoBroker) && r.held == 0, "Stop: %v, %d held", err, r.held)
}

// supervised is a resource under suture's supervisor.
type supervised struct{ *resource }

func (s supervised) Serve(ctx context.Context) error {
	if err := s.open(); err != nil {
		return err
	}
	<-ctx.Done()
	s.close()
	return nil
}

// ServeBackground returns while the service still opens.
func sutureIsNotReady(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := &resource{gate: make(chan struct{})}
	sup := suture.New("plain", suture.Spec{EventHook: func(suture.Event) {}})
	sup.Add(supervised{r})
	end := sup.ServeBackground(ctx)
	synctest.Wait()
	expect(t, r.opened == 1 && r.held == 0, "opened %d times, %d held", r.opened, r.held)
	close(r.gate)
	cancel()
	<-end
}

// plainFx has a hook for each resource.
func plainFx(all ...*resource) *fx.App {
	return fx.New(fx.NopLogger, fx.Invoke(func(lc fx.Lifecycle) {
		for _, r := range all {
			lc.Append(fx.Hook{OnStart: func(context.Context) error { return r.open() }, OnStop: func(context.Context) error { r.close(); return nil }})
		}
	}))
}

// A second Start fails, and rolls back what the first one still builds upon; a third one then opens beside the first.
func fxOpensTwice(t *testing.T) {
	one, two := &resource{}, &resource{gate: make(chan struct{})}
	app := plainFx(one, two)
	start := func() error { return app.Start(context.Background()) }
	first := async(start)
	second := start()
	expect(t, second != nil && one.held == 0 && rests(first), "the second Start: %v, %d of the first part held", second, one.held)
	third := async(start)
	expect(t, two.opened == 2 && rests(first), "the second part opened %d times", two.opened)
	close(two.gate)
	<-first
	<-third
}

// fx's issue 1035: the context of a Start ends, and what had been started is not stopped: the rollback is given the same context.
func fxDoesNotRollBack(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	one, two := &resource{}, &resource{gate: make(chan struct{}), fails: errNoBroker}
	app := plainFx(one, two)
	start := async(func() error { return app.Start(ctx) })
	cancel()
	err := <-start
	close(two.gate)
	synctest.Wait()
	expect(t, errors.Is(err, context.Canceled) && one.held == 1, "Start: %v, %d held", err, one.held)
}

// The context of a Start ends, and its hook succeeds all the same. The resource stays open after
// the failed Start, until a call of Stop.
func fxLeavesItOpen(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &resource{gate: make(chan struct{})}
	app := plainFx(r)
	start := async(func() error { return app.Start(ctx) })
	cancel()
	err := <-start
	close(r.gate)
	synctest.Wait()
	expect(t, errors.Is(err, context.Canceled) && r.held == 1, "Start: %v, %d held", err, r.held)
}

// A Stop during a Start finds nothing to stop, and the start comes up.
func fxStopSeesNothing(t *testing.T) {
	r := &resource{gate: make(chan struct{})}
	app := plainFx(r)
	start := async(func() error { return app.Start(context.Background()) })
	stopped := app.Stop(context.Background())
	close(r.gate)
	err := <-start
	expect(t, stopped == nil && err == nil && r.held == 1, "Stop: %v, Start: %v, %d held", stopped, err, r.held)
}

// A Start when started, with a context that has ended, counts the rollback as done. The next Start
// opens a second resource beside the first.
func fxOpensAgain(t *testing.T) {
	r := &resource{}
	app := plainFx(r)
	first := app.Start(context.Background())
	second := <-async(func() error { return app.Start(ended) })
	third := app.Start(context.Background())
	expect(t, first == nil && second != nil && third == nil && r.held == 2, "Start: %v, %v, %v, %d held", first, second, third, r.held)
}

// A Stop whose context has ended stops nothing, and the next one finds nothing to stop, and returns nil.
func fxStopForgets(t *testing.T) {
	r := &resource{}
	app := plainFx(r)
	start := app.Start(context.Background())
	stop := <-async(func() error { return app.Stop(ended) })
	again := app.Stop(context.Background())
	expect(t, start == nil && stop != nil && again == nil && r.held == 1, "Start: %v, Stop: %v, then %v, %d held", start, stop, again, r.held)
}

// plainLooplab is the README's door, which opens a resource.
func plainLooplab(r *resource) *looplab.FSM {
	return looplab.NewFSM("closed",
		looplab.Events{{Name: "open", Src: []string{"closed"}, Dst: "open"}, {Name: "close", Src: []string{"open"}, Dst: "closed"}},
		looplab.Callbacks{
			"before_open":  func(_ context.Context, e *looplab.Event) { r.open() },
			"before_close": func(context.Context, *looplab.Event) { r.close() },
		})
}

// It opens for a caller whose context has ended.
func looplabOpensForNobody(t *testing.T) {
	r := &resource{}
	err := plainLooplab(r).Event(ended, "open")
	expect(t, r.held == 1, "open: %v, %d held", err, r.held)
}

// A close during an open waits for the open, however long that takes, and cancels nothing.
func looplabStopWaits(t *testing.T) {
	r := &resource{gate: make(chan struct{})}
	door := plainLooplab(r)
	opened := async(func() error { return door.Event(context.Background(), "open") })
	closed := make(chan error, 1)
	go func() { closed <- door.Event(context.Background(), "close") }()
	waitsForLock("fsm.(*FSM).Event")
	close(r.gate)
	first, second := <-opened, <-closed
	expect(t, first == nil && second == nil && r.opened == 1 && r.held == 0, "open: %v, close: %v, %d held", first, second, r.held)
}
