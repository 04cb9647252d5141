package core

// The events of the producer, which each of its partitions has.

// Stop says that a stop has started: nothing is admitted any more, and the queued messages are sent (D7). Stop is refused
// unless the producer is started.
func (p *Partition) Stop() error {
	if p.run != started {
		return p.refuse(EventStop)
	}
	p.run = stopping
	return nil
}

// StopEnds says that the stop has ended. StopEnds is refused unless a stop has started and every message has its verdict
// (D1). Call it once that is true of every partition.
func (p *Partition) StopEnds() error {
	if p.run != stopping || p.Undecided() > 0 {
		return p.refuse(EventStopEnds)
	}
	p.close()
	return nil
}

// Cut says that a stop was forced, or that the producer died: every message gets its verdict now (D1, D5). Cut is refused
// if the producer is stopped.
func (p *Partition) Cut() (Outcome, error) {
	if p.run == stopped {
		return Outcome{}, p.refuse(EventCut)
	}
	p.out = p.out[:0]
	v := Maybe
	if p.state == Waiting {
		v = p.unsent()
	}
	p.decide(v)
	p.decideFrom(p.window.first+p.span, p.window.end, NotSent)
	p.close()
	return Outcome{Decided: p.out}, nil
}

// close leaves nothing in batch and queue.
func (p *Partition) close() {
	clear(p.window.ring)
	p.queued = 0
	p.clear()
	p.run = stopped
}

// Free forgets what an idle partition has: its memory, its epoch and its sequence numbers. Its next batch begins another
// epoch (D2). Free is refused unless the producer is started, and the partition has an epoch and no message.
func (p *Partition) Free() error {
	if p.run != started || p.queued > 0 || p.state != Empty || p.epoch == none {
		return p.refuse(EventFree)
	}
	p.id.floor = p.id.highest
	p.epoch, p.sequence = none, none
	p.window.ring, p.out, p.runs = nil, nil, nil
	return nil
}
