package delivery

// The leader of a partition, as in tla/PartitionOnKafka.tla: same names, same order.

// newest is Newest(p, i): the last batch in the log of partition p with producer id
// i; false where Of(p, i) is empty.
func (s *State) newest(p int, pid uint8) (last Stored, ok bool) {
	for _, v := range s.Partitions[p].Log {
		if v.Pid == pid { // no id is 0
			last, ok = v, true
		}
	}
	return last, ok
}

// duplicate is the one member of Duplicates(r), counted from 1; 0 where the set is
// empty. A duplicate has the epoch, first and last sequence number of a batch.
func (s *State) duplicate(r *Request) int {
	last, ok := s.newest(int(r.Part), r.Pid)
	if !ok || last.Epoch != r.Epoch {
		return 0
	}
	for k, v := range s.Partitions[r.Part].Log {
		if v.Pid == r.Pid && v.Epoch == r.Epoch && v.Seq == r.Seq && v.Messages.Len() == r.Messages.Len() {
			return k + 1
		}
	}
	return 0
}

// fenced: with EpochPerID a higher epoch in any log fences the request.
func (b *Bound) fenced(s *State, r *Request) bool {
	if !b.EpochPerID {
		return false
	}
	for p := range s.Partitions {
		for _, v := range s.Partitions[p].Log {
			if v.Pid == r.Pid && v.Epoch > r.Epoch {
				return true
			}
		}
	}
	return false
}

func (b *Bound) isDuplicate(s *State, r *Request) bool {
	return b.Idempotent && !b.fenced(s, r) && s.duplicate(r) != 0
}

func (b *Bound) follows(s *State, r *Request) bool {
	last, ok := s.newest(int(r.Part), r.Pid)
	if !ok {
		return !b.ZeroFirst || r.Seq == 0
	}
	return last.Epoch < r.Epoch && r.Seq == 0 ||
		last.Epoch == r.Epoch && int(r.Seq) == int(last.Seq)+last.Messages.Len()
}

func (b *Bound) fits(s *State, r *Request) bool {
	if b.Idempotent {
		return !b.fenced(s, r) && !b.isDuplicate(s, r) && b.follows(s, r)
	}
	return s.Partitions[r.Part].Log.Len() < b.MaxLog
}

// appended appends the batch of a request to its log.
func appended(s *State, r *Request) {
	log := &s.Partitions[r.Part].Log
	n := log.Len()
	if n == len(log) {
		panic("delivery: more batches in a log than a State can hold")
	}
	log[n] = r.stored()
}

// What the leader does with a request of which the producer awaits the answer.

// mayAnswer is the guard of Answer(p, answer).
func (b *Bound) mayAnswer(s *State, p int, a Answer) bool {
	return s.Partitions[p].Wire == WireWritten && b.Codes.Has(a) && b.Acks != AcksNone
}

// leaderAppends: it appends the batch and, with AcksAll, waits for its replicas.
func (b *Bound) leaderAppends(s *State, p int) bool {
	r := s.request(p)
	if !b.mayAnswer(s, p, CodeOk) || !b.fits(s, &r) {
		return false
	}
	pt := &s.Partitions[p]
	pt.Wire = Got(CodeOk)
	appended(s, &r)
	if b.Acks == AcksAll {
		pt.Safe = uint8(pt.Log.Len())
	}
	return true
}

// leaderAppendsUnsure: it appends the batch, and then cannot say that its replicas
// have it: it lost its place meanwhile, or there are too few of them.
func (b *Bound) leaderAppendsUnsure(s *State, p int) bool {
	r := s.request(p)
	if !b.mayAnswer(s, p, CodeUnsure) || !b.fits(s, &r) {
		return false
	}
	s.Partitions[p].Wire = Got(CodeUnsure)
	appended(s, &r)
	return true
}

// leaderHasIt: it has the batch already.
func (b *Bound) leaderHasIt(s *State, p int) bool {
	r := s.request(p)
	if !b.mayAnswer(s, p, CodeOk) || !b.isDuplicate(s, &r) {
		return false
	}
	pt := &s.Partitions[p]
	pt.Wire = Got(CodeOk)
	pt.Safe = max(pt.Safe, uint8(s.duplicate(&r)))
	return true
}

// leaderFails: it is not the leader, or fails, with a code that it gives after an
// append, too.
func (b *Bound) leaderFails(s *State, p int) bool {
	if !b.mayAnswer(s, p, CodeUnsure) {
		return false
	}
	s.Partitions[p].Wire = Got(CodeUnsure)
	return true
}

// leaderRefuses: it refuses the batch before it looks at epoch and sequence number.
func (b *Bound) leaderRefuses(s *State, p int, a Answer) bool {
	switch a {
	case CodeRetry, CodeRefused, CodeLarge, CodeInvalid:
	default:
		return false
	}
	if !b.mayAnswer(s, p, a) {
		return false
	}
	s.Partitions[p].Wire = Got(a)
	return true
}

// leaderExpectsAnother: it expects another epoch or sequence number.
func (b *Bound) leaderExpectsAnother(s *State, p int) bool {
	r := s.request(p)
	if !b.Idempotent || !b.mayAnswer(s, p, CodeSequence) || b.isDuplicate(s, &r) || b.fits(s, &r) {
		return false
	}
	s.Partitions[p].Wire = Got(CodeSequence)
	return true
}

// lateAppends: a request arrives whose producer no longer awaits an answer. It stays
// in late, because the same bytes may have been sent more than once.
func (b *Bound) lateAppends(s *State, r *Request) bool {
	if !s.Late.Has(*r) || !b.fits(s, r) {
		return false
	}
	appended(s, r)
	return true
}

// move: another replica becomes the leader. It has the first n batches, which are at
// least those that every in-sync replica has.
func (b *Bound) move(s *State, p, n int) bool {
	pt := &s.Partitions[p]
	if int(s.Moves) >= b.MaxMoves || n < int(pt.Safe) || n > pt.Log.Len() {
		return false
	}
	s.Moves++
	for k := n; k < pt.Log.Len(); k++ {
		if b.Acks == AcksOne {
			pt.Lost |= pt.Log[k].Messages.Set()
		}
	}
	clear(pt.Log[n:])
	return true
}
