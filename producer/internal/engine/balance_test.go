package engine

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A key goes where the Java client puts it: 1,000 keys and what its own partitioner
// (kafka-clients 4.1.0) said of them, which testdata/Partitions.java prints.
func TestKeysGoWhereJavaPutsThem(t *testing.T) {
	text, err := os.ReadFile("testdata/partitions.txt")
	if err != nil {
		t.Fatal(err)
	}
	counts := []int{3, 7, 50, 1000}
	topics := make([]*topic, len(counts))
	for i, n := range counts {
		all := make([]int, n)
		for p := range all {
			all[p] = p
		}
		topics[i] = &topic{name: "t"}
		topics[i].ids.Store(&all)
	}
	e, lengths, keys := New(Config{}), make(map[int]bool), 0
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		key, err := hex.DecodeString(f[0][1:])
		if err != nil || len(f) != 2+len(counts) {
			t.Fatal(line, err)
		}
		for i, n := range counts {
			got, err := e.balance(topics[i], n, &kafka.Message{Key: key})
			if err != nil || fmt.Sprint(got) != f[2+i] {
				t.Errorf("key %x goes to %d of %d (%v), with the Java client to %s", key, got, n, err, f[2+i])
			}
		}
		lengths[len(key)] = true
		keys++
	}
	if keys != 1000 || !lengths[0] || len(lengths) < 30 {
		t.Errorf("%d keys of %d lengths", keys, len(lengths))
	}
	t.Logf("CHECKED producer-keys java-vectors=%d partition-counts=%d", keys, len(counts))
}

// Messages without a key are spread evenly over the partitions that have a leader, a batch
// at a time to each; those of a call stand together.
func TestKeylessAreSpread(t *testing.T) {
	const partitions, leaderless = 7, 3
	spread := func(t *testing.T, e *Engine, calls int) []int {
		t.Helper()
		before := make([]uint32, partitions)
		all := (*e.topics.Load())["t"].all()
		for i, p := range all {
			before[i] = p.Batches()
		}
		for range calls {
			if err := e.Write(t.Context(), time.Now(), message("x"), message("y")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // a partition may be busy for a moment after its verdict, and is left out then
		}
		got := make([]int, partitions)
		for i, p := range all {
			got[i] = int(p.Batches() - before[i])
		}
		return got
	}
	bubble(t, 2, func(t *testing.T, b *testbroker.Broker) {
		e := start(t, config(b, "t"))
		for p, n := range spread(t, e, 700) {
			if n != 100 {
				t.Errorf("partition %d got %d of 700 calls, one after the other", p, n)
			}
		}
		(*e.topics.Load())["t"].all()[leaderless].Lead(nil)
		for p, n := range spread(t, e, 600) {
			if p != leaderless && n != 100 || p == leaderless && n > 0 {
				t.Errorf("partition %d got %d of 600 calls; partition %d has no leader", p, n, leaderless)
			}
		}
	}, kfake.SeedTopics(partitions, "t"))
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.Linger = time.Second
		e := start(t, cfg)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if err := e.Write(t.Context(), time.Now(), message("x")); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
		if n := e.Counters().Batches.Load(); n != 1 {
			t.Errorf("%d batches of 100 messages within the linger", n)
		}
	}, kfake.SeedTopics(partitions, "t"))
}

// While all partitions are busy, messages without a key gather in one; a partition that is
// idle again is preferred.
func TestKeylessGather(t *testing.T) {
	bubble(t, 3, func(t *testing.T, b *testbroker.Broker) {
		for p := range int32(3) {
			if err := b.Fake.MoveTopicPartition("t", p, p); err != nil {
				t.Fatal(err)
			}
		}
		var answer atomic.Bool
		slow := 0
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			if answer.Load() {
				return nil, nil, false
			}
			if b.Fake.CurrentNode() != 1 {
				return nil, nil, true
			}
			if slow++; slow > 1 {
				return nil, nil, true
			}
			b.Fake.SleepControl(func() { time.Sleep(time.Second) })
			return nil, nil, false
		})
		e := start(t, config(b, "t"))
		var all []*sent
		var at []int
		for i := range 20 {
			if i == 10 {
				time.Sleep(2 * time.Second) // partition 1 has its answer
			}
			d, err := send(t.Context(), e, message("x"))
			if err != nil {
				t.Fatal(err)
			}
			p, _ := d.Position(0)
			all, at = append(all, d), append(at, p)
			time.Sleep(time.Millisecond) // its request is sent, if it may be
		}
		if want := []int{0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2}; !slices.Equal(at, want) {
			t.Errorf("the messages went to %v, want %v", at, want)
		}
		answer.Store(true)
		for _, d := range all {
			if <-d.done; d.err != nil {
				t.Error(d.err)
			}
		}
	}, kfake.SeedTopics(3, "t"))
}

