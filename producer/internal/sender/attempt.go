package sender

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/core"
)

// prepare returns the batch of a partition that s holds, ready to be sent, and whether it needs a
// request of its own. Nil: there is no batch; s no longer holds the partition, or has it on its
// list again.
func (p *Partition) prepare(s *Sender, first bool) (bytes []byte, alone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if p.sender != s && p.core.State() != core.Stopped { // the leader has moved
			p.letGoLocked()
			wake(p.offerLocked(time.Now()))
			return nil, false
		}
		if p.alone && !first {
			s.list(p)
			return nil, false
		}
		switch p.core.State() {
		case core.Stopped:
			p.letGoLocked()
			return nil, false
		case core.Empty:
			if !p.takeLocked() {
				return nil, false
			}
			continue
		case core.Waiting:
			p.charge(-p.chunks[0].shorten())
		}
		ch := p.chunks[0]
		if !ch.b.Sealed() {
			p.sealLocked(ch)
			continue // the state may be another now
		}
		req, err := p.core.Send()
		if err != nil || req.Len != ch.b.Len() {
			panic("sender: the core's batch is not the encoded one")
		}
		p.using = ch
		if !ch.counted {
			ch.counted = true
			p.cfg.Counters.batch(int64(req.Len), int64(len(ch.b.Bytes())), int64(time.Since(ch.since)))
		}
		if st := (stamp{true, req.ID, req.Epoch, req.Sequence}); ch.stamp != st {
			p.mu.Unlock() // its bytes are fixed now
			ch.b.Stamp(req.ID, req.Epoch, req.Sequence)
			p.mu.Lock()
			ch.stamp = st
		}
		return ch.b.Bytes(), p.alone
	}
}

// takeLocked makes the first chunk of the queue the batch. It returns false if there is none;
// nothing holds the partition then.
func (p *Partition) takeLocked() bool {
	for len(p.chunks) > 0 && p.chunks[0].open == 0 {
		p.freeLocked(0)
	}
	if len(p.chunks) == 0 {
		p.inHand = false
		return false
	}
	p.due = time.Time{}
	ch := p.chunks[0]
	ch.closed = true
	var req core.Request
	var err error
	p.locked(func() { req, err = p.core.Take(ch.open) })
	if p.cfg.Due != nil && p.dueLocked() {
		p.cfg.Due()
	}
	if err != nil { // the epochs have run out
		p.pauseLocked(LongestPause)
		return false
	}
	if !p.again {
		p.attempts, p.alone, p.cause = 0, false, nil
		p.failing.Store(false)
	}
	p.again = false
	p.busy.Store(true)
	p.batches.Add(1)
	if req.Epoch != p.epoch && req.Epoch >= 0 {
		p.epoch = req.Epoch
		p.cfg.Counters.Epochs.Add(1)
	}
	return true
}

// dueLocked reports whether another producer id is due.
func (p *Partition) dueLocked() (due bool) {
	p.locked(func() { due = p.cfg.IDs != nil && p.cfg.IDs.Due() })
	return due
}

// sealLocked compresses a batch, without the lock.
func (p *Partition) sealLocked(ch *chunk) {
	before := int64(ch.b.Memory())
	p.using = ch
	p.mu.Unlock()
	ch.b.Seal(p.cfg.Compression)
	p.mu.Lock()
	p.using = nil
	if p.cfg.Compression != 0 {
		more := int64(ch.b.Memory()) - before
		ch.charged += more
		p.charge(more)
	}
}

// letGoLocked ends a sender's hold.
func (p *Partition) letGoLocked() {
	p.inHand = false
	p.sweepLocked()
}

