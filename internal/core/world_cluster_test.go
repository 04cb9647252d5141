package core_test

import (
	"slices"

	"github.com/seed3893aba4/surestart/internal/core"
)

// follows: see tla/PartitionOnKafka.tla.
func (w *world) fits(r *request) (fits, duplicate bool) {
	if w.mode != core.Idempotent {
		return true, false
	}
	if w.perID {
		for _, p := range w.parts {
			if slices.ContainsFunc(p.log, func(b *request) bool { return b.id == r.id && b.epoch > r.epoch }) {
				return false, false
			}
		}
	}
	var newest *request
	log := w.parts[r.part].log
	for k := len(log) - 1; k >= 0 && newest == nil; k-- {
		if log[k].id == r.id {
			newest = log[k]
		}
	}
	if newest == nil {
		return !w.zero || r.seq == 0, false // whatever its epoch
	}
	if newest.epoch == r.epoch {
		seen := 0
		for k := len(log) - 1; k >= 0 && seen < 5; k-- {
			if log[k].id != r.id {
				continue
			}
			seen++
			if b := log[k]; b.epoch == r.epoch && b.seq == r.seq && len(b.messages) == len(r.messages) {
				return false, true
			}
		}
		return r.seq == newest.seq+int32(len(newest.messages)), false
	}
	return r.epoch > newest.epoch && r.seq == 0, false
}

// handle: the leader handles the request.
func (w *world) handle(i int, p *part) error {
	if p.sent == nil || !p.written || p.handled || w.mode == core.Unanswered {
		return nil
	}
	p.handled = true
	if w.choose(4) == 0 { // it refuses the batch, or fails, before it looks
		p.answer = []core.Answer{core.Unsure, core.Retry, core.Refused, core.Large, core.Invalid, core.Final}[w.choose(6)]
		return nil
	}
	switch fits, duplicate := w.fits(p.sent); {
	case fits:
		p.log = append(p.log, p.sent)
		if p.answer = core.Ok; w.choose(3) == 0 {
			p.answer = []core.Answer{core.Unsure, core.Final}[w.choose(2)]
		} else {
			p.safe = len(p.log)
		}
	case duplicate:
		p.answer = core.Ok
		for k, b := range p.log {
			if b.String() == p.sent.String() {
				p.safe = max(p.safe, k+1)
			}
		}
	default:
		p.answer = core.Sequence
		if !w.perID && !w.zero && !p.doubt() {
			return broken("D4 Order", "the leader expects other numbers than those of %v, behind %v", p.sent, p.log)
		}
	}
	return nil
}

// arrive delivers a request whose answer is no longer awaited. The request may arrive again.
func (w *world) arrive() {
	if len(w.late) == 0 {
		return
	}
	r := w.late[w.choose(len(w.late))]
	if fits, _ := w.fits(r); fits && (w.mode == core.Idempotent || len(w.parts[r.part].log) < 1000) {
		w.parts[r.part].log = append(w.parts[r.part].log, r)
	}
}

// move: another replica leads, which may lack what not every in-sync replica had.
func (w *world) move(p *part) {
	if n := p.safe + w.choose(len(p.log)-p.safe+1); w.mode == core.Idempotent {
		p.log = p.log[:n]
	} else { // what is promised then depends on acks, which the core does not know
		for _, r := range p.log[n:] {
			for _, m := range r.messages {
				p.lost[m] = true
			}
		}
		p.log = p.log[:n]
	}
}
