package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/seed3893aba4/surestart/fsm"
)

// Many callers start the same thing at the same moment, and it is not open yet.

// A guard makes a start from an open.
type guard struct {
	name  string
	start func(open func()) (start func())
}

const (
	coldStart = iota
	coldFlight
)

func guards() []guard {
	ctx := background
	return []guard{
		coldStart: {"`Lifecycle.Start`", func(open func()) func() {
			l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { open(); return 0, nil })
			return func() { _ = l.Start(ctx) }
		}},
		coldFlight: {"`singleflight.Do`", func(open func()) func() {
			var g singleflight.Group
			work := func() (any, error) { open(); return nil, nil }
			return func() { _, _, _ = g.Do("resource", work) }
		}},
		{"`sync.Once`", func(open func()) func() {
			var once sync.Once
			return func() { once.Do(open) }
		}},
		{"a mutex and a flag", func(open func()) func() {
			g := &guarded{open: open}
			return func() { _ = g.start(ctx) }
		}},
		{"dskit `StartAsync`, `AwaitRunning`", func(open func()) func() {
			s := newDskit(open)
			return func() {
				_ = s.StartAsync(ctx) // of the second caller: an error
				_ = s.AwaitRunning(ctx)
			}
		}},
		{"CometBFT `Start`", func(open func()) func() {
			s := newComet(open)
			return func() { _ = s.Start() }
		}},
	}
}

// A herd is the result of N callers at once.
type herd struct {
	took  time.Duration
	cpu   time.Duration // of this process, meanwhile
	bytes float64       // a caller
	opens int64
	early int64 // callers that were let go before it was open
}

// stampede releases n callers at once. The open takes a millisecond. With lasting, that millisecond
// begins when the last caller has made its call.
func stampede(g guard, n int, lasting bool) herd {
	var opens, early atomic.Int64
	var called, back sync.WaitGroup
	var isOpen atomic.Bool
	called.Add(n)
	start := g.start(func() {
		opens.Add(1)
		if lasting {
			called.Wait()
		}
		time.Sleep(time.Millisecond)
		isOpen.Store(true)
	})
	gate := make(chan struct{})
	var ready sync.WaitGroup
	ready.Add(n)
	for range n {
		back.Go(func() {
			ready.Done()
			<-gate
			called.Done()
			start()
			if !isOpen.Load() {
				early.Add(1)
			}
		})
	}
	ready.Wait()
	h := herd{}
	_, h.bytes = heap(n, func() {
		began, cpu := time.Now(), cpuTime()
		close(gate)
		back.Wait()
		h.took, h.cpu = time.Since(began), cpuTime()-cpu
	})
	h.opens, h.early = opens.Load(), early.Load()
	return h
}

func (b *bench) cold(s *section) {
	gs := guards()
	s.say("N callers at once, an open of 1 ms: milliseconds until the last is back. *All wait*: the open ends 1 ms after the last " +
		"caller has come, so that no caller finds it open. Medians.")
	t := &table{head: []string{"N"}}
	for _, g := range gs {
		t.head = append(t.head, g.name)
	}
	worst := make([]herd, len(gs)) // the most opens and early returns of any round
	var flightRatio, bytes series
	type run struct {
		label   string
		n       int
		lasting bool
		rounds  int
	}
	runs := []run{{"1", 1, false, 15}, {"10", 10, false, 15}, {"100", 100, false, 15}, {"1,000", 1000, false, 15}, {"10,000", 10_000, false, 9},
		{"10,000, all wait", 10_000, true, 15}, {"100,000", 100_000, false, 3}, {"100,000, all wait", 100_000, true, 3}}
	perCaller := &table{head: []string{"10,000, all wait", "ns a caller", "× singleflight", "CPU ns a caller", "× singleflight", "bytes a caller", "opens", "let go before it was open"}}
	for _, r := range runs {
		rounds := r.rounds
		if b.quick {
			rounds = min(rounds, max(1, 30_000/r.n), 5)
		}
		herds := make([][]herd, len(gs))
		took := inTurns(rounds, len(gs), func(i int) float64 {
			h := stampede(gs[i], r.n, r.lasting)
			herds[i] = append(herds[i], h)
			worst[i].opens, worst[i].early = max(worst[i].opens, h.opens), max(worst[i].early, h.early)
			return float64(h.took.Nanoseconds())
		})
		row := []string{r.label}
		for i := range gs {
			row = append(row, number(took[i].median()/1e6))
		}
		t.row(row...)
		if r.n != 10_000 || !r.lasting {
			continue
		}
		flightRatio = took[coldStart].ratios(took[coldFlight])
		for i, g := range gs {
			var mem, cpu, flight series
			early := int64(0)
			for j, h := range herds[i] {
				mem, cpu, flight = append(mem, h.bytes), append(cpu, float64(h.cpu)/float64(r.n)), append(flight, float64(herds[coldFlight][j].cpu)/float64(r.n))
				early = max(early, h.early)
			}
			if i == coldStart {
				bytes = mem
			}
			perCaller.row(g.name, number(took[i].median()/float64(r.n)), number(took[i].over(took[coldFlight])),
				number(cpu.median()), number(cpu.over(flight)), number(mem.median()),
				number(float64(worst[i].opens)), number(float64(early)))
		}
	}
	s.show(t)
	s.show(perCaller)
	s.say("The most opens of one herd, over all of them: `Lifecycle.Start` %d, `singleflight.Do` %d (who comes when the flight has landed begins another: it remembers nothing).",
		worst[coldStart].opens, worst[coldFlight].opens)
	b.budget("opens, of N = 1 … 100,000 concurrent cold Starts", float64(worst[coldStart].opens), 1, "")
	b.budget("callers let go before it was open", float64(worst[coldStart].early), 0, "")
	b.budget("10,000 cold Starts that all wait, against `singleflight.Do`", flightRatio.median(), 1, " ×")
	b.budget("the same, bytes a caller", bytes.median(), 16, " B")
}
