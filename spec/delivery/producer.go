package delivery

// The producer, as in tla/Partition.tla.

func (b *Bound) stop(s *State) bool {
	if s.Run != RunStarted {
		return false
	}
	s.Run = RunStopping
	return true
}

// closeAll is Close: the connections are closed. Requests written whole may still arrive.
func (b *Bound) closeAll(s *State) {
	for p := range b.Partitions {
		pt := &s.Partitions[p]
		if pt.Wire == WireWritten {
			s.addLate(p)
		}
		pt.Wire, pt.Queue, pt.Batch, pt.Tried = WireIdle, Messages{}, Batch{}, [maxMessages]Tried{}
	}
	s.Run = RunStopped
}

// stopEnds: a Stop ends when every message has its verdict.
func (b *Bound) stopEnds(s *State) bool {
	if s.Run != RunStopping || !b.mayStop(s) {
		return false
	}
	b.closeAll(s)
	return true
}

// cutOff is Cut: a Stop is forced, or the producer dies, and every message gets its
// verdict now.
func (b *Bound) cutOff(s *State) bool {
	if s.Run == RunStopped || s.allDecided() {
		return false
	}
	for p := range b.Partitions {
		pt := &s.Partitions[p]
		inDoubt := !b.mayWithdraw(s, p)
		batch, undecided := pt.Batch.Messages.Set(), pt.Undecided()
		for m := uint8(1); int(m) <= b.MaxMessages; m++ {
			switch {
			case !undecided.Has(m):
			case batch.Has(m) && inDoubt:
				pt.Verdict[m-1] = VerdictMaybe
			default:
				pt.Verdict[m-1] = b.unsent(s, p, m)
			}
		}
	}
	b.closeAll(s)
	return true
}

// start: every partition begins another epoch, because its core of the last start is gone.
func (b *Bound) start(s *State) bool {
	if s.Run != RunStopped || int(s.Starts) >= b.MaxStarts {
		return false
	}
	for i := range s.ID {
		s.Floor[i] = b.reached(s, i+1)
	}
	for p := range b.Partitions {
		s.Partitions[p].Epoch, s.Partitions[p].Sequence = None, None
	}
	s.Run = RunStarted
	s.Starts++
	return true
}

// free: the core of an idle partition is freed.
func (b *Bound) free(s *State, p int) bool {
	pt := &s.Partitions[p]
	if s.Run != RunStarted || int(s.Frees) >= b.MaxFrees ||
		!b.Idempotent || pt.Queue.Len() > 0 || pt.HasBatch() || pt.Epoch == None {
		return false
	}
	s.Frees++
	s.Floor[pt.Pid-1] = b.freed(s, pt.Pid)
	pt.Epoch, pt.Sequence = None, None
	return true
}

// newID: the epochs of the producer id are running out, and the cluster gives
// another. Each partition changes to it by itself: end.
func (b *Bound) newID(s *State) bool {
	if s.Run != RunStarted || int(s.ID) >= b.MaxIDs || int(s.Highest[s.ID-1]) < b.EpochLimit {
		return false
	}
	s.ID++
	return true
}
