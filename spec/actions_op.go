package spec

// The actions of tla/Algorithm.tla, continued from actions.go.

// The operation: opening, draining, releasing. g is the attempt.

// openPart: open registers the release of one more part.
func (b *Bound) openPart(s *Snapshot, g uint8) bool {
	a := s.Attempt(g)
	if a.Op != OpOpen || int(a.Held) >= b.Parts {
		return false
	}
	a.Held++
	return true
}

// openOk: open returned the resource. (If a failure was reported before, that is
// openErr or openRetry.)
func (b *Bound) openOk(s *Snapshot, g uint8) bool {
	a := s.Attempt(g)
	if a.Op != OpOpen || !b.complete(s, g) || !b.stillAlive(s, g) {
		return false
	}
	if b.stillWanted(s, g) {
		s.St = Started
		s.Cur = g
		s.Again = false
		a.Open = true
		a.Op = OpNone
		answer(s, joined(s, g), OutOK, 0)
	} else {
		a.Op = OpRelease
	}
	return true
}

// openErr: open returned an error, panicked or exited, or a failure was reported before open
// returned.
func (b *Bound) openErr(s *Snapshot, g uint8) bool {
	a := s.Attempt(g)
	if a.Op != OpOpen {
		return false
	}
	a.Op = OpRelease
	a.Reported = false
	if s.St == Starting && s.Gen == g {
		s.St = Stopping
		a.Fate = FateFailed
	}
	return true
}

// openRetry: open failed as in openErr, and another try follows. The attempt continues: the
// parts of this try are released, and the Starts continue to wait.
func (b *Bound) openRetry(s *Snapshot, g uint8) bool {
	a := s.Attempt(g)
	if !b.Retries || a.Op != OpOpen {
		return false
	}
	a.Op = OpRelease
	a.Reported = false
	return true
}

// tryAgain: every part is released, and the pause before the next try is over.
func (b *Bound) tryAgain(s *Snapshot, g uint8) bool {
	a := s.Attempt(g)
	if a.Op != OpRelease || !b.rolledBack(s, g) || !b.mayRetry(s, g) {
		return false
	}
	a.Op = OpOpen
	a.RelErr = false
	return true
}

// timeout: the start timeout fires.
func (b *Bound) timeout(s *Snapshot, g uint8) bool {
	if s.St != Starting || s.Gen != g {
		return false
	}
	s.St = Stopping
	s.Attempt(g).Fate = FateFailed
	return true
}

// fail: Scope.Fail or Lease.Fail of attempt g, at any time. A report of a try that is being
// rolled back has no effect. If another try may follow, the report counts when open
// returns: until then nothing is rolled back, and Starts may join.
func (b *Bound) fail(s *Snapshot, g uint8) bool {
	if g > s.Gen || int(s.Fails) >= b.Fails {
		return false
	}
	s.Fails++
	switch {
	case s.St == Starting && s.Attempt(s.Gen).Op == OpOpen && b.current(s, g):
		if b.Retries {
			s.Attempt(s.Gen).Reported = true
			break
		}
		s.St = Stopping
		s.Attempt(s.Gen).Fate = FateFailed
	case s.St == Started && b.current(s, g):
		s.St = Stopping
		beginRelease(s, s.Gen, true)
		s.Due = b.Restarts > 0
	}
	return true
}

// drainEnd: the drain is over; whether it was forced is decided here.
func (b *Bound) drainEnd(s *Snapshot, g uint8) bool {
	a := s.Attempt(g)
	if a.Op != OpDrain || !b.drained(s, g) && !a.Forced {
		return false
	}
	a.Op = OpRelease
	return true
}

func (b *Bound) mayRelease(s *Snapshot, g uint8) bool {
	a := s.Attempt(g)
	return b.says(gMayRelease, a.Op == OpRelease && a.Held != 0)
}

// releasePart: the release of the last part held returned.
func (b *Bound) releasePart(s *Snapshot, g uint8, bad bool) {
	a := s.Attempt(g)
	a.Held = b.undo(a.Held)
	a.RelErr = a.RelErr || bad
}

func (b *Bound) releaseOk(s *Snapshot, g uint8) bool {
	if !b.mayRelease(s, g) {
		return false
	}
	b.releasePart(s, g, false)
	return true
}

func (b *Bound) releaseErr(s *Snapshot, g uint8) bool {
	if !b.mayRelease(s, g) {
		return false
	}
	b.releasePart(s, g, true)
	return true
}

