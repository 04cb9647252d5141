package core

// run is the producer's, as its partition knows it.
type run uint8

const (
	started run = iota
	stopping
	stopped
)

// Partition is the core of one partition. Keep it for as long as the producer lives: it knows which producer id the
// partition uses, and a wrong one breaks the order (D4). Without messages it is small (see [Partition.Free]).
//
// At most one batch is under way. Its messages stand before those of the queue, all in the order of their numbers.
type Partition struct {
	mode   Mode
	ids    *IDs
	id     *identity // the producer id that it uses
	epoch  int16     // none: the next batch begins another one, if there are any; the specification then says that there is no core
	run    run
	state  State  // of the batch. Invariant: never Stopped, which run says
	window window // Invariant: it begins with a message that is not gone, if there is one

	span      Message // the batch is every message in the window's first span places that is not gone. Invariant: the last place is not gone
	size      int     // how many messages the batch has. Invariant: 0 exactly in Empty, as is span
	undecided int     // how many of these have no verdict. Invariant: in Waiting all, in DoubtWaiting some
	queued    int     // how many messages are in the queue
	refused   bool    // the last request with the batch was refused, and none can have been appended

	base     int64 // the sequence number of the batch; 0: there is none
	sequence int64 // the next sequence number; none: another epoch is needed. Invariant: with a batch base + size

	// What the last event returned: memory for the next one.
	out  []Decided
	runs []Run
}

// New returns the core of a partition to which the producer has never written. Without idempotence ids is nil.
func New(mode Mode, ids *IDs) *Partition {
	p := &Partition{mode: mode, ids: ids, epoch: none, sequence: none, window: window{first: 1, end: 1}}
	if mode == Idempotent {
		p.id = ids.newest
	}
	return p
}

// State returns where the batch is.
func (p *Partition) State() State {
	if p.run == stopped {
		return Stopped
	}
	return p.state
}

// Queued returns how many messages are in the queue.
func (p *Partition) Queued() int { return p.queued }

// Undecided returns how many messages have no verdict yet: those in the queue, and those of the batch.
func (p *Partition) Undecided() int { return p.queued + p.undecided }

// Batch returns the request with the batch as it is now. Without a batch its Len is 0.
func (p *Partition) Batch() Request {
	p.runs = p.window.runs(p.runs[:0], p.span)
	r := Request{ID: none, Epoch: none, Sequence: none, Messages: p.runs, Len: p.size, Again: p.state > Awaiting}
	if p.mode == Idempotent {
		r.ID, r.Epoch, r.Sequence = p.id.id, p.epoch, int32(p.base)
	}
	return r
}

func (p *Partition) refuse(e Event) error { return NotAllowed{e, p.State()} }

// Admit puts n messages into the queue, one behind the other (D4), and returns the number of the first. Admit is refused
// unless the producer is started (D7).
func (p *Partition) Admit(n int) (Message, error) {
	if p.run != started || n < 1 {
		return 0, p.refuse(EventAdmit)
	}
	p.queued += n
	return p.window.admit(n), nil
}

// Withdraw gives a message its verdict now, because its caller leaves or its deadline passes (D5, D6). A message that no
// request can have appended leaves the queue or the batch, and never reaches the log: NotSent, or Rejected if a broker
// refused it last. Any other message is Maybe, and the batch keeps it. Withdraw is refused for a message that has its
// verdict.
func (p *Partition) Withdraw(m Message) (Outcome, error) {
	if !p.window.has(m, open) {
		return Outcome{}, p.refuse(EventWithdraw)
	}
	switch {
	case m-p.window.first >= p.span: // WithdrawQueued
		p.out = append(p.out[:0], Decided{Run{m, m}, NotSent})
		*p.window.at(m) = gone
		p.queued--
		p.window.trim()
		return Outcome{Decided: p.out}, nil
	case p.state == Waiting: // WithdrawTaken
		p.out = append(p.out[:0], Decided{Run{m, m}, p.unsent()})
		*p.window.at(m) = gone // none of the others is decided
		p.undecided--
		p.resize()
		return Outcome{Decided: p.out, Changed: p.state != Empty}, nil
	default: // GiveUp
		p.out = append(p.out[:0], Decided{Run{m, m}, Maybe})
		*p.window.at(m) = decided
		p.undecided--
		if p.state == DoubtWaiting {
			return p.proceed(true), nil
		}
		return Outcome{Decided: p.out}, nil
	}
}

