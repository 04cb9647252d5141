package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

// The room is never exceeded, except by a single call that needs more than all of it. No call waits
// without end.
func TestRoom(t *testing.T) {
	r := room{max: 100}
	var held atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 300 {
				n := 1 + rand.Int64N(40)
				if rand.IntN(20) == 0 {
					n = 150
				}
				if !r.try(demand{n: n}) {
					ctx, cancel := context.WithCancel(context.Background())
					if rand.IntN(5) == 0 {
						cancel()
					}
					err := r.take(ctx, demand{n: n})
					cancel()
					if err != nil {
						continue
					}
				}
				if now := held.Add(n); now > 100 && now != n {
					t.Errorf("%d bytes of 100 are held", now)
				}
				held.Add(-n)
				for n > 0 { // it is given back in pieces
					k := min(n, 1+rand.Int64N(40))
					r.charge(nil, -k)
					n -= k
				}
			}
		})
	}
	wg.Wait()
	if used, waiting := r.used.Load(), r.waiting.Load(); used != 0 || waiting != 0 || len(r.queue) != 0 {
		t.Errorf("%d bytes used, %d wait", used, waiting)
	}
}

// First come, first served: a small one does not overtake a large one that waits.
func TestRoomIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room{max: 100}
		if !r.try(demand{n: 60}) {
			t.Fatal("no room in an empty room")
		}
		var order []int64
		var mu sync.Mutex
		for _, n := range []int64{80, 10, 20} {
			go func() {
				if err := r.take(t.Context(), demand{n: n}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, n)
				mu.Unlock()
				time.Sleep(time.Second)
				r.charge(nil, -n)
			}()
			time.Sleep(time.Millisecond)
		}
		if r.try(demand{n: 1}) {
			t.Error("one that does not wait overtakes those that do")
		}
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Millisecond, func() { cancel(cause) })
		if err := r.take(ctx, demand{n: 5}); err != cause {
			t.Errorf("take: %v", err)
		}
		r.charge(nil, -60)
		time.Sleep(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(order) != 3 || order[2] != 20 || r.used.Load() != 0 {
			t.Errorf("the order is %v, %d used", order, r.used.Load())
		}
	})
}

// A message that lingers is sent at once when a call waits for its room.
func TestNothingLingersWhileACallWaits(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		cfg := config(b, "t")
		cfg.Linger, cfg.DeliveryTimeout, cfg.MaxInFlight = time.Hour, 2*time.Hour, 1000
		e := start(t, cfg)
		large := kafka.Message{Value: make([]byte, 800)}
		first, err := send(t.Context(), e, large)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if first.ended() {
			t.Fatal("it does not linger")
		}
		began := time.Now()
		second, err := send(t.Context(), e, large) // it has to wait for the room of the first
		if err != nil {
			t.Fatal(err)
		}
		if <-first.done; first.err != nil || time.Since(began) > 0 {
			t.Errorf("a call waited %v for the room of a message that lingers: %v", time.Since(began), first.err)
		}
		if <-second.done; second.err != nil || time.Since(began) != time.Hour {
			t.Errorf("the next message, for whose room no call waits, lingered %v: %v", time.Since(began), second.err)
		}
	}, kfake.SeedTopics(1, "t"))
}

// sharedRoom is a room, and partitions that share it.
func sharedRoom(bytes int64, n int) (*room, []*sender.Partition) {
	r := &room{max: bytes}
	r.shared.Store(true)
	var all []*sender.Partition
	for i := range n {
		all = append(all, sender.NewPartition(&sender.Config{Mode: core.Acknowledged}, "t", int32(i)))
	}
	return r, all
}

// demands n bytes for each partition.
func demands(n int64, partitions ...*sender.Partition) demand {
	d := demand{n: n * int64(len(partitions))}
	for _, p := range partitions {
		d.parts = append(d.parts, part{p: p, room: n})
	}
	return d
}

// A partition that gives nothing back keeps at most half of the room, two keep a third each. A call
// that waits for such a partition delays no other, and holds nothing meanwhile.
func TestRoomOfDeadPartitions(t *testing.T) {
	for _, dead := range []int{1, 2, 5} {
		synctest.Test(t, func(t *testing.T) {
			r, all := sharedRoom(1000, 8)
			ctx, cancel := context.WithCancelCause(t.Context())
			var wg sync.WaitGroup
			for i := range 200 {
				d := demands(10, all[i%dead])
				if i%2 == 0 {
					d = demands(10, all[i%dead], all[7])
				}
				wg.Go(func() {
					if r.try(d) || r.take(ctx, d) == nil {
						if len(d.parts) > 1 {
							r.charge(all[7], -10) // it lives
						}
					}
				})
			}
			synctest.Wait()
			for p := range dead {
				if held, want := all[p].Held(), int64(1000/(dead+1)); held < want-20 || held > want+20 {
					t.Errorf("%d dead partitions: one holds %d bytes, want about %d", dead, held, want)
				}
			}
			if all[7].Held() != 0 || r.waiting.Load() == 0 {
				t.Errorf("%d bytes are held by the other one, %d wait", all[7].Held(), r.waiting.Load())
			}
			for range 100 {
				d := demands(10, all[6], all[7])
				if !r.try(d) {
					began := time.Now()
					if err := r.take(t.Context(), d); err != nil || time.Since(began) > 0 {
						t.Fatalf("one that lives waited %v: %v", time.Since(began), err)
					}
				}
				r.charge(all[6], -10)
				r.charge(all[7], -10)
			}
			cancel(errors.New("enough"))
			wg.Wait()
			if r.waiting.Load() != 0 || len(r.queue) != 0 || len(r.apart) != 0 {
				t.Errorf("%d wait, %d in the queue, %d apart", r.waiting.Load(), len(r.queue), len(r.apart))
			}
		})
	}
}

// Many calls take room and leave, for one partition and several. The room is never exceeded, no
// call waits without end, and nothing is left.
func TestRoomIsShared(t *testing.T) {
	r, all := sharedRoom(100, 5)
	var held atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 300 {
				var some []*sender.Partition
				for _, i := range rand.Perm(len(all))[:1+rand.IntN(3)] {
					some = append(some, all[i])
				}
				d := demands(1+rand.Int64N(20), some...)
				if rand.IntN(20) == 0 {
					d = demands(150, some[0])
				}
				if !r.try(d) {
					ctx, cancel := context.WithCancel(context.Background())
					if rand.IntN(5) == 0 {
						cancel()
					}
					err := r.take(ctx, d)
					cancel()
					if err != nil {
						continue
					}
				}
				if now := held.Add(d.n); now > 100 && now != d.n {
					t.Errorf("%d bytes of 100 are held", now)
				}
				if rand.IntN(4) == 0 {
					runtime.Gosched()
				}
				held.Add(-d.n)
				for i := range d.parts {
					r.charge(d.parts[i].p, -d.parts[i].room)
				}
			}
		})
	}
	wg.Wait()
	if used, waiting := r.used.Load(), r.waiting.Load(); used != 0 || waiting != 0 || len(r.queue) != 0 || len(r.apart) != 0 {
		t.Errorf("%d bytes used, %d wait", used, waiting)
	}
	for _, p := range all {
		if p.Held() != 0 {
			t.Errorf("partition %d holds %d bytes", p.Number(), p.Held())
		}
	}
}
