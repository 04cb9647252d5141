package main

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
)

// The cost of holding the resource open, and how it changes with more callers.

const (
	theAcquire = iota
	theRLock
	theAdd
)

func useContenders() []contender {
	l := started()
	flip := func() { must(l.Stop(background)); must(l.Start(background)) }
	var rw sync.RWMutex
	var mu sync.Mutex
	var count atomic.Int64
	var group sync.WaitGroup
	use := func(context.Context, int) error { return nil }
	return []contender{
		theAcquire: {"`Acquire` + `Release`", func(n int) {
			for range n / 4 {
				for range 4 {
					lease, err := l.Acquire()
					if err == nil {
						lease.Release()
					}
				}
			}
		}, flip},
		theRLock: {"`RWMutex.RLock` + `RUnlock`", func(n int) {
			for range n / 4 {
				for range 4 {
					rw.RLock()
					//lint:ignore SA2001 that is what is measured
					rw.RUnlock()
				}
			}
		}, func() {
			rw.Lock()
			//lint:ignore SA2001 the same
			rw.Unlock()
		}},
		theAdd: {"an atomic add and one back", func(n int) {
			for range n / 4 {
				for range 4 {
					count.Add(1)
					count.Add(-1)
				}
			}
		}, nil},
		{"`Mutex.Lock` + `Unlock`", func(n int) {
			for range n {
				mu.Lock()
				//lint:ignore SA2001 the same
				mu.Unlock()
			}
		}, nil},
		{"`WaitGroup.Add` + `Done`", func(n int) {
			for range n {
				group.Add(1)
				group.Done()
			}
		}, nil},
		{"`Lifecycle.Use`", func(n int) {
			for range n {
				_ = l.Use(background, use)
			}
		}, flip},
	}
}

func (b *bench) use(s *section) {
	cs := useContenders()
	alone, two := b.besideChanges(s, cs, theRLock, "hold it open",
		"Nanoseconds of processor time for a pair. × is the ratio to `RWMutex.RLock` + `RUnlock` of the same round; an atomic add and one back are the floor, "+
			"for a use must be counted. *Beside*: another goroutine stops and starts it about a thousand times a second, or takes the write lock.")
	allocs, _ := heap(1000, func() { cs[theAcquire].loop(1000) })
	b.budget("`Acquire` + `Release`, against `RLock` + `RUnlock`, 1 proc", alone[theAcquire].over(alone[theRLock]), 1.5, " ×")
	b.budget("the same, 2 procs", two[theAcquire].over(two[theRLock]), 1.5, " ×")
	b.budget("allocations of `Acquire` + `Release`", float64(int(allocs)), 0, "")
}

// curve shows how the cost of a call changes with the number of goroutines that make it.
func (b *bench) curve(s *section) {
	sc, uc := startedContenders(), useContenders()
	cs := []contender{sc[theStart], sc[theOnce], sc[theMutex], uc[theAcquire], uc[theRLock], uc[theAdd]}
	t := &table{head: []string{"goroutines"}}
	for _, c := range cs {
		t.head = append(t.head, c.name)
	}
	for _, n := range []int{1, 2, 4, 8, 16, 32, 64} {
		row := []string{strconv.Itoa(n)}
		for _, s := range b.ns(cs, setup{procs: 2, goroutines: n}) {
			row = append(row, number(s.median()))
		}
		t.row(row...)
	}
	s.say("From 1 to 64 goroutines on 2 procs: nanoseconds of processor time for a call, medians.")
	s.show(t)
}