// Take makes the first n messages of the queue the batch (D4). Sequence numbers continue from the last batch. They begin
// with 0 in another epoch (TakeInNextEpoch) if the partition is new, started or freed since, or has another producer
// id; if the last batch ended in doubt; if the leader expected another number; or if too few numbers are left. Take is
// refused if there is a batch, if fewer messages are queued, if the producer is stopped, or if no epoch is left.
func (p *Partition) Take(n int) (Request, error) {
	if p.state != Empty || n < 1 || n > p.queued { // when the producer is stopped the queue is empty
		return Request{}, p.refuse(EventTake)
	}
	if p.mode == Idempotent {
		if p.sequence == none || p.sequence+int64(n) > p.ids.limits.MaxSequence+1 {
			next := p.id.next(p.epoch)
			if next > int32(p.ids.limits.MaxEpoch) {
				return Request{}, p.refuse(EventTake)
			}
			p.epoch, p.sequence = int16(next), 0
			p.id.highest = p.epoch
		}
		p.base = p.sequence
		p.sequence += int64(n)
	}
	p.state = Waiting
	p.span, p.size, p.undecided = p.window.reach(n), n, n
	p.queued -= n
	return p.Batch(), nil
}

// Send says that the caller starts to write a request with the batch, and returns that request. Send is refused unless a
// batch waits for its first or next request.
func (p *Partition) Send() (Request, error) {
	if p.state != Waiting && p.state != DoubtWaiting {
		return Request{}, p.refuse(EventSend)
	}
	p.state++
	return p.Batch(), nil
}

// Write says that the request was written whole: the leader may handle it from now on. Write is refused unless a request
// is being written.
func (p *Partition) Write() error {
	if p.state != Writing && p.state != DoubtWriting {
		return p.refuse(EventWrite)
	}
	p.state++
	return nil
}

// Lose says that the request gets no answer: its connection is lost, or its time is up. A request that was written whole
// may be appended at any later moment, so the batch is in doubt (D2). A broker drops a request that was not written
// whole, which leaves no doubt (D5). Lose is refused unless a request is being written or awaits its answer.
func (p *Partition) Lose() (Outcome, error) {
	switch p.state {
	case Writing, DoubtWriting:
		p.out = p.out[:0]
		return p.proceed(p.state == DoubtWriting), nil
	case Awaiting, DoubtAwaiting:
		p.out = p.out[:0]
		return p.proceed(true), nil
	}
	return Outcome{}, p.refuse(EventLose)
}

// Answer handles the leader's answer. records lists the places in the request of the records that an [Invalid] answer
// names. Answer ignores places outside the request; if none remains, it treats the answer as [Large]. Answer is refused
// unless a request awaits its answer, and for a value that is no Answer.
func (p *Partition) Answer(a Answer, records []int32) (Outcome, error) {
	if p.state != Awaiting && p.state != DoubtAwaiting || p.mode == Unanswered {
		return Outcome{}, p.refuse(EventAnswer)
	}
	p.out = p.out[:0]
	doubt := p.state == DoubtAwaiting
	switch a {
	case Ok:
		p.decide(Delivered)
		p.end(true)
		return Outcome{Decided: p.out}, nil
	case Unsure:
		return p.proceed(true), nil
	case Final:
		p.decide(Maybe)
		return p.proceed(true), nil
	case Retry:
		p.refused = !doubt
		return p.proceed(doubt), nil
	case Invalid, Large:
		switch {
		case !doubt && a == Invalid && p.reject(records):
			p.refused = false
			return p.proceed(false), nil
		case !doubt && p.size > 1: // without doubt the batch may be taken apart
			return p.split(), nil
		}
		return p.refusedForGood(), nil
	case Refused:
		return p.refusedForGood(), nil
	case Sequence:
		if doubt {
			p.decide(Maybe)
			return p.proceed(true), nil
		}
		p.window.drop(p.span)
		p.queued += p.undecided
		p.clear()
		p.sequence = none
		return Outcome{}, nil
	}
	return Outcome{}, p.refuse(EventAnswer)
}

// HandedOver says that the request was handed to the network, where no answer comes: its messages are delivered. HandedOver
// is refused unless the mode is [Unanswered] and the request was written whole.
func (p *Partition) HandedOver() (Outcome, error) {
	if p.mode != Unanswered || p.state != Awaiting && p.state != DoubtAwaiting {
		return Outcome{}, p.refuse(EventHandedOver)
	}
	p.out = p.out[:0]
	p.decide(Delivered)
	p.end(true)
	return Outcome{Decided: p.out}, nil
}
