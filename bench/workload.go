package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A workload is what a child process does with one client.
type workload struct {
	Client, Codec  string // see target
	Addr, Topic    string
	Firsts         int           // how often it is opened, for its first write
	Lone           int           // writes of one message, one after the other
	Callers, Batch int           // then: so many at once, so many messages a call,
	For            time.Duration // for so long, of 100 B; and again of 1 KiB
}

// A yield is the result of a client for a workload.
type yield struct {
	Sent        int64     // acknowledged
	Lost        int64     // of them, those that the topic does not hold
	Firsts      []float64 // ms of the first write after each open
	Laters      []float64 // ms, the median of the writes that followed it, one upon the other
	Rested      []float64 // ms of one more, after a rest
	Inside      []float64 // µs of Firsts in the client: see stopwatch
	InsideLater []float64 // the same, of Laters
	P50, P99    float64   // ms of a lone write
	Small       flow      // of 100 B
	Large       flow      // of 1 KiB
	PeakRSS, Go float64   // MB; Go: of them, what this program has without a client
}

// A flow is messages a second, and the processor time that the client's process spent on each.
type flow struct {
	PerSecond float64
	CPU       float64 // µs of processor time a message
}

// run runs a workload in a process of its own, on a new topic, and checks that the topic then holds
// what was acknowledged.
func (c *cluster) run(ctx context.Context, w workload) (yield, error) {
	topic, err := c.topic(ctx)
	if err != nil {
		return yield{}, err
	}
	w.Addr, w.Topic = c.addr, topic
	var y yield
	if err := child(ctx, "client", w, &y); err != nil {
		return y, fmt.Errorf("%s on %s: %w", w.Client, c.name, err)
	}
	n, err := c.ends(ctx, topic)
	if w.Client == bareWriter { // which asks for no acknowledgement: some may be on their way
		for i := 0; i < 100 && err == nil && n < y.Sent; i++ {
			time.Sleep(20 * time.Millisecond)
			n, err = c.ends(ctx, topic)
		}
		y.Lost = y.Sent - n
	} else if err == nil && n != y.Sent {
		err = fmt.Errorf("%s on %s: %d messages were acknowledged, the topic holds %d", w.Client, c.name, y.Sent, n)
	}
	if err == nil {
		err = c.remove(ctx, topic)
	}
	return y, err
}

// child runs this program as a child for one workload, from JSON to JSON.
func child(ctx context.Context, what string, in, out any) error {
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-child", what)
	cmd.Stdin = bytes.NewReader(text)
	var result, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &result, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	return json.Unmarshal(result.Bytes(), out)
}

// beChild is main in a child.
func beChild(what string) error {
	if kind, ok := strings.CutPrefix(what, "broker:"); ok {
		return serve(kind)
	}
	ctx := context.Background()
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	switch what {
	case "client":
		var w workload
		if err := in.Decode(&w); err != nil {
			return err
		}
		y, err := w.do(ctx)
		if err != nil {
			return err
		}
		return out.Encode(y)
	case "duel":
		var d duel
		if err := in.Decode(&d); err != nil {
			return err
		}
		r, err := d.do(ctx)
		if err != nil {
			return err
		}
		return out.Encode(r)
	case "tune":
		var t tunings
		if err := in.Decode(&t); err != nil {
			return err
		}
		r, err := t.do(ctx)
		if err != nil {
			return err
		}
		return out.Encode(r)
	}
	return fmt.Errorf("no child is called %q", what)
}

// rest is long enough for the processors to run something else, or to sleep.
const rest = 20 * time.Millisecond

func (w workload) do(ctx context.Context) (y yield, err error) {
	y.Go = rss("VmRSS")
	random() // takes milliseconds
	c, err := clientNamed(w.Client)
	if err != nil {
		return y, err
	}
	to := target{Addr: w.Addr, Topic: w.Topic, Codec: w.Codec, watch: new(stopwatch)}
	for range w.Firsts {
		s, err := c.open(ctx, to)
		if err != nil {
			return y, err
		}
		var writes, inside series
		for range 10 {
			var ms []float64
			us, err := to.watch.inside(func() (err error) {
				ms, err = lone(ctx, s, 1)
				return err
			})
			if err != nil {
				return y, err
			}
			writes, inside = append(writes, ms[0]), append(inside, us)
		}
		time.Sleep(rest)
		rested, err := lone(ctx, s, 1)
		if err != nil {
			return y, err
		}
		y.Sent += int64(len(writes) + len(rested))
		y.Firsts, y.Laters, y.Rested = append(y.Firsts, writes[0]), append(y.Laters, writes[1:].median()), append(y.Rested, rested[0])
		y.Inside, y.InsideLater = append(y.Inside, inside[0]), append(y.InsideLater, inside[1:].median())
		if err := s.close(); err != nil {
			return y, err
		}
	}
	to.watch = nil
	s, err := c.open(ctx, to)
	if err != nil {
		return y, err
	}
	ms, err := lone(ctx, s, w.Lone)
	if err != nil {
		return y, err
	}
	y.Sent += int64(len(ms))
	if len(ms) > 1 { // the first connects
		ms = ms[1:]
	}
	y.P50, y.P99 = series(ms).median(), series(ms).at(0.99)
	for _, x := range []struct {
		size int
		to   *flow
	}{{100, &y.Small}, {1024, &y.Large}} {
		n, f, err := flood{w.Callers, w.Batch, x.size, false, w.For}.run(ctx, s)
		if err != nil {
			return y, err
		}
		y.Sent += n
		*x.to = f
	}
	y.PeakRSS = rss("VmHWM")
	return y, s.close()
}

// loneSize is the size of a lone write, in bytes.
const loneSize = 100

// lone writes a message, n times, or for two seconds, one after the other.
func lone(ctx context.Context, s sender, n int) (ms []float64, err error) {
	value := [][]byte{payload(loneSize)}
	for began := time.Now(); len(ms) < n && time.Since(began) < 2*time.Second; {
		t := time.Now()
		if err := s.send(ctx, value); err != nil {
			return ms, err
		}
		ms = append(ms, float64(time.Since(t).Nanoseconds())/1e6)
	}
	return ms, nil
}

// A flood sends as many messages as a client takes.
type flood struct {
	callers, batch, size int // so many callers, so many messages a call, so many bytes each
	text                 bool
	d                    time.Duration
}

func (f flood) run(ctx context.Context, s sender) (int64, flow, error) {
	var sent atomic.Int64
	var all sync.WaitGroup
	failed := make(chan error, f.callers)
	random()
	cpu, began := cpuTime(), time.Now()
	for range f.callers {
		all.Go(func() {
			values := make([][]byte, f.batch)
			for i := range values {
				if f.text {
					values[i] = text(f.size)
				}
			}
			for time.Since(began) < f.d {
				for i := range values {
					if !f.text {
						values[i] = payload(f.size)
					}
				}
				if err := s.send(ctx, values); err != nil {
					failed <- err
					return
				}
				sent.Add(int64(f.batch))
			}
		})
	}
	all.Wait()
	took, spent, n := time.Since(began), cpuTime()-cpu, sent.Load()
	select {
	case err := <-failed:
		return n, flow{}, err
	default:
		return n, flow{float64(n) / took.Seconds(), float64(spent.Nanoseconds()) / 1e3 / float64(n)}, nil
	}
}

// rss returns a figure of /proc/self/status in MB, or 0 on systems other than Linux.
func rss(name string) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil || runtime.GOOS != "linux" {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), name+":")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kb, _ := strconv.ParseFloat(fields[0], 64)
	return kb / 1024
}