// finish: every part is released. The waiting callers are answered. If Starts are queued, the
// next attempt starts in the same critical section, unless they wait for the restart that is
// due.
func (b *Bound) finish(s *Snapshot, g uint8) bool {
	a := s.Attempt(g)
	if a.Op != OpRelease || !b.allReleased(s, g) || s.St != Stopping {
		return false
	}
	queued, waits, due := b.queued(s), b.waitsFor(s, g), s.Due || failedAgain(s, g)
	switch a.Fate {
	case FateFailed:
		answer(s, joined(s, g), OutFailed, g)
	case FateStopped:
		answer(s, joined(s, g), OutStopped, 0)
	case FateClosed:
		answer(s, joined(s, g), OutClosed, 0)
	} // otherwise no Start waits for the attempt: it was abandoned, or was open
	if a.RelErr {
		answer(s, stoppers(s, g), OutRelErr, 0)
	} else {
		answer(s, stoppers(s, g), OutOK, 0)
	}
	a.Fate, a.Forced, a.RelErr = FateNone, false, false
	a.Op = OpNone
	s.Due, s.Again = due, false
	switch {
	case b.final(s):
		s.St = Closed
	case queued != 0 && !waits:
		begin(s, false)
	default:
		s.St = Idle
	}
	s.Cur = 0
	return true
}

// Restarts of a resource that died. A backoff decides when, or gives up. g is the attempt
// whose resource died, or the restart that failed.

func (b *Bound) mayRestart(s *Snapshot, g uint8) bool {
	return b.says(gMayRestart, s.St == Idle && s.Due && g == s.Gen)
}

func (b *Bound) doRestart(s *Snapshot, g uint8) bool {
	if !b.mayRestart(s, g) || int(s.Restarts) >= b.Restarts {
		return false
	}
	begin(s, true)
	s.Due = false
	s.Restarts++
	return true
}

// givesUp: the backoff gives up. If Starts wait, an attempt starts for them, as for the next
// Start.
func (b *Bound) givesUp(s *Snapshot, g uint8) bool {
	if !b.mayRestart(s, g) {
		return false
	}
	if b.givesUpFor(s) != 0 {
		begin(s, false)
	}
	s.Due = false
	s.Restarts = 0
	return true
}

// Use, and Acquire with Release: the admission gate.

// useLoad loads the pointer to the attempt whose gate is tried next.
func (b *Bound) useLoad(s *Snapshot, c uint8) bool {
	v := &s.Callers[c]
	if v.PC != PCUse {
		return false
	}
	v.On = s.Cur
	if s.Cur == 0 {
		v.PC = PCSlow
	} else {
		v.PC = PCAdd
	}
	return true
}

// useAdd adds one to the gate. The sign of the sum shows whether the gate is open.
func (b *Bound) useAdd(s *Snapshot, c uint8) bool {
	v := &s.Callers[c]
	if v.PC != PCAdd {
		return false
	}
	if b.admits(s, v.On) {
		s.Attempt(v.On).InUse++
		v.PC = PCUsing
	} else {
		v.PC, v.On = PCSlow, 0
	}
	return true
}

// useSlow: the gate has refused, and the critical section decides.
func (b *Bound) useSlow(s *Snapshot, c uint8) bool {
	v := &s.Callers[c]
	switch {
	case v.PC != PCSlow:
		return false
	case s.St == Started:
		s.Attempt(s.Gen).InUse++
		v.PC, v.On = PCUsing, s.Gen
	case s.Closing:
		done(s, c, OutClosed, 0)
	default:
		done(s, c, OutNotStarted, 0)
	}
	return true
}

// useEnd subtracts one from the gate. With an open gate nothing else is needed.
func (b *Bound) useEnd(s *Snapshot, c uint8) bool {
	v := &s.Callers[c]
	if v.PC != PCUsing {
		return false
	}
	if a := s.Attempt(v.On); a.Open {
		a.InUse--
		done(s, c, OutOK, 0)
	} else {
		v.PC = PCDrop
	}
	return true
}

// useDrop: the gate was closed during the use. The last such use ends the drain.
func (b *Bound) useDrop(s *Snapshot, c uint8) bool {
	v := &s.Callers[c]
	if v.PC != PCDrop {
		return false
	}
	s.Attempt(v.On).InUse--
	done(s, c, OutOK, 0)
	return true
}