// sent handles the outcome of a request without an answer.
func (p *Partition) sent(s *Sender, written bool, err error) (refresh, again bool, to *Sender) {
	if err != nil {
		return p.lost(s, written, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.core.State() != core.Stopped {
		must(p.core.Write())
		var out core.Outcome
		p.locked(func() { out, err = p.core.HandedOver() })
		must(err)
		p.decideLocked(out, verdicts{nil, -1, true})
	}
	return false, false, p.nextLocked(s)
}

// lost handles a request that gets no answer.
func (p *Partition) lost(s *Sender, written bool, err error) (refresh, again bool, to *Sender) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.core.State() == core.Stopped {
		return false, false, p.nextLocked(s)
	}
	if written {
		must(p.core.Write())
	}
	p.cfg.Counters.Errors.Add(1)
	p.cause = err
	p.alone = p.attempts > 0 || errors.Is(err, context.DeadlineExceeded)
	out, err := p.core.Lose()
	must(err)
	p.decideLocked(out, verdicts{cause: p.cause, wait: true})
	return true, true, p.nextLocked(s)
}

// answered handles the leader's answer.
func (p *Partition) answered(s *Sender, a answer) (refresh, again bool, to *Sender) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.core.State() == core.Stopped {
		return false, false, p.nextLocked(s)
	}
	must(p.core.Write())
	if p.cause = a.error(); p.cause != nil {
		p.cfg.Counters.Errors.Add(1)
	}
	p.alone = a.code == kafka.RequestTimedOut
	kind := core.AnswerOf(a.code)
	var out core.Outcome
	var err error
	p.locked(func() { out, err = p.core.Answer(kind, a.records) })
	must(err)
	if kind == core.Sequence {
		p.cfg.Counters.Sequences.Add(1)
		p.again = p.core.State() == core.Empty
		p.warn("a broker has lost acknowledged messages, or its state for this producer", p.cause)
	}
	p.decideLocked(out, verdicts{p.cause, a.offset, true})
	if p.core.State() == core.Waiting { // some messages are still in the batch
		ch := p.chunks[0]
		p.charge(-ch.shorten())
		if n := p.core.Batch().Len; n < ch.b.Len() { // the other half is queued
			p.chunks = append(p.chunks, nil)
			copy(p.chunks[2:], p.chunks[1:])
			p.chunks[1] = ch.split(n)
		}
	}
	if (kind == core.Large || kind == core.Invalid) && p.core.State() == core.Waiting { // it is smaller: another batch
		p.attempts = 0
		p.failing.Store(false)
		p.inHand, p.using = false, nil
		return false, true, p.offerLocked(time.Now())
	}
	return kind == core.Unsure, kind != core.Ok && p.core.State() != core.Empty, p.nextLocked(s)
}

// nextLocked prepares what follows an attempt: the next batch, or the next attempt after a pause.
// It returns the sender to wake.
func (p *Partition) nextLocked(s *Sender) *Sender {
	p.inHand, p.using = false, nil
	switch p.core.State() {
	case core.Stopped:
		p.sweepLocked()
		return nil
	case core.Empty:
		if p.cause == nil || len(p.chunks) > 0 && p.chunks[0].open == 0 {
			p.attempts, p.cause, p.alone = 0, nil, false
			p.notBusy()
			if len(p.chunks) > 0 && p.chunks[0].open == 0 {
				p.freeLocked(0)
			}
			return p.offerLocked(time.Now())
		}
	}
	p.attempts++
	p.failing.Store(true)
	if p.attempts == quietAttempts {
		p.warn("a batch cannot be sent; still trying", p.cause)
	}
	if p.cfg.MaxAttempts > 0 && p.attempts >= p.cfg.MaxAttempts {
		p.giveUpLocked()
		if p.core.State() == core.Empty {
			p.attempts = 0
			return p.offerLocked(time.Now())
		}
	}
	if p.sender != nil && p.sender != s { // it has moved already
		return p.offerLocked(time.Now())
	}
	p.pauseLocked(pauseAfter(p.attempts))
	return nil
}

// giveUpLocked gives the messages of the batch their verdicts.
func (p *Partition) giveUpLocked() {
	cause := p.because(errAttempts)
	ch := p.chunks[0]
	for i := range ch.slots {
		if ch.slots[i].call != nil {
			out, err := p.core.Withdraw(ch.number(i))
			must(err)
			p.decideLocked(out, verdicts{cause: cause, wait: true})
		}
	}
	p.sweepLocked()
}

// quietAttempts is how many attempts, or connects, fail before a warning, once for a batch or an
// outage. Shorter outages are not logged.
const quietAttempts = 6

func (p *Partition) warn(message string, err error) {
	if p.cfg.Warn != nil {
		p.cfg.Warn(message, p.topic, int(p.number), err)
	}
}

func must(err error) {
	if err != nil {
		panic("sender: " + err.Error())
	}
}
