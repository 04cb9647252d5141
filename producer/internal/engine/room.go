package engine

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

// A room limits the bytes in flight. Taking and giving back are a few atomic operations while there
// is room. Otherwise takers wait, first come, first served.
//
// A partition that holds some of the room gets more only while it holds no more than the room that
// is free. One partition that cannot be written to thus leaves half of the room to the others; two
// leave a third. A taker that waits because of this rule waits apart, and takers for other
// partitions do not wait for it.
type room struct {
	max   int64
	waits func() // if not nil, called when the first taker starts to wait; it may call Partitions

	used    atomic.Int64
	waiting atomic.Int32 // takers that wait, for the path without the lock
	shared  atomic.Bool  // several partitions use the room: the rule applies

	mu    sync.Mutex
	queue []*waiter // Invariant: the first does not fit
	// apart are the takers that wait until their partition holds less. Invariant: the partition
	// holds something.
	apart map[*sender.Partition][]*waiter
}

// A demand is what a taker needs: n bytes, most of them for partitions.
type demand struct {
	n     int64
	parts []part
}

type waiter struct {
	demand
	apart   *sender.Partition // for which it waits apart; nil: it is in the queue
	granted chan struct{}     // closed when what it wants was taken for it
}

// try takes the demand if there is room and no taker waits. A demand larger than the whole room
// fits when nothing else is taken.
func (r *room) try(d demand) bool {
	if r.waiting.Load() > 0 {
		return false
	}
	ok, over := r.fits(d)
	// A waiter may have been refused because of the bytes that fits took and gave back.
	if over != nil && r.waiting.Load() > 0 {
		r.mu.Lock()
		r.grantLocked()
		r.mu.Unlock()
	}
	return ok
}

// take takes the demand, or waits for room until ctx ends. It returns ctx's cause then.
func (r *room) take(ctx context.Context, d demand) error {
	w := &waiter{demand: d, granted: make(chan struct{})}
	r.mu.Lock()
	// Counted before the last try: a give that comes after that try sees it.
	first := r.waiting.Add(1) == 1
	r.addLocked(w)
	r.grantLocked()
	r.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	default:
	}
	if first && r.waits != nil {
		r.waits()
	}
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	left, apart := r.leave(w)
	switch {
	case !left:
		return nil // it was granted meanwhile
	case apart != nil:
		return apart.Because(context.Cause(ctx))
	}
	return context.Cause(ctx)
}

// fits takes the demand if there is room. If a partition would hold too much, fits returns that
// partition.
func (r *room) fits(d demand) (ok bool, over *sender.Partition) {
	used := r.used.Load()
	for {
		if used > 0 && used+d.n > r.max {
			return false, nil
		}
		if r.used.CompareAndSwap(used, used+d.n) {
			break
		}
		used = r.used.Load()
	}
	// The share is checked after the bytes are taken. Otherwise two takers could count the same
	// free bytes.
	for i := range d.parts {
		p, n := d.parts[i].p, d.parts[i].room
		if held := p.Hold(n); held > n && held > r.max-(r.used.Load()-d.n) && r.shared.Load() {
			for ; i >= 0; i-- {
				d.parts[i].p.Hold(-d.parts[i].room)
			}
			r.used.Add(-d.n)
			return false, p
		}
	}
	return true, nil
}

// full reports whether a partition holds all that it may.
func (r *room) full(p *sender.Partition) bool {
	held := p.Held()
	return held > 0 && held >= r.max-r.used.Load() && r.shared.Load()
}

// charge takes n bytes that are in use already, for a partition or nil. A negative n gives bytes back.
func (r *room) charge(p *sender.Partition, n int64) {
	if p != nil {
		p.Hold(n)
	}
	r.used.Add(n)
	if n < 0 && r.waiting.Load() > 0 {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.grantLocked()
	}
}

// addLocked puts a waiter behind those that it must not overtake.
func (r *room) addLocked(w *waiter) {
	for i := range w.parts {
		if p := w.parts[i].p; len(r.apart[p]) > 0 {
			r.setApartLocked(w, p)
			return
		}
	}
	r.queue = append(r.queue, w)
}

func (r *room) setApartLocked(w *waiter, p *sender.Partition) {
	if r.apart == nil {
		r.apart = make(map[*sender.Partition][]*waiter)
	}
	w.apart = p
	r.apart[p] = append(r.apart[p], w)
}

// grantLocked serves waiters while there is room.
func (r *room) grantLocked() {
	for p, list := range r.apart {
		if p.Held() == 0 { // nothing that it gives back would wake them
			for _, w := range list {
				w.apart = nil
			}
			r.queue = append(r.queue, list...)
			delete(r.apart, p)
		}
	}
	for len(r.queue) > 0 {
		w := r.queue[0]
		ok, over := r.fits(w.demand)
		if !ok && over == nil {
			return
		}
		r.queue[0] = nil
		r.queue = r.queue[1:]
		if ok {
			r.grantedLocked(w)
		} else {
			r.setApartLocked(w, over)
		}
	}
	for p, list := range r.apart {
		for len(list) > 0 {
			if ok, _ := r.fits(list[0].demand); !ok {
				break
			}
			r.grantedLocked(list[0])
			list = list[1:]
		}
		r.setLocked(p, list)
	}
}

func (r *room) grantedLocked(w *waiter) {
	r.waiting.Add(-1) // first: it lingers unless others wait
	close(w.granted)
}

func (r *room) setLocked(p *sender.Partition, list []*waiter) {
	if len(list) == 0 {
		delete(r.apart, p)
	} else {
		r.apart[p] = list
	}
}

// leave removes a waiter, and returns the partition that it waited apart for; false if it was
// granted.
func (r *room) leave(w *waiter) (left bool, apart *sender.Partition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.queue
	if w.apart != nil {
		list = r.apart[w.apart]
	}
	i := slices.Index(list, w)
	if i < 0 {
		return false, nil
	}
	list = slices.Delete(list, i, i+1)
	if w.apart != nil {
		r.setLocked(w.apart, list)
	} else {
		r.queue = list
	}
	r.waiting.Add(-1)
	r.grantLocked() // the next one may fit
	return true, w.apart
}
