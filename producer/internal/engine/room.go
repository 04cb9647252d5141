package engine

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// A room bounds the bytes in flight. Taking and giving back are one atomic each while there
// is room. A taker that finds none waits, first come, first served.
type room struct {
	max     int64
	used    atomic.Int64
	waiting atomic.Int32 // len(queue), for the path without the lock

	mu    sync.Mutex
	queue []*waiter // Invariant: the first does not fit
}

type waiter struct {
	n       int64
	granted chan struct{} // closed when n was taken for it
}

// try takes n bytes, if they are there and no taker waits. More than there is at all is there
// when nothing else is taken.
func (r *room) try(n int64) bool { return r.waiting.Load() == 0 && r.fits(n) }

// take takes n bytes, or waits for them until ctx ends. It returns ctx's cause then.
func (r *room) take(ctx context.Context, n int64) error {
	r.mu.Lock()
	// Counted before the last try: a give that comes after that try sees it.
	r.waiting.Add(1)
	if len(r.queue) == 0 && r.fits(n) {
		r.waiting.Add(-1)
		r.mu.Unlock()
		return nil
	}
	w := &waiter{n, make(chan struct{})}
	r.queue = append(r.queue, w)
	r.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
		if r.leave(w) {
			return context.Cause(ctx)
		}
		return nil // it was granted meanwhile
	}
}

func (r *room) fits(n int64) bool {
	for {
		used := r.used.Load()
		if used > 0 && used+n > r.max {
			return false
		}
		if r.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// charge takes n bytes that are in use already; a negative n gives back.
func (r *room) charge(n int64) {
	r.used.Add(n)
	if n < 0 && r.waiting.Load() > 0 {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.grantLocked()
	}
}

func (r *room) grantLocked() {
	for len(r.queue) > 0 && r.fits(r.queue[0].n) {
		close(r.queue[0].granted)
		r.queue[0] = nil
		r.queue = r.queue[1:]
		r.waiting.Add(-1)
	}
}

// leave takes out a waiter; false if it was granted.
func (r *room) leave(w *waiter) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.queue, w)
	if i < 0 {
		return false
	}
	r.queue = slices.Delete(r.queue, i, i+1)
	r.waiting.Add(-1)
	r.grantLocked() // the next one may fit
	return true
}
