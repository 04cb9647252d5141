package spec

// The guards that the guarantees depend on, as in tla/Algorithm.tla: the same names, in the
// same order.

func (b *Bound) mayBegin(s *Snapshot) bool { // G1, G8: a Start may start an attempt
	return b.says(gMayBegin, s.St == Idle && !s.Due)
}

func (b *Bound) mayJoin(s *Snapshot) bool { // G5: a Start may join the current attempt
	return b.says(gMayJoin, s.St == Starting)
}

func (b *Bound) fastPathOpen(s *Snapshot) bool { // G3: a Start has nothing to do
	return b.says(gFastPathOpen, s.St == Started)
}

func (b *Bound) foundOpen(s *Snapshot) bool { // G2: the same, in the critical section
	return b.says(gFoundOpen, s.St == Started)
}

func (b *Bound) stillWanted(s *Snapshot, g uint8) bool { // G6, G8: an open that succeeds is kept
	return b.says(gStillWanted, s.St == Starting && s.Gen == g)
}

func (b *Bound) mayRetry(s *Snapshot, g uint8) bool { // G6, G8: another try is made
	return b.says(gMayRetry, s.St == Starting && s.Gen == g)
}

func (b *Bound) mayLeave(s *Snapshot, c uint8) bool { // G6, G12: a wait may take the branch of the context
	return b.says(gMayLeave, s.Callers[c].Ended)
}

func (b *Bound) lastLeaves(s *Snapshot, c uint8) bool { // G6: no other caller waits for the attempt
	return b.says(gLastLeaves, joined(s, s.Callers[c].On) == only(c) && !s.Again)
}

func (b *Bound) complete(s *Snapshot, g uint8) bool { // G3: open returns with all parts
	return b.says(gComplete, int(s.Attempt(g).Held) == b.Parts)
}

func (b *Bound) stillAlive(s *Snapshot, g uint8) bool { // G13: the resource has not died before open returned
	return b.says(gStillAlive, !s.Attempt(g).Reported)
}

func (b *Bound) allReleased(s *Snapshot, g uint8) bool { // G4, G7: the operation may end
	return b.says(gAllReleased, s.Attempt(g).Held == 0)
}

func (b *Bound) rolledBack(s *Snapshot, g uint8) bool { // G4: the next try may begin
	return b.says(gRolledBack, s.Attempt(g).Held == 0)
}

func (b *Bound) undo(held uint8) uint8 { // G4: the part to release is the last one held
	if !b.says(gUndo, true) {
		return held
	}
	return held - 1
}

func (b *Bound) stopSees(s *Snapshot) bool { // G8: a Stop finds something to stop
	return b.says(gStopSees, s.St == Starting || s.St == Started || s.St == Stopping)
}

func (b *Bound) forgets() bool { // G8: a Stop leaves a restart due
	return b.says(gForgets, false)
}

func (b *Bound) keepsOn() bool { // G8: a Stop leaves the attempt a restart
	return b.says(gKeepsOn, false)
}

func (b *Bound) stopTells(s *Snapshot) callers { // G8: the Starts that a Stop answers when Idle
	if !b.says(gStopTells, true) {
		return 0
	}
	return joined(s, s.Gen+1)
}

func (b *Bound) drained(s *Snapshot, g uint8) bool { // G9: no admitted use is in flight
	return b.says(gDrained, s.Attempt(g).InUse == 0)
}

func (b *Bound) mayForce(s *Snapshot, c, g uint8) bool { // G9: caller c may cut the drain short
	return b.says(gMayForce, s.Callers[c].PC == PCShutWait || stoppers(s, g) == only(c))
}

func (b *Bound) admits(s *Snapshot, g uint8) bool { // G10: the gate's sign bit
	return b.says(gAdmits, s.Attempt(g).Open)
}

func (b *Bound) final(s *Snapshot) bool { // G11: Shutdown has been called
	return b.says(gFinal, s.Closing)
}

func (b *Bound) current(s *Snapshot, g uint8) bool { // G13: the report is of this attempt
	return b.says(gCurrent, g == s.Gen)
}

func (b *Bound) queued(s *Snapshot) callers { // G12: the callers that the next attempt is for
	if !b.says(gQueued, true) {
		return 0
	}
	return joined(s, s.Gen+1)
}

