package scheduler

import "iter"

// thread is a coroutine and the point at which it stands.
type thread struct {
	w    *World
	f    func() // what it runs
	at   point
	over bool // f has returned

	home  *threads
	next  func() (struct{}, bool)
	yield func(struct{}) bool
}

// threads keeps ended coroutines for the next world. To make a coroutine, and to grow its stack
// again, costs as much as many steps.
type threads struct {
	free  []*thread
	stops []func() // of all that were made
}

// run returns a thread that has not been resumed yet.
func (p *threads) run(w *World, f func()) *thread {
	var t *thread
	if n := len(p.free); n > 0 {
		t, p.free = p.free[n-1], p.free[:n-1]
	} else {
		t = &thread{home: p}
		var stop func()
		t.next, stop = iter.Pull(t.loop)
		p.stops = append(p.stops, stop)
	}
	t.w, t.f, t.over = w, f, false
	return t
}

// close ends the coroutines. Every world that used them must be closed.
func (p *threads) close() {
	for _, stop := range p.stops {
		stop()
	}
}

func (t *thread) loop(yield func(struct{}) bool) {
	t.yield = yield
	for {
		t.f()
		t.over = true
		t.w, t.f, t.at = nil, nil, point{}
		if !yield(struct{}{}) {
			return
		}
	}
}

// resume lets the thread run to its next point, or to its end.
func (t *thread) resume() {
	t.next()
	if t.over {
		t.home.free = append(t.home.free, t)
	}
}

// pause stops the thread at a point. It is called on the thread's own goroutine.
func (t *thread) pause(p point) {
	if t.at = p; !t.w.closing {
		t.stand(p)
	}
}

// stand is pause, also when the world is closed.
func (t *thread) stand(p point) {
	t.at = p
	t.yield(struct{}{})
}
