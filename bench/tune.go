package main

import (
	"context"
	"runtime"
	"time"
)

// tunings runs the Producer with different settings, in one process, in turns.
type tunings struct {
	Addr, Topic string
	Settings    []tuning
	Rounds      int
	For         time.Duration // each flood
	Callers     int           // of a call of Batch messages each
	Batch       int
	Singles     int // callers of a call of one message
	Lone        int
}

// tuned has the measurements of a setting, one value for each round.
type tuned struct {
	Bulk    series // messages a second, of callers with many
	Singles series // of callers with one
	Lone    series // ms, the median of lone writes
	Bytes   series // allocated by a lone write
}

// tuneResult is the result that a child returns.
type tuneResult struct {
	All  []tuned
	Sent int64 // acknowledged, of all settings
}

func (t tunings) do(ctx context.Context) (tuneResult, error) {
	all, sent, err := t.measure(ctx)
	return tuneResult{all, sent}, err
}

func (t tunings) measure(ctx context.Context) (all []tuned, sent int64, err error) {
	senders := make([]sender, len(t.Settings))
	for i, setting := range t.Settings {
		if senders[i], err = openProducer(ctx, target{Addr: t.Addr, Topic: t.Topic}, setting); err != nil {
			return nil, 0, err
		}
	}
	all = make([]tuned, len(senders))
	err = turns(t.Rounds, len(senders), func(i int) error {
		s, r := senders[i], &all[i]
		runtime.GC()
		n, bulk, err := flood{t.Callers, t.Batch, 100, false, t.For}.run(ctx, s)
		if err != nil {
			return err
		}
		m, singles, err := flood{t.Singles, 1, 100, false, t.For}.run(ctx, s)
		if err != nil {
			return err
		}
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ms, err := lone(ctx, s, t.Lone)
		runtime.ReadMemStats(&after)
		if err != nil {
			return err
		}
		sent += n + m + int64(len(ms))
		r.Bulk, r.Singles = append(r.Bulk, bulk.PerSecond), append(r.Singles, singles.PerSecond)
		r.Lone = append(r.Lone, series(ms).median())
		r.Bytes = append(r.Bytes, float64(after.TotalAlloc-before.TotalAlloc)/float64(len(ms)))
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	for _, s := range senders {
		if err := s.close(); err != nil {
			return nil, 0, err
		}
	}
	return all, sent, nil
}
