package main

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grafana/dskit/services"
	"golang.org/x/sync/singleflight"

	"github.com/seed3893aba4/surestart/fsm"
)

// A crowd is a number of callers that wait for the same open and can give up.
type crowd struct {
	name string
	// gather returns three functions: what a caller does, how many wait, and what ends the open.
	gather func() (wait func(context.Context), waiting func() int, open func())
}

const (
	crowdStart = iota
	crowdSelect
)

func crowds() []crowd {
	return []crowd{
		crowdStart: {"`Lifecycle.Start`", func() (func(context.Context), func() int, func()) {
			gate := make(chan struct{})
			l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { <-gate; return 0, nil })
			return func(ctx context.Context) { _ = l.Start(ctx) }, func() int { return l.Status().Waiters }, func() { close(gate) }
		}},
		crowdSelect: {"a bare `select`", func() (func(context.Context), func() int, func()) {
			gate := make(chan struct{})
			var in atomic.Int64
			return func(ctx context.Context) {
				in.Add(1)
				select {
				case <-gate:
				case <-ctx.Done():
					_ = context.Cause(ctx)
				}
			}, func() int { return int(in.Load()) }, func() { close(gate) }
		}},
		{"`singleflight.DoChan` and `select`", func() (func(context.Context), func() int, func()) {
			gate := make(chan struct{})
			var g singleflight.Group
			var in atomic.Int64
			work := func() (any, error) { <-gate; return nil, nil }
			return func(ctx context.Context) {
				result := g.DoChan("resource", work)
				in.Add(1)
				select {
				case <-result:
				case <-ctx.Done():
					_ = context.Cause(ctx)
				}
			}, func() int { return int(in.Load()) }, func() { close(gate) }
		}},
		{"dskit `AwaitRunning`", func() (func(context.Context), func() int, func()) {
			gate := make(chan struct{})
			s := newDskit(func() { <-gate })
			must(s.StartAsync(background))
			var in atomic.Int64
			return func(ctx context.Context) {
				in.Add(1)
				_ = s.AwaitRunning(ctx)
			}, func() int { return int(in.Load()) }, func() { close(gate) }
		}},
	}
}

// leave makes n callers join and every second one give up. It returns the nanoseconds for each that
// leaves.
func leave(c crowd, n int) float64 {
	wait, waiting, open := c.gather()
	var cancels []context.CancelFunc
	var leavers, stayers sync.WaitGroup
	for i := range n {
		ctx, cancel := context.WithCancel(background)
		if i%2 == 0 {
			cancels = append(cancels, cancel)
			leavers.Go(func() { wait(ctx) })
		} else {
			defer cancel()
			stayers.Go(func() { wait(ctx) })
		}
	}
	for waiting() < n {
		time.Sleep(100 * time.Microsecond)
	}
	began := time.Now()
	for _, cancel := range cancels {
		cancel()
	}
	leavers.Wait()
	took := time.Since(began)
	open()
	stayers.Wait()
	return float64(took.Nanoseconds()) / float64(len(cancels))
}

func (b *bench) leave(s *section) {
	cs := crowds()
	s.say("N callers wait for the same open and every second one gives up: nanoseconds a leave, the end of its context included. Medians.")
	t := &table{head: []string{"N"}}
	for _, c := range cs {
		t.head = append(t.head, c.name)
	}
	small := make([]series, 2)
	var growth float64
	for _, n := range []int{10, 100, 1000, 10_000, 100_000} {
		rounds := 9
		if n == 100_000 {
			rounds = 3
		}
		if b.quick {
			rounds = min(rounds, max(1, 30_000/n))
		}
		took := inTurns(rounds, len(cs), func(i int) float64 { return leave(cs[i], n) })
		row := []string{number(float64(n))}
		for _, s := range took {
			row = append(row, number(s.median()))
		}
		t.row(row...)
		switch n {
		case 1000:
			copy(small, took)
		case 100_000:
			ours := took[crowdStart].median() / small[crowdStart].median()
			bare := took[crowdSelect].median() / small[crowdSelect].median()
			growth = ours / bare
		}
	}
	s.show(t)
	b.budget("a leave among 100,000 against one among 1,000, over the same of a bare `select`", growth, 1.5, " ×")
}

// many runs a hundred thousand lifecycles in one process, started and stopped by a thousand
// goroutines.
func (b *bench) many(s *section) {
	const hands = 1000
	each := 100
	if b.quick {
		each = 10
	}
	n := hands * each
	type one struct{ start, stop func() }
	kinds := []struct {
		name string
		make func() one
	}{
		{"`Lifecycle`", func() one {
			l := fsm.New(nothing)
			return one{func() { must(l.Start(background)) }, func() { must(l.Stop(background)) }}
		}},
		{"CometBFT `BaseService`", func() one {
			c := newComet(func() {})
			return one{func() { must(c.Start()) }, func() { must(c.Stop()) }}
		}},
		{"dskit `BasicService`", func() one {
			d := newDskit(func() {})
			return one{func() { must(services.StartAndAwaitRunning(background, d)) }, func() { must(services.StopAndAwaitTerminated(background, d)) }}
		}},
	}
	s.say("%s of them in one process, created, started and then stopped by 1,000 goroutines at once. Medians.", number(float64(n)))
	t := &table{head: []string{"", "create and start, µs each", "stop, µs each", "heap when started, MB", "goroutines when started", "left when stopped"}}
	runtime.GC()
	rounds := 3
	stops, heaps, running, left := make([]series, len(kinds)), make([]series, len(kinds)), make([]series, len(kinds)), make([]series, len(kinds))
	starts := inTurns(rounds, len(kinds), func(i int) float64 {
		before, goroutines := settled()
		all := make([]one, n)
		start := byHands(hands, each, func(j int) { all[j] = kinds[i].make(); all[j].start() })
		after, now := settled()
		stop := byHands(hands, each, func(j int) { all[j].stop() })
		_, end := settled()
		stops[i] = append(stops[i], stop/1e3)
		heaps[i] = append(heaps[i], float64(int64(after)-int64(before))/1e6)
		running[i] = append(running[i], float64(now-goroutines))
		left[i] = append(left[i], float64(end-goroutines))
		return start / 1e3
	})
	for i, k := range kinds {
		t.row(k.name, starts[i].String(), stops[i].String(), number(heaps[i].median()), strconv.Itoa(int(running[i].median())), strconv.Itoa(int(left[i].median())))
	}
	s.show(t)
	b.budget("goroutines left by "+number(float64(n))+" lifecycles, started and stopped", left[0].at(1), 0, "")
}

// byHands calls f for hands × each indices, in hands goroutines, and returns the nanoseconds for
// one.
func byHands(hands, each int, f func(i int)) float64 {
	var all sync.WaitGroup
	began := time.Now()
	for h := range hands {
		all.Go(func() {
			for i := range each {
				f(h*each + i)
			}
		})
	}
	all.Wait()
	return float64(time.Since(began).Nanoseconds()) / float64(hands*each)
}
