package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"
)

// A duel runs several clients in one process, in turns, so that a difference of a hundredth is
// visible.
type duel struct {
	Names   []string // of the clients
	Codecs  []string // of each client, see target; none: what each does by default
	Addr    string
	Topic   string
	Delay   time.Duration // added to a round trip
	Rounds  int
	Callers int // of a flood; 0: there is none
	Batch   int
	Size    int
	Text    bool          // payloads can be compressed
	For     time.Duration // a flood
	Lone    int           // lone writes a round
	Profile string        // the file for the processor profile, with the label client; none: it is not taken
}

// A score has the measurements of a client, one value for each round.
type score struct {
	PerSecond   series // of a flood
	CPU         series // µs a message, the same
	Lone        series // ms of lone writes, the median
	Late        series // the same, the 99th percentile
	Allocs      series // of a lone write
	Connections int    // that it had after its first flood
}

// A result is the result of a duel.
type result struct {
	Scores []score
	Sent   int64 // acknowledged, of all
}

func (d duel) do(ctx context.Context) (r result, err error) {
	senders := make([]sender, len(d.Names))
	if d.Profile != "" {
		f, err := os.Create(d.Profile)
		if err != nil {
			return r, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return r, err
		}
		defer pprof.StopCPUProfile()
	}
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
		d.as(i, func(ctx context.Context) {
			if senders[i], err = c.open(ctx, to); err == nil {
				err = d.turn(ctx, senders[i], nil, &r.Sent)
			}
		})
		if err != nil {
			return r, err
		}
		r.Scores[i].Connections = sockets() - before
	}
	err = turns(d.Rounds, len(d.Names), func(i int) (err error) {
		d.as(i, func(ctx context.Context) { err = d.turn(ctx, senders[i], &r.Scores[i], &r.Sent) })
		return err
	})
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

// as calls f for the client. Its goroutines have the client's name in the profile.
func (d duel) as(i int, f func(context.Context)) {
	pprof.Do(background, pprof.Labels("client", d.Names[i]), f)
}

// turn makes a flood and some lone writes with one client, and adds them to its score, if it has
// one.
func (d duel) turn(ctx context.Context, s sender, to *score, sent *int64) error {
	runtime.GC() // each begins with an empty heap
	var n int64
	if d.Callers > 0 {
		var f flow
		var err error
		if n, f, err = (flood{d.Callers, d.Batch, d.Size, d.Text, d.For}).run(ctx, s); err != nil {
			return err
		}
		if to != nil {
			to.PerSecond, to.CPU = append(to.PerSecond, f.PerSecond), append(to.CPU, f.CPU)
		}
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
		to.Lone, to.Late = append(to.Lone, series(ms).median()), append(to.Late, series(ms).at(0.99))
		to.Allocs = append(to.Allocs, float64(after.Mallocs-before.Mallocs)/float64(len(ms)))
	}
	return nil
}

// duel runs a duel on the cluster, on a topic of its own, and checks that the topic holds what was
// acknowledged.
func (c *cluster) duel(d duel, partitions int) (r result, err error) {
	d.Addr = c.addr
	err = c.measured(partitions, func(topic string) (int64, error) {
		d.Topic = topic
		if c.profiles != "" {
			d.Profile = filepath.Join(c.profiles, topic+".pprof")
		}
		n, err := c.touch(background, topic, partitions)
		if err != nil {
			return n, err
		}
		err = child(background, "duel", d, &r)
		return r.Sent + n, err
	})
	return r, err
}

// sockets returns the number of open sockets of this process, or 0 on systems other than Linux.
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
