package main

import (
	"fmt"
	"time"
)

// The guard runs in ./check layer bench. Its ratios show a regression within seconds, also on a
// busy machine.

// A watch is a ratio, or a count, and its limit.
type watch struct {
	what string
	most float64
	// measure returns the present value; it takes about a second.
	measure func(b *bench) (float64, error)
}

// tries is how often a watch may exceed its limit before that counts, each time after all the
// others. Another program may disturb one try, and hardly five; a regression exceeds the limit in
// all.
const tries = 5

// The limits are the budgets if there is room below them. Otherwise they are so far above the
// measured value that no quiet run reaches them (go run . -guard -repeat 200). A regression that
// they should catch, such as one more lock or allocation, costs more than that.
var watches = []watch{
	{"Start over sync.Once.Do, 1 proc", 1.5, ratioOf(startedContenders, theStart, theOnce, setup{procs: 1, goroutines: 1})},
	{"Start over a mutex and a flag, 2 procs", 0.1, ratioOf(startedContenders, theStart, theMutex, setup{procs: 2, goroutines: 2})},
	{"State over an atomic load, 1 proc", 1.5, ratioOf(startedContenders, theState, theLoad, setup{procs: 1, goroutines: 1})},
	{"Acquire + Release over RLock + RUnlock, 1 proc", 1.15, ratioOf(useContenders, theAcquire, theRLock, setup{procs: 1, goroutines: 1})},
	{"Acquire + Release over RLock + RUnlock, 2 procs", 1.25, ratioOf(useContenders, theAcquire, theRLock, setup{procs: 2, goroutines: 2})},
	{"allocations of Start, State, Acquire + Release", 0, func(*bench) (float64, error) {
		total := 0
		for _, c := range []contender{startedContenders()[theStart], startedContenders()[theState], useContenders()[theAcquire]} {
			allocs, _ := heap(1000, func() { c.loop(1000) })
			total += int(allocs)
		}
		return float64(total), nil
	}},
	{"create, start, stop over a bare looplab/fsm, 1 proc", 3.5, ratioOf(lifeContenders, theLife, theLooplab, setup{procs: 1, goroutines: 1})},
	{"opens of 10,000 cold Starts", 1, coldOpens},
	{"processor time of 10,000 cold Starts over singleflight.Do", 1.5, coldRatio},
	{"bytes a caller of 10,000 cold Starts", 16, coldBytes},
	{"goroutines of a started lifecycle", 0, func(*bench) (float64, error) {
		_, goroutines := holds(1000, func() any { return started() })
		return goroutines, nil
	}},
	{"processor time of a message, Producer over Writer", 0.95, func(b *bench) (float64, error) {
		r, err := b.blackhole()
		if err != nil {
			return 0, err
		}
		return r.Scores[0].CPU.over(r.Scores[1].CPU), nil
	}},
	{"allocations of a lone write, Producer over Writer", 1, func(b *bench) (float64, error) {
		r, err := b.blackhole()
		if err != nil {
			return 0, err
		}
		return r.Scores[0].Allocs.over(r.Scores[1].Allocs), nil
	}},
}

// ratioOf returns a function that measures one contender over another.
func ratioOf(all func() []contender, ours, theirs int, how setup) func(*bench) (float64, error) {
	return func(b *bench) (float64, error) {
		cs := all()
		s := b.ns([]contender{cs[ours], cs[theirs]}, how)
		return s[0].over(s[1]), nil
	}
}

func coldRatio(*bench) (float64, error) {
	gs := guards()
	took := inTurns(7, 2, func(i int) float64 {
		return float64(stampede(gs[[]int{coldStart, coldFlight}[i]], 10_000, true).cpu.Nanoseconds())
	})
	return took[0].over(took[1]), nil
}

func coldOpens(*bench) (float64, error) {
	most := int64(0)
	for range 3 {
		h := stampede(guards()[coldStart], 10_000, false)
		most = max(most, h.opens+h.early) // one that is let go early is as bad as one open more
	}
	return float64(most), nil
}

func coldBytes(*bench) (float64, error) {
	var bytes series
	for range 3 {
		bytes = append(bytes, stampede(guards()[coldStart], 10_000, true).bytes)
	}
	return bytes.median(), nil
}

// blackhole is the duel of Producer and Writer on the black hole, where only the client costs time.
func (b *bench) blackhole() (result, error) {
	hole, err := b.hole()
	if err != nil {
		return result{}, err
	}
	return hole.duel(duel{Names: []string{theProducer, theWriter}, Rounds: 12, Callers: 16, Batch: floodBatch, Size: 100, For: 50 * time.Millisecond, Lone: 5}, partitions)
}

// guard measures each watch, and again if it exceeds its limit.
func (b *bench) guard() error {
	b.rounds, b.slice = 21, time.Millisecond
	_, lowest, err := b.tried(watches)
	if err != nil {
		return err
	}
	exceeded := 0
	for i, w := range watches {
		if lowest[i] <= w.most {
			fmt.Printf("%s: %s, at most %s\n", w.what, number(lowest[i]), number(w.most))
		} else {
			exceeded++
			fmt.Printf("REGRESSION: %s: %s or more in each of %d tries, at most %s\n", w.what, number(lowest[i]), tries, number(w.most))
		}
	}
	fmt.Printf("CHECKED bench ratios=%d\n", len(watches))
	if exceeded > 0 {
		return fmt.Errorf("%d of %d ratios exceed what they may be: see REGRESSION above", exceeded, len(watches))
	}
	return nil
}

// tried measures each watch, and those that exceed their limit again. It returns the first value
// and the lowest of each.
func (b *bench) tried(all []watch) (first, lowest series, err error) {
	for try := range tries {
		for i, w := range all {
			if try > 0 && lowest[i] <= w.most {
				continue
			}
			v, err := w.measure(b)
			switch {
			case err != nil:
				return nil, nil, fmt.Errorf("%s: %w", w.what, err)
			case try == 0:
				first, lowest = append(first, v), append(lowest, v)
			case !(lowest[i] <= v): // so that what could not be measured gives way
				lowest[i] = v
			}
		}
	}
	return first, lowest, nil
}

// repeat runs the guard n times. Every ten runs and at the end, it prints how near to its limits it
// came.
func (b *bench) repeat(n int) error {
	b.rounds, b.slice = 21, time.Millisecond
	first, lowest := make([]series, len(watches)), make([]series, len(watches))
	failed := 0
	for run := 1; run <= n; run++ {
		firsts, lowests, err := b.tried(watches)
		if err != nil {
			return err
		}
		for i := range watches {
			first[i], lowest[i] = append(first[i], firsts[i]), append(lowest[i], lowests[i])
		}
		if run%10 == 0 || run == n {
			var t *table
			t, failed = nearness(first, lowest)
			fmt.Printf("%s\n", t)
		}
	}
	if failed > 0 {
		return fmt.Errorf("in %d runs a limit was exceeded %d times", n, failed)
	}
	return nil
}

// nearness shows the first try of each run, and the lowest, beside the limits.
func nearness(first, lowest []series) (t *table, failed int) {
	t = &table{head: []string{fmt.Sprintf("%d runs of the guard", len(first[0])), "at most", "median", "highest", "first tries above", "failed"}}
	for i, w := range watches {
		above, bad := 0, 0
		for j := range first[i] {
			if first[i][j] > w.most {
				above++
			}
			if lowest[i][j] > w.most {
				bad++
			}
		}
		failed += bad
		t.row(w.what, number(w.most), number(first[i].median()), number(first[i].at(1)), fmt.Sprint(above), fmt.Sprint(bad))
	}
	return t, failed
}
