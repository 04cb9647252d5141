package main

import (
	"context"
	"os"
	"runtime"
	"strings"
	"time"
)

// A duel is several clients in one process, in turns, so that a difference of a hundredth can be
// seen.
type duel struct {
	Names   []string // of the clients
	Codecs  []string // of each client, see target; none: what each does by default
	Addr    string
	Topic   string
	Delay   time.Duration // added to a round trip
	Rounds  int
	Callers int
	Batch   int
	Size    int
	Text    bool          // payloads can be compressed
	For     time.Duration // a flood
	Lone    int           // lone writes a round
	Warm    time.Duration // the flood before the first round; 0: as the others
}

// A score is what a client made, a value a round.
type score struct {
	PerSecond   series // of a flood
	CPU         series // µs a message, the same
	Lone        series // ms of lone writes, the median
	Late        series // ms of each lone write of all rounds
	Allocs      series // of a lone write
	Connections int    // that it had after its first flood
}

// A result is that of a duel.
type result struct {
	Scores []score
	Sent   int64 // acknowledged, of all
}

func (d duel) do(ctx context.Context) (r result, err error) {
	senders := make([]sender, len(d.Names))
	warm := d
	warm.For = max(d.Warm, d.For)
	r.Scores = make([]score, len(d.Names))
	for i, name := range d.Names {
		c, err := clientNamed(name)
		if err != nil {
			return r, err
		}
		before := sockets()
		to := target{Addr: d.Addr, Topic: d.Topic, Delay: d.Delay}
		if d.Codecs != nil {
			to.Codec = d.Codecs[i]
		}
		if senders[i], err = c.open(ctx, to); err != nil {
			return r, err
		}
		if err := warm.turn(ctx, senders[i], nil, &r.Sent); err != nil {
			return r, err
		}
		r.Scores[i].Connections = sockets() - before
	}
	err = turns(d.Rounds, len(d.Names), func(i int) error { return d.turn(ctx, senders[i], &r.Scores[i], &r.Sent) })
	if err != nil {
		return r, err
	}
	for _, s := range senders {
		if err := s.close(); err != nil {
			return r, err
		}
	}
	return r, nil
}

// turn is a flood and some lone writes of one client, which goes to its score if it has one.
func (d duel) turn(ctx context.Context, s sender, to *score, sent *int64) error {
	runtime.GC() // each begins with an empty heap
	n, f, err := flood{d.Callers, d.Batch, d.Size, d.Text, d.For}.run(ctx, s)
	if err != nil {
		return err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	ms, err := lone(ctx, s, d.Lone)
	runtime.ReadMemStats(&after)
	if err != nil {
		return err
	}
	*sent += n + int64(len(ms))
	if to != nil {
		to.PerSecond, to.CPU = append(to.PerSecond, f.PerSecond), append(to.CPU, f.CPU)
		to.Lone, to.Late = append(to.Lone, series(ms).median()), append(to.Late, ms...)
		to.Allocs = append(to.Allocs, float64(after.Mallocs-before.Mallocs)/float64(len(ms)))
	}
	return nil
}

// duel runs one on the cluster, on a topic of its own, and sees that it holds what was acknowledged.
func (c *cluster) duel(d duel, partitions int) (r result, err error) {
	d.Addr = c.addr
	err = c.measured(partitions, func(topic string) (int64, error) {
		d.Topic = topic
		err := child(background, "duel", d, &r)
		return r.Sent, err
	})
	return r, err
}

// sockets is how many this process has open; on others than Linux 0.
func sockets() (n int) {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}
