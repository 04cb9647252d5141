package core

import "fmt"

// Memory returns how much the partition keeps for its messages.
func (p *Partition) Memory() int { return len(p.window.ring) + cap(p.out) + cap(p.runs) }

// Invariant returns an error unless what the fields say of each other holds.
func (p *Partition) Invariant() error {
	var size, undecided, queued int
	w := &p.window
	if n := len(w.ring); n&(n-1) != 0 || uint64(w.end-w.first) > uint64(n) {
		return fmt.Errorf("a window of %d in a ring of %d", w.end-w.first, n)
	}
	for i := range w.ring {
		m := w.first + Message((uint64(i)-uint64(w.first))&uint64(len(w.ring)-1))
		switch as := *w.at(m); {
		case m >= w.end && as != gone:
			return fmt.Errorf("%d is beyond the end and marked %d", m, as)
		case m >= w.end || as == gone:
		case m < w.first+p.span:
			size++
			if as == open {
				undecided++
			}
		case as == open:
			queued++
		default:
			return fmt.Errorf("%d is in the queue and marked %d", m, as)
		}
	}
	switch {
	case size != p.size || undecided != p.undecided || queued != p.queued:
		return fmt.Errorf("batch %d of which undecided %d, queue %d; counted as %d, %d, %d", size, undecided, queued, p.size, p.undecided, p.queued)
	case (p.state == Empty) != (p.size == 0) || (p.state == Empty) != (p.span == 0):
		return fmt.Errorf("%v with a batch of %d over %d", p.state, p.size, p.span)
	case w.first < w.end && *w.at(w.first) == gone:
		return fmt.Errorf("the window begins with %d, which is gone", w.first)
	case p.span > 0 && *w.at(w.first + p.span - 1) == gone:
		return fmt.Errorf("the batch ends with %d, which is gone", w.first+p.span-1)
	case p.state == Waiting && p.undecided != p.size, p.state == DoubtWaiting && p.undecided == 0:
		return fmt.Errorf("%v with %d of %d undecided", p.state, p.undecided, p.size)
	case p.refused && (p.state == Empty || p.state > Awaiting):
		return fmt.Errorf("%v and refused", p.state)
	case p.mode == Idempotent && p.size > 0 && p.sequence != p.base+int64(p.size), p.size == 0 && p.base != 0:
		return fmt.Errorf("%d messages from sequence number %d on, and the next is %d", p.size, p.base, p.sequence)
	case p.run == stopped && (p.queued > 0 || p.size > 0):
		return fmt.Errorf("stopped, with %d in the queue and %d in the batch", p.queued, p.size)
	}
	return nil
}
