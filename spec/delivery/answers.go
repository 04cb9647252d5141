package delivery

// The answers, as in tla/Partition.tla. Messages that have their verdict keep it.

// answered is the guard of Answered(p, answer).
func answered(s *State, p int, a Answer) bool { return s.Partitions[p].Wire == Got(a) }

func (b *Bound) answerOk(s *State, p int) bool {
	if !answered(s, p, CodeOk) {
		return false
	}
	pt := &s.Partitions[p]
	pt.Wire = WireIdle
	b.decide(s, p, pt.Batch.Messages.Set(), VerdictDelivered)
	note(s, p, 0, TriedNo)
	b.end(s, p, true)
	return true
}

// handedOver: with AcksNone there is no answer. The request was written whole.
func (b *Bound) handedOver(s *State, p int) bool {
	pt := &s.Partitions[p]
	if b.Acks != AcksNone || pt.Wire != WireWritten {
		return false
	}
	s.addLate(p)
	pt.Wire = WireIdle
	b.decide(s, p, pt.Batch.Messages.Set(), VerdictDelivered)
	note(s, p, 0, TriedNo)
	b.end(s, p, true)
	return true
}

func (b *Bound) answerUnsure(s *State, p int) bool {
	if !answered(s, p, CodeUnsure) {
		return false
	}
	pt := &s.Partitions[p]
	pt.Wire = WireIdle
	note(s, p, pt.Batch.Messages.Set(), TriedUnsure)
	b.goOn(s, p, pt.Batch.Maybe || b.unsure())
	return true
}

func (b *Bound) answerRetry(s *State, p int) bool {
	if !answered(s, p, CodeRetry) {
		return false
	}
	pt := &s.Partitions[p]
	pt.Wire = WireIdle
	note(s, p, pt.Batch.Messages.Set(), TriedRefused)
	b.goOn(s, p, pt.Batch.Maybe)
	return true
}

// answerRefused: refused for good; or in part, or for its size, if the batch cannot be split.
func (b *Bound) answerRefused(s *State, p int) bool {
	if !answered(s, p, CodeRefused) && !(answered(s, p, CodeLarge) && !b.maySplit(s, p)) &&
		!(answered(s, p, CodeInvalid) && b.doubted(s, p)) {
		return false
	}
	pt := &s.Partitions[p]
	pt.Wire = WireIdle
	doubted, v := b.doubted(s, p), VerdictRejected
	if doubted {
		v = VerdictMaybe
	}
	b.decide(s, p, pt.Batch.Messages.Set(), v)
	note(s, p, 0, TriedNo)
	b.goOn(s, p, doubted)
	return true
}

// split: too large. The first half keeps the sequence numbers, the other half is the
// next batch. Never after a request that may have been appended.
func (b *Bound) split(s *State, p int) bool {
	if !answered(s, p, CodeLarge) || !b.maySplit(s, p) {
		return false
	}
	pt := &s.Partitions[p]
	pt.Wire = WireIdle
	ms := pt.Batch.Messages
	note(s, p, ms.Set(), TriedNo)
	head, tail := ms.cut((ms.Len() + 1) / 2)
	head, tail = head.without(pt.decided()), tail.without(pt.decided())
	pt.Queue = b.requeue(s, p, tail)
	pt.Sequence = b.after(pt.Batch.Seq, head.Len())
	if head.Len() == 0 {
		pt.Batch = Batch{}
	} else {
		pt.Batch = Batch{Messages: head, Seq: pt.Batch.Seq}
	}
	return true
}

// answerInvalid: these records are refused, and nothing was appended.
func (b *Bound) answerInvalid(s *State, p int, records Set) bool {
	pt := &s.Partitions[p]
	if !answered(s, p, CodeInvalid) || b.doubted(s, p) || records == 0 || records&^pt.Batch.Messages.Set() != 0 {
		return false
	}
	pt.Wire = WireIdle
	b.decide(s, p, records, VerdictRejected)
	note(s, p, pt.Batch.Messages.Set(), TriedNo)
	b.goOn(s, p, false)
	return true
}

// answerSequence: the leader expected another sequence number or epoch. In doubt the
// verdict is ErrMaybeDelivered. Otherwise the messages go back into the queue, and
// are sent in another epoch.
func (b *Bound) answerSequence(s *State, p int) bool {
	if !answered(s, p, CodeSequence) {
		return false
	}
	pt := &s.Partitions[p]
	pt.Wire = WireIdle
	ms := pt.Batch.Messages
	if !b.againAfter(s, p) {
		b.decide(s, p, ms.Set(), VerdictMaybe)
		note(s, p, 0, TriedNo)
		b.goOn(s, p, true)
		return true
	}
	note(s, p, ms.Set(), TriedNo)
	pt.Queue = b.requeue(s, p, ms.without(pt.decided()))
	pt.Sequence = None
	pt.Batch = Batch{}
	return true
}
