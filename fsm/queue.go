package fsm

import "sync"

// A queue holds, in order, the values that one observer, or the logger, has not yet
// received. It has no bound: no value is lost, and no sender waits for a slow receiver.
// Its lock is the innermost; it is not held during a call of foreign code.
type queue[T any] struct {
	mu       sync.Mutex
	first    *queued[T] // if draining, the one that is being delivered
	last     *queued[T]
	length   int
	draining bool // a goroutine delivers, or is about to start
}

type queued[T any] struct {
	value     T
	next      *queued[T]
	delivered chan struct{} // closed once the value is delivered; nil: no flush waits for it
}

// push appends value. If it returns true, no goroutine delivers: the caller must start a
// goroutine that calls drain.
func (q *queue[T]) push(value T) (start bool) {
	item := &queued[T]{value: value}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last == nil {
		q.first = item
	} else {
		q.last.next = item
	}
	q.last = item
	q.length++
	start = !q.draining
	q.draining = true
	return start
}

// drain calls receive for each value, one at a time, until the queue is empty. A receive
// that calls runtime.Goexit ends this goroutine: a new one continues.
func (q *queue[T]) drain(spawn func(func()), receive func(T)) {
	exited := true
	defer func() {
		if exited {
			spawn(func() { q.drain(spawn, receive) })
		}
	}()
	for item := q.head(); item != nil; item = q.head() {
		q.deliver(item.value, receive)
	}
	exited = false
}

// head returns the first item. If there is none, it returns nil and ends the draining.
func (q *queue[T]) head() *queued[T] {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.draining = q.first != nil
	return q.first
}

// deliver calls receive with the value of the first item. The item counts as delivered even
// if receive panics or exits the goroutine.
func (q *queue[T]) deliver(value T, receive func(T)) {
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		item := q.first
		if q.first = item.next; q.first == nil {
			q.last = nil
		}
		q.length--
		if item.delivered != nil {
			close(item.delivered)
		}
	}()
	receive(value)
}

// flushed returns a channel that is closed once everything queued now is delivered; nil if
// the queue is empty. Callers share the channel, so that calls behind a receiver that hangs
// do not allocate one each.
func (q *queue[T]) flushed() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last == nil {
		return nil
	}
	if q.last.delivered == nil {
		q.last.delivered = make(chan struct{})
	}
	return q.last.delivered
}

func (q *queue[T]) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.length
}