type balancer func(kafka.Message, ...int) int

func (f balancer) Balance(m kafka.Message, partitions ...int) int { return f(m, partitions...) }

// A message for which the balancer panics, or chooses a partition that is not there, is not
// sent; the others of its call are, and nothing is left of it (R52).
func TestBalancer(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.Balancer = balancer(func(m kafka.Message, _ ...int) int {
			var n int
			if _, err := fmt.Sscan(string(m.Value), &n); err != nil {
				panic("no number")
			}
			return n
		})
		cfg.MaxInFlight = 1000
		e := start(t, cfg)
		bad := []string{"-1", "2", "1073741824", "panic"}
		for _, v := range bad {
			err := e.Write(t.Context(), time.Now(), message("0"), message(v), message("1"), message(v))
			want := []core.Verdict{0, core.NotSent, 0, core.NotSent}
			if got := verdicts(t, err); fmt.Sprint(got) != fmt.Sprint(want) || !errors.Is(err, ErrBalancer) {
				t.Errorf("%s: the verdicts are %v: %v", v, got, err)
			}
			var p *fsm.PanicError
			if errors.As(err, &p) != (v == "panic") {
				t.Errorf("%s: %v", v, err)
			}
			d, err := send(t.Context(), e, message(v), message("1"))
			if err != nil {
				t.Fatal(err)
			}
			<-d.done
			if got := verdicts(t, d.err); got[0] != core.NotSent || got[1] != 0 || !errors.Is(d.err, ErrBalancer) {
				t.Errorf("Send %s: %v: %v", v, got, d.err)
			}
			if p, offset := d.Position(0); p != -1 || offset != -1 {
				t.Errorf("Send %s: its position is %d, %d", v, p, offset)
			}
			for _, all := range [][]kafka.Message{{message(v)}, {message(v), message(v)}} {
				if got := verdicts(t, e.Write(t.Context(), time.Now(), all...)); got[0] != core.NotSent {
					t.Errorf("%s alone: %v", v, got)
				}
				d, err := send(t.Context(), e, all...)
				if got := verdicts(t, err); got[0] != core.NotSent {
					t.Errorf("Send %s alone: %v", v, got)
				}
				if d.ended() {
					t.Error("Ended is called of a Send that has admitted nothing")
				}
			}
		}
		synctest.Wait() // the room is given back a moment after the verdict
		if n := e.InFlight(); n != 0 {
			t.Errorf("%d bytes are in flight", n)
		}
		if n, want := e.Counters().Admitted.Load(), int64(3*len(bad)); n != want {
			t.Errorf("%d messages are admitted, want %d", n, want)
		}
		if found := values(t, b, "t"); len(found[0]) != len(bad) || len(found[1]) != 2*len(bad) {
			t.Errorf("the log has %v", found)
		}
		hung := b.Hang(kmsg.Produce) // what needs no room does not wait for any
		if _, err := send(t.Context(), e, kafka.Message{Value: fmt.Appendf(nil, "%-2000d", 0)}); err != nil {
			t.Fatal(err)
		}
		waits := make(chan error, 1)
		go func() { waits <- e.Write(t.Context(), time.Now(), message("0")) }()
		time.Sleep(time.Second)
		began := time.Now()
		if got := verdicts(t, e.Write(t.Context(), time.Now(), message("panic"))); got[0] != core.NotSent || time.Since(began) > 0 {
			t.Errorf("%v after %v", got, time.Since(began))
		}
		hung.Set(false)
		if err := <-waits; err != nil {
			t.Error(err)
		}
	}, kfake.SeedTopics(2, "t"))
}
