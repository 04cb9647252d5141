package main

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/grafana/dskit/services"

	"github.com/seed3893aba4/surestart/fsm"
)

// The cost of calls on something that is started already.

const (
	theStart = iota // where those that have a budget stand
	theState
	theLoad
	theOnce
	theMutex
)

// startedContenders are calls on something that has been started. A loop makes four calls in each
// iteration, so that the place of its branch matters less.
func startedContenders() []contender {
	ctx := background
	l := started()
	flip := func() { must(l.Stop(ctx)); must(l.Start(ctx)) }
	var word atomic.Uint32
	var once sync.Once
	empty := func() {}
	once.Do(empty)
	value := sync.OnceValue(func() int { return 1 })
	value()
	var pointer atomic.Pointer[int]
	resource := new(int)
	pointer.Store(resource)
	g := &guarded{started: true, open: empty}
	rw := &shared{started: true}
	m := newLooplab(nil)
	fire(m, "start", "opened")
	base := newComet(empty)
	must(base.Start())
	idle := newDskit(empty)
	must(services.StartAndAwaitRunning(ctx, idle))
	return []contender{
		theStart: {"`Lifecycle.Start`", func(n int) {
			for range n / 4 {
				_ = l.Start(ctx)
				_ = l.Start(ctx)
				_ = l.Start(ctx)
				_ = l.Start(ctx)
			}
		}, flip},
		theState: {"`Lifecycle.State`", func(n int) {
			var s fsm.State
			for range n / 4 {
				s |= l.State()
				s |= l.State()
				s |= l.State()
				s |= l.State()
			}
			sinkState.Store(uint32(s))
		}, flip},
		theLoad: {"an atomic load", func(n int) {
			var s uint32
			for range n / 4 {
				s |= word.Load()
				s |= word.Load()
				s |= word.Load()
				s |= word.Load()
			}
			sinkState.Store(s)
		}, func() { word.Store(1); word.Store(0) }},
		theOnce: {"`sync.Once.Do`", func(n int) {
			for range n / 4 {
				once.Do(empty)
				once.Do(empty)
				once.Do(empty)
				once.Do(empty)
			}
		}, nil},
		theMutex: {"a mutex and a flag", func(n int) {
			for range n / 4 {
				_ = g.start(ctx)
				_ = g.start(ctx)
				_ = g.start(ctx)
				_ = g.start(ctx)
			}
		}, func() { g.stop(); _ = g.start(ctx) }},
		{"`sync.OnceValue`", func(n int) {
			v := 0
			for range n / 4 {
				v += value()
				v += value()
				v += value()
				v += value()
			}
			sinkValue.Store(int64(v))
		}, nil},
		{"`atomic.Pointer.Load`", func(n int) {
			open := 0
			for range n / 4 {
				if pointer.Load() != nil {
					open++
				}
				if pointer.Load() != nil {
					open++
				}
				if pointer.Load() != nil {
					open++
				}
				if pointer.Load() != nil {
					open++
				}
			}
			sinkValue.Store(int64(open))
		}, func() { pointer.Store(nil); pointer.Store(resource) }},
		{"`RWMutex` and a flag", func(n int) {
			for range n / 4 {
				_ = rw.start(ctx)
				_ = rw.start(ctx)
				_ = rw.start(ctx)
				_ = rw.start(ctx)
			}
		}, func() { rw.set(false); rw.set(true) }},
		{"`singleflight.Do`", func(n int) {
			for range n {
				_, _, _ = flights.Do("resource", noFlight)
			}
		}, nil},
		{"looplab/fsm `Is`", func(n int) {
			for range n {
				_ = m.Is("Started")
			}
		}, func() { fire(m, "stop", "released", "start", "opened") }},
		{"looplab/fsm `Current`", func(n int) {
			for range n {
				_ = m.Current()
			}
		}, func() { fire(m, "stop", "released", "start", "opened") }},
		{"CometBFT `IsRunning`", func(n int) {
			for range n {
				_ = base.IsRunning()
			}
		}, func() { must(base.Stop()); must(base.Reset()); must(base.Start()) }},
		{"dskit `AwaitRunning`", func(n int) {
			for range n {
				_ = idle.AwaitRunning(ctx)
			}
		}, nil},
	}
}

func (b *bench) started(s *section) {
	cs := startedContenders()
	alone, two := b.besideChanges(s, cs, theOnce, "when started",
		"Nanoseconds of processor time for a call. *Beside*: another goroutine stops and starts it about a thousand times "+
			"a second (a `Start` that comes upon that waits, or opens it itself); there it is time as it passes. × is the ratio to `sync.Once.Do` of the same round.")
	allocs, _ := heap(1000, func() { cs[theStart].loop(1000) })
	b.budget("`Start` when started, against `sync.Once.Do`, 1 proc", alone[theStart].over(alone[theOnce]), 1.5, " ×")
	b.budget("the same, 2 procs", two[theStart].over(two[theOnce]), 1.5, " ×")
	b.budget("`Start` when started, against a mutex and a flag, 2 procs", two[theStart].over(two[theMutex]), 0.1, " ×")
	b.budget("allocations of `Start` when started", float64(int(allocs)), 0, "")
}

// besideChanges measures the contenders on one processor, on two, and beside a goroutine that changes
// their state. It shows them, with the ratios to the contender reference.
func (b *bench) besideChanges(s *section, cs []contender, reference int, what, about string) (alone, two []series) {
	alone = b.ns(cs, setup{procs: 1, goroutines: 1})
	b.overlap = nil
	two = b.ns(cs, setup{procs: 2, goroutines: 2})
	beside := b.ns(cs, setup{procs: 2, goroutines: 1, beside: true})
	s.say("%s %s", about, b.how())
	s.say("%s", b.had())
	t := &table{head: []string{what, "1 proc", "×", "2 procs, both at it", "×", "2 procs, beside", "allocations"}}
	for i, c := range cs {
		allocs, _ := heap(1000, func() { c.loop(1000) })
		t.row(c.name, alone[i].String(), number(alone[i].over(alone[reference])), two[i].String(), number(two[i].over(two[reference])),
			orDash(beside[i]), number(float64(int(allocs))))
	}
	s.show(t)
	return alone, two
}

func orDash(s series) string {
	if s == nil {
		return "–"
	}
	return s.String()
}

func (b *bench) budget(what string, measured, most float64, unit string) {
	b.budgets = append(b.budgets, budget{what: what, measured: measured, limit: most, unit: unit})
}

func (b *bench) least(what string, measured, least float64, unit string) {
	b.budgets = append(b.budgets, budget{what: what, measured: measured, limit: least, unit: unit, least: true})
}

// had says whether goroutines that should run at the same time could. On a busy machine they take
// turns, and do not disturb each other.
func (b *bench) had() string {
	return fmt.Sprintf("Both at it had %s processors (median): with fewer than two they got into each other's way less than on a quiet machine.", number(b.overlap.median()))
}

func (b *bench) how() string {
	return fmt.Sprintf("%d rounds in turns, medians (range without the outer tenths).", b.rounds)
}
