package others

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"
)

// Every later Do returns at once, and nothing is open.
func onceKeepsItsFailure(t *testing.T) {
	r, once := &resource{fails: errNoBroker}, sync.Once{}
	var err error
	start := func() error {
		once.Do(func() { err = r.open() })
		return err
	}
	start()
	r.fails = nil // the broker is there
	err = start()
	expect(t, errors.Is(err, errNoBroker) && r.opened == 1, "Start: %v, opened %d times", err, r.opened)
}

func onceOpensForNobody(t *testing.T) {
	r, once := &resource{}, sync.Once{}
	start := func(context.Context) { once.Do(func() { r.open() }) }
	start(ended)
	expect(t, r.opened == 1, "opened %d times", r.opened)
}

func mutexOpensForNobody(t *testing.T) {
	var (
		r       = &resource{}
		mu      sync.Mutex
		started bool
	)
	start := func(context.Context) {
		mu.Lock()
		defer mu.Unlock()
		if !started {
			started = r.open() == nil
		}
	}
	start(ended)
	expect(t, r.opened == 1, "opened %d times", r.opened)
}

// A flag and singleflight: a Start during a Stop opens while the old one is being given back.
func singleflightOpensTwice(t *testing.T) {
	var (
		group   singleflight.Group
		r       = &resource{}
		started bool
	)
	start := func() { group.Do("start", func() (any, error) { started = true; return nil, r.open() }) }
	start()
	release := make(chan struct{})
	stop := async(func() error { started = false; <-release; r.close(); return nil })
	if !started {
		start()
	}
	expect(t, r.held == 2, "%d are held", r.held)
	close(release)
	<-stop
}

func singleflightOpensForNobody(t *testing.T) {
	r, group := &resource{}, singleflight.Group{}
	start := func(context.Context) { group.Do("start", func() (any, error) { return nil, r.open() }) }
	start(ended)
	expect(t, r.opened == 1, "opened %d times", r.opened)
}

// A Stop reads the flag, which is not set yet, and the resource that it should stop comes up.
func singleflightStopSeesNothing(t *testing.T) {
	var (
		group   singleflight.Group
		r       = &resource{gate: make(chan struct{})}
		started bool
	)
	start := async(func() error {
		_, err, _ := group.Do("start", func() (any, error) { err := r.open(); started = err == nil; return nil, err })
		return err
	})
	sawNothing := !started // all that Stop looks at
	close(r.gate)
	err := <-start
	expect(t, sawNothing && err == nil && r.held == 1, "Stop saw nothing: %v; Start: %v, %d held", sawNothing, err, r.held)
}

// errgrouped runs a resource in a group of its own until a context ends.
func errgrouped(ctx context.Context, r *resource) (group *errgroup.Group, ready chan error) {
	group, ctx = errgroup.WithContext(ctx)
	ready = make(chan error, 1)
	group.Go(func() error {
		err := r.open()
		if ready <- err; err != nil {
			return err
		}
		<-ctx.Done()
		r.close()
		return nil
	})
	return group, ready
}

// Nothing keeps a second Start from opening while the first one does.
func errgroupOpensTwice(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := &resource{gate: make(chan struct{})}
	one, _ := errgrouped(ctx, r)
	synctest.Wait()
	two, _ := errgrouped(ctx, r)
	synctest.Wait()
	expect(t, r.opened == 2, "opened %d times", r.opened)
	close(r.gate)
	cancel()
	one.Wait()
	two.Wait()
}

// Nor once it is open.
func errgroupOpensAgain(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := &resource{}
	one, ready := errgrouped(ctx, r)
	<-ready
	two, ready := errgrouped(ctx, r)
	<-ready
	expect(t, r.held == 2, "%d are held", r.held)
	cancel()
	one.Wait()
	two.Wait()
}

// Wait returns the failure of the start to the caller that stops.
func errgroupStopFails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := &resource{gate: make(chan struct{}), fails: errNoBroker}
	group, _ := errgrouped(ctx, r)
	stop := async(func() error { cancel(); return group.Wait() })
	close(r.gate)
	err := <-stop
	expect(t, errors.Is(err, errNoBroker) && r.held == 0, "Stop: %v, %d held", err, r.held)
}
