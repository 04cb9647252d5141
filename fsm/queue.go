package fsm

import "sync"

// A queue is what one observer, or the logger, has yet to receive, in order. It has
// no bound: nothing is lost, and nobody waits for a slow receiver. Its lock is the
// innermost; nothing foreign is called under it.
type queue[T any] struct {
	mu       sync.Mutex
	first    *queued[T] // the receiver has it, if draining
	last     *queued[T]
	length   int
	draining bool // a goroutine is, or is about to be
}

type queued[T any] struct {
	value     T
	next      *queued[T]
	delivered chan struct{} // closed once it is; nil: nobody waits for that
}

// push appends value. If it returns true, the caller starts a goroutine that runs
// drain: there is none.
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

// drain gives receive what is queued, one at a time, until nothing is. A receive that
// calls runtime.Goexit takes this goroutine with it: another one goes on.
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

// head returns the item that is due; nil, and nobody drains any more, if there is none.
func (q *queue[T]) head() *queued[T] {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.draining = q.first != nil
	return q.first
}

// deliver gives receive the first item. However that ends, the item is delivered.
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

// flushed returns a channel that is closed once everything queued now is delivered;
// nil if nothing is queued. Those who ask meanwhile share it: what waits for a
// receiver that hangs does not add up.
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
