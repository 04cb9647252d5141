package delivery

// Pieces of actions, as in tla/Partition.tla. Like the actions, they assign the primed
// variables in place, so a value that the TLA+ reads unprimed has to be read before it is
// written. Therefore decide comes first, then note, then end or goOn.

func (s *State) allDecided() bool {
	for p := range s.Partitions {
		if s.Partitions[p].Undecided() != 0 {
			return false
		}
	}
	return true
}

// total is Total(Partitions).
func (s *State) total() int {
	n := 0
	for p := range s.Partitions {
		n += int(s.Partitions[p].Admitted)
	}
	return n
}

// request is Request(p). It carries the partition's epoch.
func (s *State) request(p int) Request {
	pt := &s.Partitions[p]
	return Request{uint8(p), pt.Pid, pt.Epoch, pt.Batch.Seq, pt.Batch.Messages}
}

// addLate adds Request(p) to late.
func (s *State) addLate(p int) {
	if !s.Late.Add(s.request(p)) {
		panic("delivery: more late requests than a State can hold")
	}
}

// decide is Decide(p, S, v): the undecided messages of the set get the verdict.
func (b *Bound) decide(s *State, p int, set Set, v Verdict) {
	for m := uint8(1); int(m) <= b.MaxMessages; m++ {
		if set.Has(m) && b.mayDecide(s, p, m) {
			s.Partitions[p].Verdict[m-1] = v
		}
	}
}

// note is Note(p, S, what): the fate of a request with these messages. Doubt stays,
// and nothing is recorded for a decided message.
func note(s *State, p int, set Set, what Tried) {
	pt := &s.Partitions[p]
	for i := range pt.Tried {
		switch {
		case pt.Verdict[i] != VerdictNone:
			pt.Tried[i] = TriedNo
		case set.Has(uint8(i)+1) && pt.Tried[i] != TriedUnsure:
			pt.Tried[i] = what
		}
	}
}

// after is After(s, n): the next sequence number, if a batch that begins at seq has n messages.
func (b *Bound) after(seq Number, n int) Number {
	if !b.Idempotent {
		return 0
	}
	return seq + Number(n)
}

// nextEpoch is NextEpoch(p): the highest of its id, if that is above every epoch
// that the partition has used, else the next.
func (s *State) nextEpoch(p int) Number {
	pt := &s.Partitions[p]
	used := pt.Epoch
	if used == None {
		used = s.Floor[pt.Pid-1]
	}
	if highest := s.Highest[pt.Pid-1]; highest > used {
		return highest
	}
	return s.Highest[pt.Pid-1] + 1
}

// end is End(p, acked): the batch ends. Only after an acknowledged one may the
// partition change to a new producer id.
func (b *Bound) end(s *State, p int, acked bool) {
	pt := &s.Partitions[p]
	if b.mayAdopt(acked) && s.ID != pt.Pid {
		pt.Pid, pt.Epoch, pt.Sequence = s.ID, None, None
	} else if !acked && b.Idempotent {
		pt.Sequence = b.nextInDoubt(s, p)
	}
	pt.Batch = Batch{}
}

// goOn is Continue(p, maybe): the batch waits for its next attempt. In doubt it stays
// as it is, as long as one of its messages is undecided. Without doubt decided
// messages leave it.
func (b *Bound) goOn(s *State, p int, maybe bool) {
	pt := &s.Partitions[p]
	left := pt.Batch.Messages.without(pt.decided())
	switch {
	case !maybe:
		left = b.shortened(s, p, left)
		pt.Sequence = b.after(pt.Batch.Seq, left.Len())
		if left.Len() == 0 {
			pt.Batch = Batch{}
		} else {
			pt.Batch.Messages = left
		}
	case left.Len() == 0:
		b.end(s, p, false)
	default:
		pt.Batch.Maybe = true
	}
}
