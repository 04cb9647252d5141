package trace

import (
	"context"
	"fmt"
	"slices"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/record"
	model "github.com/seed3893aba4/surestart/spec/delivery"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

// boundOfTLC is the bound for TLC, in which nothing is far from what traces of so many messages come to.
func (t *Trace) boundOfTLC(messages int) model.Bound {
	b := t.bound()
	b.MaxMessages, b.MaxBatch = messages, messages
	if t.Mode != One || !t.Leader.Loses {
		b.MaxMoves = 0 // as moved has it
	}
	return b
}

// askTLC runs TLC once, to search for each trace among the behaviours of tla/DeliveryTrace.tla with the bound.
// dir is for its files.
func askTLC(ctx context.Context, t tlc.TLC, dir string, b model.Bound, traces []*Trace) (tlc.Answer, error) {
	var texts []string
	for _, tr := range traces {
		texts = append(texts, string(tr.tla()))
	}
	return t.Traces(ctx, dir, configuration(b), "DeliveryTrace", texts)
}

// configuration is the bound's, for TLC. The partitions are numbers.
func configuration(b model.Bound) string {
	var partitions []int
	for p := range b.Partitions {
		partitions = append(partitions, p+1)
	}
	text := "INIT TraceInit\nNEXT TraceNext\nINVARIANTS TypeOK Truth Once Order Report\nCONSTANTS\n"
	for _, c := range []struct {
		name  string
		value any
	}{
		{"Partitions", tlc.SetOf(partitions)}, {"Acks", b.Acks}, {"Idempotent", b.Idempotent}, {"MaxBatch", b.MaxBatch},
		{"MaxSequence", b.MaxSequence}, {"EpochLimit", b.EpochLimit}, {"MaxMessages", b.MaxMessages}, {"MaxEpoch", b.MaxEpoch},
		{"MaxIDs", b.MaxIDs}, {"MaxStarts", b.MaxStarts}, {"MaxFrees", b.MaxFrees}, {"Codes", tlc.Text(b.Codes.String())},
		{"ZeroFirst", b.ZeroFirst}, {"EpochPerID", b.EpochPerID}, {"MaxMoves", b.MaxMoves}, {"MaxLog", b.MaxLog},
	} {
		text += fmt.Sprintf("    %s = %s\n", c.name, tlc.Value(c.value))
	}
	return text
}

// tla is the trace as tla/DeliveryTrace.tla reads it.
func (t *Trace) tla() tlc.Text {
	number := make(map[string]sent)
	var ids []int64
	for _, e := range t.Events {
		switch {
		case e.Kind == core.EventAdmit:
			for i, v := range e.Values {
				number[v] = sent{e.Partition, uint8(e.First) + uint8(i)}
			}
		case e.Kind == core.EventTake && ids == nil: // the first names the id
			ids = append(ids, e.Request.ID)
		case e.Kind == core.EventNewID:
			ids = append(ids, e.ID)
		}
	}
	var events, logs, told, others []tlc.Text
	for _, e := range t.Events {
		events = append(events, steps(e, ids)...)
	}
	for p, log := range t.Logs {
		var records, verdicts []tlc.Text
		for _, r := range log {
			m := number[r.Value].message
			if number[r.Value].partition != p {
				m = 0 // none of this partition
			}
			records = append(records, tlc.Tuple(m, slices.Index(ids, r.ID)+1, r.Epoch))
		}
		for v, at := range number {
			if at.partition == p {
				verdicts = append(verdicts, tlc.Tuple(at.message, t.Told[v]))
			}
		}
		logs, told = append(logs, tlc.TupleOf(records)), append(told, tlc.SetOf(verdicts))
	}
	for v, verdict := range t.Told {
		if _, admitted := number[v]; !admitted {
			others = append(others, tlc.Value(verdict))
		}
	}
	return tlc.Text(fmt.Sprintf("[events |-> %s,\n logs |-> %s, told |-> %s, others |-> %s]",
		tlc.TupleOf(events), tlc.TupleOf(logs), tlc.TupleOf(told), tlc.SetOf(others)))
}

// steps are the steps of the model that an event is. Those of an answer that is final are the answer, and each
// message that is given up.
func steps(e record.Event, ids []int64) (all []tlc.Text) {
	p, state := e.Partition+1, any(e.State)
	if e.Topic == "" {
		p, state = 0, ""
	}
	step := func(kind, argument any, decided []tlc.Text, state any) {
		all = append(all, tlc.Tuple(kind, p, argument, tlc.SetOf(decided), e.Changed, state))
	}
	var decided []tlc.Text
	var messages []core.Message
	for _, d := range e.Decided {
		for m := d.First; m <= d.Last; m++ {
			messages = append(messages, m)
			decided = append(decided, tlc.Tuple(int(m), d.Verdict))
		}
	}
	switch e.Kind {
	case core.EventAdmit:
		for i := range e.Values {
			step(e.Kind, int(e.First)+i, decided, state)
		}
	case core.EventWithdraw:
		step(e.Kind, int(e.First), decided, state)
	case core.EventTake, core.EventSend:
		var in []int
		for _, r := range e.Request.Messages {
			for m := r.First; m <= r.Last; m++ {
				in = append(in, int(m))
			}
		}
		r := tlc.Tuple(slices.Index(ids, e.Request.ID)+1, e.Request.Epoch, e.Request.Sequence, tlc.TupleOf(in), e.Request.Again)
		step(e.Kind, r, decided, state)
	case core.EventAnswer:
		var refused []int
		for _, i := range e.Records {
			refused = append(refused, int(i)+1)
		}
		answer := tlc.Tuple(e.Answer, tlc.SetOf(refused))
		if e.Answer != core.Final || messages == nil {
			step(e.Kind, answer, decided, state)
			break
		}
		step(e.Kind, answer, nil, "")
		for i, m := range messages {
			if i < len(messages)-1 {
				step(core.EventWithdraw, int(m), decided[i:i+1], "")
			} else {
				step(core.EventWithdraw, int(m), decided[i:], state)
			}
		}
	case core.EventNewID:
		step(e.Kind, slices.Index(ids, e.ID)+1, decided, state)
	case core.EventStopEnds, core.EventCut:
		step(e.Kind, 0, decided, "")
	default:
		step(e.Kind, 0, decided, state)
	}
	return all
}
