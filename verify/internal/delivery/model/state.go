package model

import (
	"github.com/seed3893aba4/surestart/spec/delivery"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

// ParseState reads a state of tla/Partition.tla as TLC prints it. It is strict: each variable once
// and no other, each partition, message and producer id of the bound once, and only values that the
// specification's TypeOK allows.
func ParseState(b delivery.Bound, text []byte) (delivery.State, error) {
	var s delivery.State
	p := parser{bound: b}
	err := tlc.ReadState(text, variables, func(v *tlc.Values, name string) {
		p.Values = v
		p.variable(name, &s)
	})
	return s, err
}

// parser reads the values of the specification's variables.
type parser struct {
	*tlc.Values
	bound delivery.Bound
}

var variables = []string{
	"run", "admitted", "queue", "batch", "wire", "verdict", "tried", "id", "highest", "floor", "pid", "epoch", "sequence",
	"late", "log", "safe", "lost", "starts", "frees", "moves",
}

var (
	runs     = tlc.Names(delivery.RunStopped)
	wires    = tlc.Names(delivery.Got(delivery.CodeSequence))
	verdicts = tlc.Names(delivery.VerdictMaybe)
	trieds   = tlc.Names(delivery.TriedUnsure)
	acks     = tlc.Names(delivery.AcksNone)
	answers  = tlc.Names(delivery.CodeSequence)
)

func (p *parser) variable(name string, s *delivery.State) {
	b := &p.bound
	switch name {
	case "run":
		s.Run = tlc.Named[delivery.Run](p.Values, runs)
	case "id":
		s.ID = p.id()
	case "highest":
		p.Sequence(b.MaxIDs, func(i int) { s.Highest[i] = p.Integer(0, b.MaxEpoch) })
	case "floor":
		p.Sequence(b.MaxIDs, func(i int) { s.Floor[i] = p.epoch() })
	case "late":
		p.Set(len(s.Late), func(int) {
			if !s.Late.Add(p.request()) {
				p.Fail("more requests than a State can hold")
			}
		})
	case "starts":
		s.Starts = p.Number(b.MaxStarts)
	case "frees":
		s.Frees = p.Number(b.MaxFrees)
	case "moves":
		s.Moves = p.Number(b.MaxMoves)
	default:
		p.Function("p", b.Partitions, func(i int) { p.ofPartition(name, &s.Partitions[i]) })
	}
}

// ofPartition reads the value of a variable for one partition.
func (p *parser) ofPartition(name string, pt *delivery.Partition) {
	b := &p.bound
	switch name {
	case "admitted":
		pt.Admitted = p.Number(b.MaxMessages)
	case "queue":
		pt.Queue = p.messages()
	case "batch":
		p.Record([]string{"ms", "seq", "maybe"}, func(field string) {
			switch field {
			case "ms":
				pt.Batch.Messages = p.messages()
			case "seq":
				pt.Batch.Seq = p.sequence()
			case "maybe":
				pt.Batch.Maybe = p.Boolean()
			}
		})
		if !pt.HasBatch() && pt.Batch != (delivery.Batch{}) {
			p.Fail("a batch without messages is %v", pt.Batch)
		}
	case "wire":
		pt.Wire = tlc.Named[delivery.Wire](p.Values, wires)
	case "verdict":
		p.Sequence(b.MaxMessages, func(i int) { pt.Verdict[i] = tlc.Named[delivery.Verdict](p.Values, verdicts) })
	case "tried":
		p.Sequence(b.MaxMessages, func(i int) { pt.Tried[i] = tlc.Named[delivery.Tried](p.Values, trieds) })
	case "pid":
		pt.Pid = p.id()
	case "epoch":
		pt.Epoch = p.epoch()
	case "sequence":
		pt.Sequence = p.Integer(delivery.None, b.MaxSequence+1)
	case "log":
		p.List(len(pt.Log), func(i int) {
			r := p.stored("pid", "epoch", "seq", "ms")
			pt.Log[i] = delivery.Stored{Pid: r.Pid, Epoch: r.Epoch, Seq: r.Seq, Messages: r.Messages}
		})
	case "safe":
		pt.Safe = p.Number(len(pt.Log))
	case "lost":
		p.Set(b.MaxMessages, func(int) { pt.Lost |= delivery.SetOf(p.message()) })
	}
}

func (p *parser) id() uint8      { return uint8(p.Integer(1, p.bound.MaxIDs)) }
func (p *parser) epoch() int8    { return p.Integer(delivery.None, p.bound.MaxEpoch) }
func (p *parser) sequence() int8 { return p.Integer(0, p.bound.MaxSequence) }

// message reads a message, which is numbered from 1. After an error it returns 1, because no set
// has a message 0.
func (p *parser) message() uint8 { return max(1, uint8(p.Integer(1, p.bound.MaxMessages))) }

func (p *parser) messages() (ms delivery.Messages) {
	p.List(p.bound.MaxMessages, func(i int) { ms[i] = p.message() })
	return ms
}

func (p *parser) request() delivery.Request { return p.stored("part", "pid", "epoch", "seq", "ms") }

// stored reads a record with some of the fields of a request, including messages.
func (p *parser) stored(fields ...string) (r delivery.Request) {
	p.Record(fields, func(field string) {
		switch field {
		case "part":
			p.Want("p")
			r.Part = uint8(p.Integer(1, p.bound.Partitions)) - 1
		case "pid":
			r.Pid = p.id()
		case "epoch":
			r.Epoch = p.epoch()
		case "seq":
			r.Seq = p.sequence()
		case "ms":
			r.Messages = p.messages()
		}
	})
	if r.Messages.Len() == 0 {
		p.Fail("a batch without messages")
	}
	return r
}
