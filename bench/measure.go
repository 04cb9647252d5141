package main

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A series has the measurements of one contender, one value for each round, in the order of the
// rounds.
type series []float64

// at returns the value below which the share q of the series lies.
func (s series) at(q float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

func (s series) median() float64 { return s.at(0.5) }

// String returns the median, and the range without the lowest and the highest tenth.
func (s series) String() string {
	return fmt.Sprintf("%s (%s–%s)", number(s.median()), number(s.at(0.1)), number(s.at(0.9)))
}

// over returns the median of the ratios of the rounds. The two values of a round were measured one
// right after the other, so that what slowed one down slowed the other too. On a busy machine their
// ratio is steadier than the ratio of the medians.
func (s series) over(base series) float64 { return s.ratios(base).median() }

func (s series) ratios(base series) series {
	r := make(series, min(len(s), len(base)))
	for i := range r {
		r[i] = s[i] / base[i]
	}
	return r
}

// number writes v with three significant digits, and a whole number in full.
func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case v == 0:
		return "0"
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	if v == math.Trunc(v) {
		digits = 0
	}
	text := fmt.Sprintf("%.*f", max(digits, 0), v)
	if digits > 0 {
		return text
	}
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// inTurns measures n contenders in each round, forwards and backwards in turns (A B B A …), so that
// no contender always has the warm machine.
func inTurns(rounds, n int, measure func(contender int) float64) []series {
	all := make([]series, n)
	must(turns(rounds, n, func(i int) error {
		all[i] = append(all[i], measure(i))
		return nil
	}))
	return all
}

// turns is inTurns for a measure that records its results itself. It ends with the first error.
func turns(rounds, n int, measure func(contender int) error) error {
	for r := range rounds {
		for turn := range n {
			i := turn
			if r%2 == 1 {
				i = n - 1 - turn
			}
			if err := measure(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// A contender is an operation that is repeated. loop makes n direct calls of it, so that calls are
// inlined here as for a user.
type contender struct {
	name string
	loop func(n int)
	// beside starts and stops, once, what loop calls. Nil: it cannot.
	beside func()
}

// setup is how a loop is measured.
type setup struct {
	procs, goroutines int
	beside            bool // the contender's own beside runs meanwhile, about a thousand times a second
}

// ns measures the contenders in turns and returns, for each, nanoseconds of
// processor time for one call. A contender that cannot be measured has no series.
func (b *bench) ns(cs []contender, how setup) []series {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(how.procs))
	calls := make([]int, len(cs))
	for i, c := range cs {
		if how.beside && c.beside == nil {
			continue
		}
		calls[i] = calibrate(c, how, b.slice)
	}
	all := inTurns(b.rounds, len(cs), func(i int) float64 {
		if calls[i] == 0 {
			return math.NaN()
		}
		took := elapsed(cs[i], how, calls[i], &b.overlap)
		return float64(took.Nanoseconds()) * float64(how.busy()) / float64(calls[i]*how.goroutines)
	})
	for i := range all {
		if calls[i] == 0 {
			all[i] = nil
		}
	}
	return all
}

// busy returns the number of processors that the loop keeps busy.
func (how setup) busy() int { return min(how.procs, how.goroutines) }

// calibrate returns how many calls a goroutine makes in about d.
func calibrate(c contender, how setup, d time.Duration) int {
	for n := 64; ; n *= 4 {
		if took := elapsed(c, how, n, nil); took >= d/8 {
			return max(4, int(float64(n)*float64(d)/float64(took))/4*4)
		}
	}
}

// elapsed returns how long the goroutines take for n calls each. If they are several, it adds to
// overlap how many processors they had.
func elapsed(c contender, how setup, n int, overlap *series) time.Duration {
	if how.beside {
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Microsecond):
					c.beside()
				}
			}
		}()
		defer func() { close(stop); <-stopped }()
	}
	if how.goroutines == 1 {
		since := how.clock()
		c.loop(n)
		return since()
	}
	gate := make(chan struct{})
	var ready, all sync.WaitGroup
	ready.Add(how.goroutines)
	for range how.goroutines {
		all.Go(func() {
			ready.Done()
			<-gate
			c.loop(n)
		})
	}
	ready.Wait()
	since, began := how.clock(), time.Now()
	close(gate)
	all.Wait()
	took := since()
	if overlap != nil {
		*overlap = append(*overlap, float64(took)/float64(time.Since(began)))
	}
	return took / time.Duration(how.busy())
}

// clock measures the processor time of this process. On a busy machine, a thread that waits for a
// processor would seem slow by any other clock. With beside, it measures real time, because the
// processor time of the starts and stops is not the caller's.
func (how setup) clock() (since func() time.Duration) {
	if how.beside {
		began := time.Now()
		return func() time.Duration { return time.Since(began) }
	}
	began := cpuTime()
	return func() time.Duration { return cpuTime() - began }
}

// cpuTime returns the time that this process has spent on all processors.
func cpuTime() time.Duration {
	var t unix.Timespec
	must(unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t))
	return time.Duration(t.Nano())
}

// heap returns what f allocates for each of its n parts.
func heap(n int, f func()) (allocs, bytes float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
}
