package delivery

import "slices"

// The guards that the guarantees rest on, with the names and in the order of tla/Partition.tla.
// Some are not conditions: altered to false (Bound.Alter), they make the mistake of
// tla/DeliveryWeak.tla.

func (b *Bound) admits(s *State) bool { // D7: a message may be put into the queue
	return b.says(gAdmits, s.Run == RunStarted)
}

func (b *Bound) mayDecide(s *State, p int, m uint8) bool { // D1: a verdict may be given
	return b.says(gMayDecide, s.Partitions[p].Verdict[m-1] == VerdictNone)
}

func (b *Bound) mayStop(s *State) bool { // D1: a Stop that is not forced may end
	return b.says(gMayStop, s.allDecided())
}

func (b *Bound) unsure() bool { // D2: an ambiguous answer leaves doubt
	return b.says(gUnsure, true)
}

func (b *Bound) inDoubt(s *State, p int) bool { // D2, D5: a connection lost at this point leaves doubt
	return b.says(gInDoubt, s.Partitions[p].Wire != WireWriting)
}

func (b *Bound) doubted(s *State, p int) bool { // D2: an earlier request may have been appended
	return b.says(gDoubted, s.Partitions[p].Batch.Maybe)
}

func (b *Bound) unsent(s *State, p int, m uint8) Verdict { // D2: the verdict of a message that was not appended
	if b.says(gUnsent, true) && s.Partitions[p].Tried[m-1] == TriedRefused {
		return VerdictRejected
	}
	return VerdictNotSent
}

func (b *Bound) reached(s *State, i uint8) Number { // D2: the epoch that all partitions count as used at a start
	if !b.says(gReached, true) {
		return s.Floor[i-1] + 1
	}
	return s.Highest[i-1]
}

func (b *Bound) freed(s *State, i uint8) Number { // D2: the epoch that a partition without a core counts as used
	if !b.says(gFreed, true) {
		return s.Highest[i-1] - 1
	}
	return s.Highest[i-1]
}

func (b *Bound) nextInDoubt(s *State, p int) Number { // D2: the next sequence number after a batch that ended in doubt
	if !b.says(gNextInDoubt, true) {
		return s.Partitions[p].Batch.Seq
	}
	return None
}

func (b *Bound) againAfter(s *State, p int) bool { // D3: the batch may be sent again after a wrong sequence number
	return b.says(gAgainAfter, !s.Partitions[p].Batch.Maybe)
}

func (b *Bound) maySplit(s *State, p int) bool { // D3: the batch may be split
	batch := &s.Partitions[p].Batch
	return b.says(gMaySplit, !batch.Maybe && batch.Messages.Len() > 1)
}

func (b *Bound) mayAdopt(acked bool) bool { // D4: a partition may change to the newest producer id
	return b.says(gMayAdopt, acked)
}

func (b *Bound) requeue(s *State, p int, ms Messages) Messages { // D4: the queue after messages of the batch went back to it
	if !b.says(gRequeue, true) {
		return s.Partitions[p].Queue.then(ms)
	}
	return ms.then(s.Partitions[p].Queue)
}

func (b *Bound) mayWithdraw(s *State, p int) bool { // D5: a message may leave the batch
	pt := &s.Partitions[p]
	return b.says(gMayWithdraw, pt.Wire == WireIdle && !pt.Batch.Maybe)
}

func (b *Bound) shortened(s *State, p int, left Messages) Messages { // D5: the batch after messages have left it
	if !b.says(gShortened, true) {
		return s.Partitions[p].Batch.Messages
	}
	return left
}

func (b *Bound) expires() bool { // D6: the deadline of a message is observed
	return b.says(gExpires, true)
}

func (b *Bound) mayTake(s *State) bool { // D7: queued messages may be sent
	return b.says(gMayTake, s.Run != RunStopped)
}

// A hook alters one guard. As a pointer it makes two altered bounds differ.
type hook struct {
	altered guard
	answer  bool
}

type guard uint8

const (
	gAdmits guard = iota
	gMayDecide
	gMayStop
	gUnsure
	gInDoubt
	gDoubted
	gUnsent
	gReached
	gFreed
	gNextInDoubt
	gAgainAfter
	gMaySplit
	gMayAdopt
	gRequeue
	gMayWithdraw
	gShortened
	gExpires
	gMayTake
)

var guardNames = []string{
	"Admits", "MayDecide", "MayStop", "Unsure", "InDoubt", "Doubted", "Unsent", "Reached", "Freed", "NextInDoubt",
	"AgainAfter", "MaySplit", "MayAdopt", "Requeue", "MayWithdraw", "Shortened", "Expires", "MayTake",
}

func (b *Bound) says(g guard, v bool) bool {
	if b.hook != nil && b.hook.altered == g {
		return b.hook.answer
	}
	return v
}

// Alter returns b with the named guard always having the value says: it breaks one line
// of the model, to show that a check notices it. If the guard is not a condition, false makes
// the mistake of tla/DeliveryWeak.tla, and true alters nothing. It panics on a name that
// GuardNames does not have.
func (b Bound) Alter(name string, says bool) Bound {
	i := slices.Index(guardNames, name)
	if i < 0 {
		panic("delivery: no guard " + name)
	}
	b.hook = &hook{guard(i), says}
	return b
}

// GuardNames returns the names of the guards that Alter accepts, in the order of the TLA+.
func GuardNames() []string { return slices.Clone(guardNames) }
