package main

import (
	"runtime"
	"sync"
	"time"

	"github.com/grafana/dskit/services"

	"github.com/seed3893aba4/surestart/fsm"
)

// The cost of a whole life: create, start and stop, with an open that does nothing.

const (
	theLife = iota
	theLooplab
	theHandOvers
)

func lifeContenders() []contender {
	ctx := background
	empty := func() {}
	again := started()
	return []contender{
		theLife: {name: "`fsm.New`, `Start`, `Stop`", loop: func(n int) {
			for range n {
				l := fsm.New(nothing)
				_ = l.Start(ctx)
				_ = l.Stop(ctx)
			}
		}},
		theLooplab: {name: "bare looplab/fsm, the same four transitions", loop: func(n int) {
			for range n {
				fire(newLooplab(nil), "start", "opened", "stop", "released")
			}
		}},
		// The least that two operations in goroutines of their own cost.
		theHandOvers: {name: "two goroutines, each waited for, which do nothing", loop: func(n int) {
			for range n {
				for range 2 {
					done := make(chan struct{})
					go close(done)
					<-done
				}
			}
		}},
		{name: "`Stop`, `Start` of one", loop: func(n int) {
			for range n {
				_ = again.Stop(ctx)
				_ = again.Start(ctx)
			}
		}},
		{name: "CometBFT `BaseService`", loop: func(n int) {
			for range n {
				s := newComet(empty)
				_ = s.Start()
				_ = s.Stop()
			}
		}},
		{name: "dskit `BasicService`", loop: func(n int) {
			for range n {
				s := newDskit(empty)
				_ = services.StartAndAwaitRunning(ctx, s)
				_ = services.StopAndAwaitTerminated(ctx, s)
			}
		}},
		{name: "a mutex and a flag", loop: func(n int) {
			for range n {
				g := &guarded{open: empty}
				_ = g.start(ctx)
				g.stop()
			}
		}},
		{name: "`sync.Once` (cannot stop)", loop: func(n int) {
			for range n {
				once := new(sync.Once)
				once.Do(empty)
			}
		}},
	}
}

func (b *bench) life(s *section) {
	cs := lifeContenders()
	one := b.ns(cs, setup{procs: 1, goroutines: 1})
	two := b.ns(cs, setup{procs: 2, goroutines: 1})
	s.say("Nanoseconds of processor time for a life: create, start, stop, with an open that does nothing. × is the ratio to the bare looplab/fsm of the same round. %s", b.how())
	t := &table{head: []string{"a life", "1 proc", "×", "2 procs", "×", "allocations", "bytes"}}
	for i, c := range cs {
		allocs, bytes := heap(1000, func() { c.loop(1000) })
		t.row(c.name, one[i].String(), number(one[i].over(one[theLooplab])), two[i].String(), number(two[i].over(two[theLooplab])),
			number(float64(int(allocs+0.5))), number(float64(int(bytes+0.5))))
	}
	s.show(t)
	s.say("looplab/fsm's share of it: %s %% on 1 proc.", number(100*one[theLooplab].over(one[theLife])))
	b.budget("create, start, stop, against a bare looplab/fsm, 1 proc", one[theLife].over(one[theLooplab]), 3, " ×")
	b.budget("the same, 2 procs", two[theLife].over(two[theLooplab]), 3, " ×")
}

// kept is something of which many are made, to measure what each of them keeps in memory.
type kept struct {
	name    string
	make    func() any
	started bool
}

func (b *bench) memory(s *section) {
	empty := func() {}
	all := []kept{
		{"`Lifecycle[int]`, idle", func() any { return fsm.New(nothing) }, false},
		{"`Lifecycle[int]`, started", func() any { return started() }, true},
		{"`Lifecycle[int]`, started and stopped", func() any { l := started(); must(l.Stop(background)); return l }, false},
		{"bare looplab/fsm", func() any { return newLooplab(nil) }, false},
		{"CometBFT `BaseService`, idle", func() any { return newComet(empty) }, false},
		{"CometBFT `BaseService`, started", func() any { c := newComet(empty); must(c.Start()); return c }, true},
		{"dskit `BasicService`, idle", func() any { return newDskit(empty) }, false},
		{"dskit `BasicService`, started", func() any {
			d := newDskit(empty)
			must(services.StartAndAwaitRunning(background, d))
			return d
		}, true},
	}
	const n = 5000
	s.say("What %s of them hold on to, each, after a garbage collection.", number(n))
	t := &table{head: []string{"", "bytes", "goroutines"}}
	for i, k := range all {
		bytes, goroutines := holds(n, k.make)
		t.row(k.name, number(float64(int(bytes+0.5))), number(goroutines))
		if i < 2 {
			b.budget("goroutines of a lifecycle, "+[]string{"idle", "started"}[i], goroutines, 0, "")
		}
	}
	s.show(t)
}

// holds returns the heap and the goroutines that each of n things keeps.
func holds(n int, make1 func() any) (bytes, goroutines float64) {
	all := make([]any, n)
	before, beforeGo := settled()
	for i := range all {
		all[i] = make1()
	}
	after, afterGo := settled()
	for _, a := range all { // not before they were counted
		if s, ok := a.(*services.BasicService); ok {
			s.StopAsync()
		}
	}
	return float64(int64(after)-int64(before)) / float64(n), float64(afterGo-beforeGo) / float64(n)
}

// settled returns the heap in use and the number of goroutines, once goroutines that were about to
// end have ended.
func settled() (heap uint64, goroutines int) {
	goroutines = runtime.NumGoroutine()
	for same := 0; same < 5; {
		time.Sleep(2 * time.Millisecond)
		if n := runtime.NumGoroutine(); n == goroutines {
			same++
		} else {
			goroutines, same = n, 0
		}
	}
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, goroutines
}