func (b *Bound) waitsFor(s *Snapshot, g uint8) bool { // G8: the queued callers wait for a restart
	return b.says(gWaitsFor, s.Due || failedAgain(s, g))
}

func (b *Bound) givesUpFor(s *Snapshot) callers { // G12: the callers for which an attempt starts instead
	if !b.says(gGivesUpFor, true) {
		return 0
	}
	return joined(s, s.Gen+1)
}

// failedAgain is FailedAgain(g): the attempt was a restart and has failed.
func failedAgain(s *Snapshot, g uint8) bool { return s.Again && s.Attempt(g).Fate == FateFailed }

// callers is a set of callers, one bit each.
type callers uint8

func only(c uint8) callers           { return 1 << c }
func (set callers) has(c uint8) bool { return set&only(c) != 0 }

// joined is Joined(g): the callers that wait for attempt g to open or to be rolled back,
// without an answer yet.
func joined(s *Snapshot, g uint8) callers {
	var set callers
	for c := range s.Callers {
		if v := &s.Callers[c]; v.PC == PCWait && v.On == g && v.Out == OutNone {
			set |= 1 << c
		}
	}
	return set
}

// stoppers is Stoppers(g): the callers that wait for the release of attempt g, without an
// answer yet.
func stoppers(s *Snapshot, g uint8) callers {
	var set callers
	for c := range s.Callers {
		if v := &s.Callers[c]; (v.PC == PCStopWait || v.PC == PCShutWait) && v.On == g && v.Out == OutNone {
			set |= 1 << c
		}
	}
	return set
}

// hasContext reports whether the context of a call at pc may end.
func hasContext(pc PC) bool {
	switch pc {
	case PCStart, PCEnter, PCStop, PCShut, PCWait, PCStopWait, PCShutWait:
		return true
	}
	return false
}

// hook, if set, is called by every named guard. Alter sets it to show that a check notices
// each guard, and Decided sets it to learn which guards a step depends on. For undo, false
// means to release nothing; for stopTells, queued and givesUpFor it means the empty set.
type hook struct {
	altered   guard // gNone: none
	value     bool  // of the altered guard
	evaluated GuardSides
}

func (h *hook) says(g guard, v bool) bool {
	h.evaluated |= side(g, v)
	if h.altered == g {
		return h.value
	}
	return v
}

type guard uint8

const (
	gNone guard = iota
	gMayBegin
	gMayJoin
	gFastPathOpen
	gFoundOpen
	gStillWanted
	gMayRetry
	gMayLeave
	gLastLeaves
	gComplete
	gStillAlive
	gAllReleased
	gRolledBack
	gUndo
	gStopSees
	gForgets
	gKeepsOn
	gStopTells
	gDrained
	gMayForce
	gAdmits
	gFinal
	gCurrent
	gQueued
	gWaitsFor
	gGivesUpFor
	gMayInvoke
	gMayRelease
	gMayRestart

	numGuards = iota
)

var guardNames = [numGuards]string{
	"none", "MayBegin", "MayJoin", "FastPathOpen", "FoundOpen", "StillWanted", "MayRetry",
	"MayLeave", "LastLeaves", "Complete", "StillAlive", "AllReleased", "RolledBack", "Undo",
	"StopSees", "Forgets", "KeepsOn", "StopTells", "Drained", "MayForce", "Admits", "Final", "Current",
	"Queued", "WaitsFor", "GivesUpFor", "MayInvoke", "MayRelease", "MayRestart",
}

func (b *Bound) says(g guard, v bool) bool {
	if b.hook == nil {
		return v
	}
	return b.hook.says(g, v)
}

// Alter returns b with the named guard always having the value says: it breaks one line of
// the model, to show that a check notices it. It panics on a name that GuardNames does not
// have.
func (b Bound) Alter(name string, says bool) Bound {
	for i, n := range guardNames {
		if n == name && guard(i) != gNone {
			b.hook = &hook{altered: guard(i), value: says}
			return b
		}
	}
	panic("spec: no guard " + name)
}

// GuardNames returns the names of the guards that Alter accepts, in the order of the TLA+.
func GuardNames() []string { return guardNames[1:] }
