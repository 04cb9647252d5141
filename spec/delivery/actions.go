package delivery

// The actions of tla/Partition.tla, in its order and one function for each: here
// those of calls and deadlines, of batches and attempts, and of the network. Read them beside
// the TLA+: the guards come first and return false; after them the primed variables are
// assigned in place. Parameters: p is a partition counted from 0, m a message counted from 1.

// Calls and deadlines.

// admit: a call puts a message into the queue of its partition.
func (b *Bound) admit(s *State, p int) bool {
	if !b.admits(s) || s.total() >= b.MaxMessages {
		return false
	}
	pt := &s.Partitions[p]
	pt.Admitted++
	pt.Queue = pt.Queue.then(MessagesOf(pt.Admitted))
	return true
}

// withdrawQueued: the caller of WriteMessages leaves, or the deadline of m passes,
// and no request can have appended m.
func (b *Bound) withdrawQueued(s *State, p int, m uint8) bool {
	pt := &s.Partitions[p]
	if !pt.Queue.Set().Has(m) || !b.expires() {
		return false
	}
	pt.Queue = pt.Queue.without(only(m))
	b.decide(s, p, only(m), b.unsent(s, p, m))
	note(s, p, 0, TriedNo)
	return true
}

// withdrawTaken: the same for a message of the batch that waits for its first or next attempt.
func (b *Bound) withdrawTaken(s *State, p int, m uint8) bool {
	if !s.Partitions[p].Batch.Messages.Set().Has(m) || !b.mayWithdraw(s, p) || !b.expires() {
		return false
	}
	b.decide(s, p, only(m), b.unsent(s, p, m))
	note(s, p, 0, TriedNo)
	b.goOn(s, p, false)
	return true
}

// giveUp: the deadline of m passes, or its caller leaves, while a request with m is under way, or
// after one may have appended m. The verdict cannot wait; the batch continues.
func (b *Bound) giveUp(s *State, p int, m uint8) bool {
	pt := &s.Partitions[p]
	if !(pt.Batch.Messages.Set() & pt.Undecided()).Has(m) || b.mayWithdraw(s, p) || !b.expires() {
		return false
	}
	b.decide(s, p, only(m), VerdictMaybe)
	note(s, p, 0, TriedNo)
	if pt.Wire == WireIdle {
		b.goOn(s, p, true)
	}
	return true
}

// Batches and attempts.

func (b *Bound) takeFirst(s *State, p, n int, seq Number) {
	pt := &s.Partitions[p]
	pt.Batch = Batch{Seq: seq}
	pt.Batch.Messages, pt.Queue = pt.Queue.cut(n)
	pt.Sequence = b.after(seq, n)
}

func (b *Bound) canTake(s *State, p, n int) bool {
	pt := &s.Partitions[p]
	return b.mayTake(s) && !pt.HasBatch() && n <= pt.Queue.Len()
}

func (b *Bound) continues(s *State, p, n int) bool {
	sequence := s.Partitions[p].Sequence
	return !b.Idempotent || sequence != None && int(sequence)+n <= b.MaxSequence+1
}

// take: the first messages of the queue become the batch, with the sequence numbers
// that follow those of the last batch.
func (b *Bound) take(s *State, p, n int) bool {
	if !b.canTake(s, p, n) || !b.continues(s, p, n) {
		return false
	}
	b.takeFirst(s, p, n, b.after(s.Partitions[p].Sequence, 0))
	return true
}

// takeInNextEpoch: the same with sequence numbers from 0 in another epoch, because the core is
// new, the last batch ended in doubt, the leader expected another number, or none are left.
func (b *Bound) takeInNextEpoch(s *State, p, n int) bool {
	next := s.nextEpoch(p)
	if !b.canTake(s, p, n) || b.continues(s, p, n) || int(next) > b.MaxEpoch {
		return false
	}
	b.takeFirst(s, p, n, 0)
	pt := &s.Partitions[p]
	pt.Epoch = next
	s.Highest[pt.Pid-1] = next
	return true
}

// send: the next attempt: the producer starts to write a request with the batch.
func (b *Bound) send(s *State, p int) bool {
	pt := &s.Partitions[p]
	if !pt.HasBatch() || pt.Wire != WireIdle {
		return false
	}
	pt.Wire = WireWriting
	return true
}

// The network.

// write: the request is written whole, so the leader may handle it from now on.
func (b *Bound) write(s *State, p int) bool {
	pt := &s.Partitions[p]
	if pt.Wire != WireWriting {
		return false
	}
	pt.Wire = WireWritten
	return true
}

// loseUnwritten: the connection is lost before the request is written whole. A broker drops an
// incomplete request.
func (b *Bound) loseUnwritten(s *State, p int) bool {
	pt := &s.Partitions[p]
	if pt.Wire != WireWriting {
		return false
	}
	maybe := pt.Batch.Maybe || b.inDoubt(s, p)
	pt.Wire = WireIdle
	b.goOn(s, p, maybe)
	return true
}

// loseWritten: the connection is lost after that, or WriteTimeout passes. The
// request may reach the leader at any later moment, or never.
func (b *Bound) loseWritten(s *State, p int) bool {
	pt := &s.Partitions[p]
	if pt.Wire != WireWritten {
		return false
	}
	maybe := pt.Batch.Maybe || b.inDoubt(s, p)
	s.addLate(p)
	pt.Wire = WireIdle
	note(s, p, pt.Batch.Messages.Set(), TriedUnsure)
	b.goOn(s, p, maybe)
	return true
}

// loseAnswer: the leader has handled the request, and its answer is lost.
func (b *Bound) loseAnswer(s *State, p int) bool {
	pt := &s.Partitions[p]
	if _, ok := pt.Wire.Answer(); !ok {
		return false
	}
	maybe := pt.Batch.Maybe || b.inDoubt(s, p)
	pt.Wire = WireIdle
	note(s, p, pt.Batch.Messages.Set(), TriedUnsure)
	b.goOn(s, p, maybe)
	return true
}
