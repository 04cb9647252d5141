package producer

import (
	"sync"
	"time"
)

// overdue ends the deliveries that have no result when their DeliveryTimeout has
// passed. They are a list in the order of their deadlines, which is nearly that in
// which they come, with one timer for all. The tempting timer for each is two
// allocations more, and as many goroutines at once as there are overdue.
type overdue struct {
	mu          sync.Mutex
	first, last *Delivery
	timer       *time.Timer
	at          time.Time // when the timer fires; zero: it does not
	stopped     bool
}

// A deadline is a delivery's place in the list, guarded by its mutex.
type deadline struct {
	at         time.Time
	next, prev *Delivery
	listed     bool
	over       bool // it has its result: too late to be listed
}

func (o *overdue) add(d *Delivery, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d.due.over {
		return
	}
	d.due.at, d.due.listed = at, true
	prev := o.last
	for prev != nil && prev.due.at.After(at) { // who had to wait comes late
		prev = prev.due.prev
	}
	o.insertLocked(d, prev)
	if o.first == d {
		o.wakeLocked(at)
	}
}

func (o *overdue) insertLocked(d, prev *Delivery) {
	next := o.first
	if prev != nil {
		next = prev.due.next
		prev.due.next = d
	} else {
		o.first = d
	}
	if next != nil {
		next.due.prev = d
	} else {
		o.last = d
	}
	d.due.prev, d.due.next = prev, next
}

func (o *overdue) remove(d *Delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d.due.over = true
	if d.due.listed {
		o.removeLocked(d)
	}
}

func (o *overdue) removeLocked(d *Delivery) {
	if d.due.prev != nil {
		d.due.prev.due.next = d.due.next
	} else {
		o.first = d.due.next
	}
	if d.due.next != nil {
		d.due.next.due.prev = d.due.prev
	} else {
		o.last = d.due.prev
	}
	d.due.prev, d.due.next, d.due.listed = nil, nil, false
}

// wakeLocked sees to it that the timer fires at that time, or before: then it is
// set again, at most once in a DeliveryTimeout.
func (o *overdue) wakeLocked(at time.Time) {
	switch {
	case o.stopped || !o.at.IsZero() && !at.Before(o.at):
		return
	case o.timer == nil:
		o.timer = time.AfterFunc(time.Until(at), o.fire)
	default:
		o.timer.Reset(time.Until(at))
	}
	o.at = at
}

func (o *overdue) fire() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at = time.Time{}
	for now := time.Now(); o.first != nil; {
		d := o.first
		if d.due.at.After(now) {
			o.wakeLocked(d.due.at)
			return
		}
		o.removeLocked(d)
		d.expire()
	}
}

// stop ends the timer: every delivery has its result.
func (o *overdue) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stopped = true
	if o.timer != nil {
		o.timer.Stop()
	}
}
