package main

import (
	"context"
	"runtime"
	"time"
)

// A duel is the Producer and kafka-go's Writer in one process, in turns, so
// that a difference of a hundredth can be seen.
type duel struct {
	Addr, Topic string
	Rounds      int
	Callers     int
	Batch, Size int
	For         time.Duration // a flood
	Lone        int           // lone writes a round
}

// A score is a value a round, of the Producer and of the Writer.
type score struct {
	PerSecond, CPU, Lone, Allocs [2]series
	Sent                         int64
}

func (d duel) do(ctx context.Context) (r score, err error) {
	var senders [2]sender
	for i, name := range []string{theProducer, theWriter} {
		c, err := clientNamed(name)
		if err != nil {
			return r, err
		}
		if senders[i], err = c.open(ctx, d.Addr, d.Topic); err != nil {
			return r, err
		}
	}
	value := [][]byte{make([]byte, 100)}
	for round := -1; round < d.Rounds; round++ { // the first warms up
		for turn := range 2 {
			i := (turn + max(round, 0)) % 2
			runtime.GC() // each begins with an empty heap
			n, f, err := flood(ctx, senders[i], d.Callers, d.Batch, d.Size, d.For)
			if err != nil {
				return r, err
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			ms, err := lone(ctx, senders[i], value, d.Lone)
			runtime.ReadMemStats(&after)
			if err != nil {
				return r, err
			}
			r.Sent += n + int64(len(ms))
			if round < 0 {
				continue
			}
			r.PerSecond[i] = append(r.PerSecond[i], f.PerSecond)
			r.CPU[i] = append(r.CPU[i], f.CPU)
			r.Lone[i] = append(r.Lone[i], series(ms).median())
			r.Allocs[i] = append(r.Allocs[i], float64(after.Mallocs-before.Mallocs)/float64(len(ms)))
		}
	}
	for _, s := range senders {
		if err := s.close(); err != nil {
			return r, err
		}
	}
	return r, nil
}
