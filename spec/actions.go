package spec

// The actions of tla/Algorithm.tla, in its order, one function for each: here those of a
// caller, in actions_op.go those of an operation and of a use. Read them beside the TLA+.
// The guards come first and return false. After them the primed variables are assigned in
// place: a variable that the TLA+ action reads unprimed is read before it is written. The
// parameters are a caller c or an attempt g.

// Pieces of critical sections.

// answer gives every caller in set the result r: they return when they next run.
func answer(s *Snapshot, set callers, r Out, n uint8) {
	for c := range s.Callers {
		if set.has(uint8(c)) {
			s.Callers[c].Out, s.Callers[c].N = r, n
		}
	}
}

// beginRelease closes the gate of the running attempt and lets its operation drain it.
func beginRelease(s *Snapshot, g uint8, cut bool) {
	a := s.Attempt(g)
	a.Open = false
	a.Op = OpDrain
	a.Forced = cut
}

// begin: the next attempt starts. The callers that wait for it have joined it.
func begin(s *Snapshot, restart bool) {
	s.St = Starting
	s.Gen++
	s.Attempt(s.Gen).Op = OpOpen
	s.Again = restart
}

// callOff: a Stop or a Shutdown takes effect and ends the restarts.
func (b *Bound) callOff(s *Snapshot) {
	s.Due = s.Due && b.forgets()
	s.Again = s.Again && b.keepsOn()
	s.Restarts = 0
}

// done: the call of c has its result, and has not yet returned.
func done(s *Snapshot, c uint8, r Out, n uint8) {
	v := &s.Callers[c]
	v.PC = PCDone
	v.Out, v.N = r, n
	v.On = 0
}

// A call begins, its context ends, it returns. These are the caller's own steps.

func (b *Bound) mayInvoke(s *Snapshot, c uint8) bool {
	return b.says(gMayInvoke, s.Callers[c].PC == PCIdle && int(s.Calls) < b.Calls)
}

func invoke(s *Snapshot, c uint8, where PC) {
	s.Calls++
	s.Callers[c].PC = where
}

func (b *Bound) invokeStart(s *Snapshot, c uint8) bool {
	if !b.mayInvoke(s, c) {
		return false
	}
	invoke(s, c, PCStart)
	return true
}

func (b *Bound) invokeStop(s *Snapshot, c uint8) bool {
	if !b.mayInvoke(s, c) {
		return false
	}
	invoke(s, c, PCStop)
	return true
}

func (b *Bound) invokeShutdown(s *Snapshot, c uint8) bool {
	if !b.mayInvoke(s, c) {
		return false
	}
	invoke(s, c, PCShut)
	return true
}

func (b *Bound) invokeUse(s *Snapshot, c uint8) bool {
	if !b.mayInvoke(s, c) {
		return false
	}
	invoke(s, c, PCUse)
	return true
}

func (b *Bound) contextEnds(s *Snapshot, c uint8) bool {
	v := &s.Callers[c]
	if !hasContext(v.PC) || v.Out != OutNone || v.Ended {
		return false
	}
	v.Ended = true
	return true
}

func (b *Bound) doReturn(s *Snapshot, c uint8) bool {
	if s.Callers[c].Out == OutNone {
		return false
	}
	s.Callers[c] = CallerVars{}
	return true
}

// Start.

// startFast: one atomic load.
func (b *Bound) startFast(s *Snapshot, c uint8) bool {
	if s.Callers[c].PC != PCStart {
		return false
	}
	if b.fastPathOpen(s) {
		done(s, c, OutOK, 0)
	} else {
		s.Callers[c].PC = PCEnter
	}
	return true
}

// startEnter starts an attempt, joins the one that is opening, or waits for the next one: the
// attempt after the running release, or the restart that is due.
func (b *Bound) startEnter(s *Snapshot, c uint8) bool {
	v := &s.Callers[c]
	if v.PC != PCEnter {
		return false
	}
	switch {
	case b.foundOpen(s):
		done(s, c, OutOK, 0)
	case b.final(s):
		done(s, c, OutClosed, 0)
	case v.Ended:
		done(s, c, OutCtx, 0)
	default:
		v.PC = PCWait
		switch {
		case b.mayBegin(s):
			begin(s, false)
			v.On = s.Gen
		case b.mayJoin(s):
			v.On = s.Gen
		default:
			v.On = s.Gen + 1
		}
	}
	return true
}

// startLeave is the branch of the wait for an ended context. The last caller that leaves an
// opening attempt cancels it.
func (b *Bound) startLeave(s *Snapshot, c uint8) bool {
	v := &s.Callers[c]
	if v.PC != PCWait || !b.mayLeave(s, c) || v.Out != OutNone {
		return false
	}
	if s.St == Starting && v.On == s.Gen && b.lastLeaves(s, c) {
		s.St = Stopping
		s.Attempt(s.Gen).Fate = FateAbandoned
	}
	done(s, c, OutCtx, 0)
	return true
}

// Stop and Shutdown.

// beginStop is the effect of both on an attempt that is opening, open or being released.
// The Starts that wait for the end of a release get the result r.
func (b *Bound) beginStop(s *Snapshot, c uint8, where PC, r Out, fate Fate) {
	s.Callers[c].PC = where
	s.Callers[c].On = s.Gen
	switch s.St {
	case Starting:
		s.St = Stopping
		s.Attempt(s.Gen).Fate = fate
	case Started:
		s.St = Stopping
		beginRelease(s, s.Gen, false)
	case Stopping:
		answer(s, b.queued(s), r, 0)
	}
}

// stopsNothing: there is no attempt to stop, but Starts may wait for a restart.
func (b *Bound) stopsNothing(s *Snapshot, c uint8, r Out) {
	answer(s, b.stopTells(s), r, 0)
	done(s, c, OutOK, 0)
}

func (b *Bound) stopEnter(s *Snapshot, c uint8) bool {
	if s.Callers[c].PC != PCStop {
		return false
	}
	if b.stopSees(s) {
		b.beginStop(s, c, PCStopWait, OutStopped, FateStopped)
	} else {
		b.stopsNothing(s, c, OutStopped)
	}
	b.callOff(s)
	return true
}

func (b *Bound) shutdownEnter(s *Snapshot, c uint8) bool {
	if s.Callers[c].PC != PCShut {
		return false
	}
	s.Closing = true
	if s.St == Idle || s.St == Closed {
		s.St = Closed
		b.stopsNothing(s, c, OutClosed)
	} else {
		b.beginStop(s, c, PCShutWait, OutClosed, FateClosed)
	}
	b.callOff(s)
	return true
}

// stopLeave is the branch of the wait for an ended context. It may cut the drain short.
func (b *Bound) stopLeave(s *Snapshot, c uint8) bool {
	v := &s.Callers[c]
	if v.PC != PCStopWait && v.PC != PCShutWait || !b.mayLeave(s, c) || v.Out != OutNone {
		return false
	}
	a := s.Attempt(v.On)
	cut := a.Op == OpDrain && !a.Forced && a.InUse > 0 && b.mayForce(s, c, v.On)
	a.Forced = a.Forced || cut
	if cut {
		done(s, c, OutCut, a.InUse)
	} else {
		done(s, c, OutCtx, 0)
	}
	return true
}
