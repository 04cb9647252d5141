package core

// Pieces of events, as those of actions in tla/Partition.tla.

// decide gives the undecided messages of the batch the verdict v.
func (p *Partition) decide(v Verdict) {
	p.decideFrom(p.window.first, p.window.first+p.span, v)
	p.undecided = 0
}

func (p *Partition) decideFrom(m, end Message, v Verdict) {
	for ; m < end; m++ {
		if *p.window.at(m) == open {
			p.give(m, v)
		}
	}
}

// give gives a message its verdict.
func (p *Partition) give(m Message, v Verdict) {
	*p.window.at(m) = decided
	if last := len(p.out) - 1; last >= 0 && p.out[last].Last == m-1 && p.out[last].Verdict == v {
		p.out[last].Last = m
	} else {
		p.out = append(p.out, Decided{Run{m, m}, v})
	}
}

// reject gives the verdict to the records of the batch that are refused, and reports whether there are any.
func (p *Partition) reject(records []int32) (any bool) {
	named := make([]bool, p.size)
	for _, i := range records {
		if i >= 0 && int(i) < p.size {
			named[i], any = true, true
		}
	}
	place := 0
	for m := p.window.first; m < p.window.first+p.span; m++ {
		if *p.window.at(m) == gone {
			continue
		}
		if named[place] && *p.window.at(m) == open {
			p.give(m, Rejected)
			p.undecided--
		}
		place++
	}
	return any
}

// proceed: the batch waits for its next request. In doubt it is sent again as it is, as long as one of its messages is
// undecided. Without doubt, decided messages leave it, and the others get consecutive sequence numbers from its first on.
func (p *Partition) proceed(doubt bool) Outcome {
	switch {
	case doubt && p.undecided == 0:
		p.end(false)
		return Outcome{Decided: p.out}
	case doubt:
		p.state, p.refused = DoubtWaiting, false
		return Outcome{Decided: p.out}
	}
	changed := p.shorten(p.span)
	return Outcome{Decided: p.out, Changed: changed && p.state != Empty}
}

// shorten leaves those undecided messages in the batch that are in its first span, and reports whether it had others.
func (p *Partition) shorten(span Message) bool {
	was := p.size
	p.window.drop(p.span)
	p.span = span
	p.resize()
	return p.size < was
}

// resize sets what follows from the messages that are left in the batch, all of them undecided.
func (p *Partition) resize() {
	p.size = p.undecided
	if p.mode == Idempotent {
		p.sequence = p.base + int64(p.size)
	}
	if p.size == 0 {
		p.clear()
		return
	}
	for *p.window.at(p.window.first + p.span - 1) == gone {
		p.span--
	}
	for *p.window.at(p.window.first) == gone {
		p.window.first++
		p.span--
	}
	p.state = Waiting
}

// split: too large. The first half keeps the sequence numbers, the other goes back into the queue.
func (p *Partition) split() Outcome {
	span := p.window.reach((p.size + 1) / 2)
	head := p.window.count(span, open)
	p.queued += p.undecided - head
	p.undecided, p.refused = head, false
	p.shorten(span)
	return Outcome{Changed: p.state != Empty}
}

// end ends the batch. After an acknowledged one the next batch has the sequence numbers that follow; and only here may a
// partition change to a new producer id, since no old request can be appended any more (D4). After a batch in doubt the
// next one begins another epoch, which fences this one (D2, D3).
func (p *Partition) end(acknowledged bool) {
	for m := p.window.first; m < p.window.first+p.span; m++ {
		*p.window.at(m) = gone
	}
	p.clear()
	if p.mode != Idempotent {
		return
	}
	if !acknowledged {
		p.sequence = none
	} else if p.id != p.ids.newest {
		p.id, p.epoch, p.sequence = p.ids.newest, none, none
	}
}

// clear leaves no batch.
func (p *Partition) clear() {
	p.state, p.refused = Empty, false
	p.span, p.size, p.undecided, p.base = 0, 0, 0, 0
	p.window.trim()
}

// unsent is the verdict of a message of the batch that was not appended.
func (p *Partition) unsent() Verdict {
	if p.refused {
		return Rejected
	}
	return NotSent
}

// refusedForGood handles a final refusal. The messages become Rejected, or Maybe if an earlier request may have been
// appended.
func (p *Partition) refusedForGood() Outcome {
	doubt, v := p.state == DoubtAwaiting, Rejected
	if doubt {
		v = Maybe
	}
	p.decide(v)
	return p.proceed(doubt)
}
