package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The room is never exceeded, except by one that is larger than it and alone; and nobody
// waits without end.
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
				if !r.try(n) {
					ctx, cancel := context.WithCancel(context.Background())
					if rand.IntN(5) == 0 {
						cancel()
					}
					err := r.take(ctx, n)
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
					r.charge(-k)
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
		if !r.try(60) {
			t.Fatal("no room in an empty room")
		}
		var order []int64
		var mu sync.Mutex
		for _, n := range []int64{80, 10, 20} {
			go func() {
				if err := r.take(t.Context(), n); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, n)
				mu.Unlock()
				time.Sleep(time.Second)
				r.charge(-n)
			}()
			time.Sleep(time.Millisecond)
		}
		if r.try(1) {
			t.Error("one that does not wait overtakes those that do")
		}
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Millisecond, func() { cancel(cause) })
		if err := r.take(ctx, 5); err != cause {
			t.Errorf("take: %v", err)
		}
		r.charge(-60)
		time.Sleep(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(order) != 3 || order[2] != 20 || r.used.Load() != 0 {
			t.Errorf("the order is %v, %d used", order, r.used.Load())
		}
	})
}
