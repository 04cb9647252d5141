package trace

import (
	"fmt"
	"slices"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/record"
	model "github.com/seed3893aba4/surestart/spec/delivery"
)

// differs describes the difference between the event and the steps from one state to another; "":
// none.
func (k *checker) differs(e record.Event, before, after *model.State) string {
	for p := range k.parts {
		want := make(map[core.Message]core.Verdict)
		was, is := &before.Partitions[p], &after.Partitions[p]
		for i, v := range is.Verdict {
			if v != was.Verdict[i] {
				want[core.Message(i)+1] = verdicts[v]
			}
		}
		var told []core.Decided
		switch ends := e.Kind == core.EventStopEnds || e.Kind == core.EventCut; {
		case ends && after.Run == model.RunStopped: // of all partitions
			told = k.parts[p].cut
		case !ends && e.Topic != "" && p == e.Partition:
			told = e.Decided
		}
		if why := decided(want, told); why != "" {
			return fmt.Sprintf("p%d: %s", p+1, why)
		}
	}
	if e.Topic == "" || after.Run == model.RunStopped {
		return ""
	}
	was, is := &before.Partitions[e.Partition], &after.Partitions[e.Partition]
	switch e.Kind {
	case core.EventAdmit:
		if int(e.First) != int(was.Admitted)+1 {
			return fmt.Sprintf("the number is to be %d", was.Admitted+1)
		}
	case core.EventTake, core.EventSend:
		if why := k.asks(&e.Request, is); why != "" {
			return why
		}
	case core.EventWrite:
		if is.Wire == model.WireIdle {
			return "there is no request"
		}
	case core.EventWithdraw, core.EventLose, core.EventAnswer, core.EventHandedOver:
		if changed := was.HasBatch() && is.HasBatch() && was.Batch.Messages != is.Batch.Messages; changed != e.Changed {
			return fmt.Sprintf("the batch changed: %t", changed)
		}
	}
	return whereabouts(e.State, is)
}

var verdicts = [...]core.Verdict{
	model.VerdictDelivered: core.Delivered, model.VerdictNotSent: core.NotSent, model.VerdictRejected: core.Rejected, model.VerdictMaybe: core.Maybe,
}

// decided compares the verdicts of an event.
func decided(want map[core.Message]core.Verdict, told []core.Decided) string {
	n := 0
	for _, d := range told {
		for m := d.First; m <= d.Last; m++ {
			if n++; want[m] != d.Verdict {
				return fmt.Sprintf("message %d is %v, want %v", m, d.Verdict, want[m])
			}
		}
	}
	if n != len(want) {
		return fmt.Sprintf("%d messages are decided, want %v", n, want)
	}
	return ""
}

// asks compares a request with the batch.
func (k *checker) asks(r *core.Request, pt *model.Partition) string {
	want := core.Request{ID: k.ids[pt.Pid-1], Epoch: int16(pt.Epoch), Sequence: int32(pt.Batch.Seq), Len: pt.Batch.Messages.Len(), Again: pt.Batch.Maybe}
	if !k.Mode.Idempotent {
		want.Sequence = -1 // the model counts from 0, where there is nothing to count
	}
	for _, m := range pt.Batch.Messages[:want.Len] {
		if last := len(want.Messages) - 1; last >= 0 && want.Messages[last].Last+1 == core.Message(m) {
			want.Messages[last].Last++
		} else {
			want.Messages = append(want.Messages, core.Run{First: core.Message(m), Last: core.Message(m)})
		}
	}
	if r.ID != want.ID || r.Epoch != want.Epoch || r.Sequence != want.Sequence || r.Len != want.Len || r.Again != want.Again || !slices.Equal(r.Messages, want.Messages) {
		return fmt.Sprintf("the request is to be %+v", want)
	}
	return ""
}

// whereabouts compares the state of the batch. The core does not know whether the request is
// written whole.
func whereabouts(s core.State, pt *model.Partition) string {
	want := core.Empty
	if pt.HasBatch() {
		want = core.Waiting
		if pt.Wire != model.WireIdle {
			want = core.Writing
		}
		if pt.Batch.Maybe {
			want += core.DoubtWaiting - core.Waiting
		}
	}
	if s == want || s == want+1 && (want == core.Writing || want == core.DoubtWriting) {
		return ""
	}
	return fmt.Sprintf("the core is to be %v, is %v", want, s)
}

// end finds a state that agrees with the end of the trace, or describes why there is none; "":
// there is one.
func (k *checker) end() (found int, why string) {
	for v := range k.number {
		if k.Told[v] == 0 {
			return 0, fmt.Sprintf("the caller of message %q got no verdict", v)
		}
	}
	for v, told := range k.Told {
		if _, admitted := k.number[v]; !admitted && told != core.NotSent && told != core.Rejected {
			return 0, fmt.Sprintf("message %q was not admitted, and is %v", v, told)
		}
	}
	for i := range k.states {
		if why = k.ended(&k.states[i]); why == "" {
			return i, ""
		}
	}
	return 0, why
}

func (k *checker) ended(s *model.State) string {
	for p := range k.parts {
		if n := k.explained(s, p); n < len(k.wanted[p]) {
			return fmt.Sprintf("the log of p%d has %d records, and the model no way to record %d, %+v", p+1, len(k.wanted[p]), n, k.Logs[p][n])
		}
		if s.Partitions[p].Undecided() != 0 {
			return fmt.Sprintf("messages %v of p%d have no verdict", s.Partitions[p].Undecided(), p+1)
		}
	}
	for v, at := range k.number {
		if want := verdicts[s.Partitions[at.partition].Verdict[at.message-1]]; k.Told[v] != want {
			return fmt.Sprintf("the caller of message %d of p%d got %v, want %v", at.message, at.partition+1, k.Told[v], want)
		}
	}
	return ""
}

// The guarantees, as a report names them.
const (
	oneVerdict = "D1 OneVerdict"
	truth      = "D2 Truth"
	once       = "D3 Once"
	order      = "D4 Order"
	withdrawn  = "D5 Withdrawn"
	drains     = "D7 Drains"
)

func (k *checker) reject(at int, what string, states []model.State) *Rejected {
	r := &Rejected{Trace: k.Trace, At: at, What: what, Guarantee: k.blame(at)}
	if len(states) > 0 {
		r.State = states[len(states)-1].String()
	}
	return r
}

// blame returns the guarantee that is most plausibly broken: by what is in the log, otherwise by
// the event that does not fit. It only helps the reader.
func (k *checker) blame(at int) string {
	for p := range k.wanted {
		last, seen := uint8(0), make(map[uint8]bool)
		for _, r := range k.wanted[p] {
			switch {
			case seen[r.message] && k.Mode.Idempotent:
				return once
			case r.message < last && k.Mode.Idempotent:
				return order
			}
			seen[r.message], last = true, r.message
		}
		for v, at := range k.number {
			if told := k.Told[v]; at.partition == p && (told == core.Delivered && !seen[at.message] && !k.mayLose() || (told == core.NotSent || told == core.Rejected) && seen[at.message]) {
				return truth
			}
		}
	}
	if at == len(k.Events) {
		for v := range k.number {
			if k.Told[v] == 0 {
				return oneVerdict
			}
		}
		return truth
	}
	switch e := k.Events[at]; e.Kind {
	case core.EventAdmit:
		return order
	case core.EventWithdraw:
		return withdrawn
	case core.EventSend:
		return once
	case core.EventStop:
		return drains
	case core.EventStopEnds, core.EventCut:
		return oneVerdict
	}
	return truth
}
