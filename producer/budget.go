package producer

import (
	"sync"
	"sync/atomic"
)

// A budget bounds the bytes in flight. Taking and giving back are one atomic each
// while there is room; whoever finds none queues, first come first served.
type budget struct {
	max     int64
	used    atomic.Int64
	waiting atomic.Int32 // len(queue), for the path without the lock

	mu    sync.Mutex
	queue []*applicant // Invariant: the first does not fit
}

type applicant struct {
	n       int64
	granted chan struct{} // closed when n has been taken for it
}

// take returns nil if n bytes were taken, else the applicant that waits for them.
// More than there is at all counts as all there is: it waits until it is alone.
func (b *budget) take(n int64) *applicant {
	if b.waiting.Load() == 0 && b.fits(n) {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	// Counted before the last try: a give that comes after that try sees it.
	b.waiting.Add(1)
	if len(b.queue) == 0 && b.fits(n) {
		b.waiting.Add(-1)
		return nil
	}
	a := &applicant{n, make(chan struct{})}
	b.queue = append(b.queue, a)
	return a
}

func (b *budget) fits(n int64) bool {
	n = min(n, b.max)
	for {
		used := b.used.Load()
		if used+n > b.max {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// give returns n bytes that were taken.
func (b *budget) give(n int64) {
	b.used.Add(-min(n, b.max))
	if b.waiting.Load() > 0 {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.grantLocked()
	}
}

func (b *budget) grantLocked() {
	for len(b.queue) > 0 && b.fits(b.queue[0].n) {
		close(b.queue[0].granted)
		b.queue[0] = nil
		b.queue = b.queue[1:]
		b.waiting.Add(-1)
	}
}

// leave takes an applicant out that waits no longer; false if it was granted.
func (b *budget) leave(a *applicant) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, q := range b.queue {
		if q == a {
			b.queue = append(b.queue[:i:i], b.queue[i+1:]...)
			b.waiting.Add(-1)
			b.grantLocked() // whoever is behind it may fit
			return true
		}
	}
	return false
}
