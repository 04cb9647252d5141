package trace

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/seed3893aba4/surestart/internal/core"
)

// Corruption is a trace with one error in it, which must be rejected.
type Corruption struct {
	*Trace
	Kind string // "log", "told", "verdict", "answer", "request", "dropped" or "swapped"
	What string
}

// Kinds are those of corruptions.
var Kinds = []string{"log", "told", "verdict", "answer", "request", "dropped", "swapped"}

// Corruptions draws one of each kind from an accepted trace, if the trace has something that
// becomes wrong by the change. It makes no change that could give the trace of another run. For
// example, it does not drop the last answer before a cut when both leave the same doubt.
func (t *Trace) Corruptions(r *rand.Rand) (all []Corruption) {
	for i, f := range []func(*Trace, *rand.Rand) string{
		(*Trace).corruptLog, (*Trace).corruptTold, (*Trace).corruptVerdict, (*Trace).corruptAnswer, (*Trace).corruptRequest, (*Trace).drop, (*Trace).swap,
	} {
		c := t.Clone()
		if what := f(c, r); what != "" {
			c.Name += ", " + what
			all = append(all, Corruption{c, Kinds[i], what})
		}
	}
	return all
}

// pick draws an index for which is returns true; -1: there is none.
func pick(r *rand.Rand, n int, is func(int) bool) int {
	var all []int
	for i := range n {
		if is(i) {
			all = append(all, i)
		}
	}
	if all == nil {
		return -1
	}
	return all[r.IntN(len(all))]
}

// corruptLog alters the log of a partition. A delivered message is missing, is there twice, or
// stands elsewhere; or a message is there that was not sent or was rejected; or a record has
// another epoch. Without idempotence a message may be there twice or elsewhere, if a request with
// it came late. Without an answer, or when its leader was replaced, a message may be missing.
// corruptLog makes no change that the mode allows.
func (t *Trace) corruptLog(r *rand.Rand) string {
	p := pick(r, len(t.Logs), func(p int) bool { return len(t.Logs[p]) > 1 })
	if p < 0 {
		return ""
	}
	for _, change := range r.Perm(5) {
		if what := t.alterLog(r, p, change); what != "" {
			return what
		}
	}
	return ""
}

func (t *Trace) alterLog(r *rand.Rand, p, change int) string {
	log := t.Logs[p]
	var i int
	switch change {
	case 0:
		if i = pick(r, len(log), func(i int) bool { return !t.mayLose() && t.Told[log[i].Value] == core.Delivered && t.once(p, i) }); i < 0 {
			return ""
		}
		t.Logs[p] = slices.Delete(log, i, i+1)
		return fmt.Sprintf("record %d of p%d is missing", i, p+1)
	case 1:
		if i = pick(r, len(log), func(i int) bool {
			return t.Mode.Idempotent || t.Mode != None && len(t.requests(p, log[i].Value)) == 1 && t.Told[log[i].Value] == core.Delivered
		}); i < 0 {
			return ""
		}
		at := i + 1 + r.IntN(len(log)-i)
		t.Logs[p] = slices.Insert(log, at, log[i])
		return fmt.Sprintf("record %d of p%d is there twice", i, p+1)
	case 2:
		if i = pick(r, len(log)-1, func(i int) bool {
			return t.Mode.Idempotent || t.once(p, i) && t.once(p, i+1) && slices.Equal(t.requests(p, log[i].Value), t.requests(p, log[i+1].Value))
		}); i < 0 {
			return ""
		}
		log[i].Value, log[i+1].Value = log[i+1].Value, log[i].Value
		return fmt.Sprintf("records %d and %d of p%d are swapped", i, i+1, p+1)
	case 3:
		var absent []string
		for _, e := range t.Events {
			for _, v := range e.Values {
				if e.Partition == p && (t.Told[v] == core.NotSent || t.Told[v] == core.Rejected) {
					absent = append(absent, v)
				}
			}
		}
		if absent == nil {
			return ""
		}
		last := log[len(log)-1]
		last.Value = absent[r.IntN(len(absent))]
		t.Logs[p] = append(log, last)
		return fmt.Sprintf("%q, which is %v, is in the log of p%d", last.Value, t.Told[last.Value], p+1)
	}
	i = r.IntN(len(log))
	log[i].Epoch++
	return fmt.Sprintf("record %d of p%d has another epoch", i, p+1)
}

// mayLose reports whether a delivered message may be in no log.
func (t *Trace) mayLose() bool { return t.Mode == None || t.Mode == One && t.Leader.Loses }

// once reports whether no other record of the log has the message of record i.
func (t *Trace) once(p, i int) bool {
	n := 0
	for _, r := range t.Logs[p] {
		if r.Value == t.Logs[p][i].Value {
			n++
		}
	}
	return n == 1
}

// requests returns the events in which a request with the message begins.
func (t *Trace) requests(p int, value string) (at []int) {
	m := core.Message(0)
	for i, e := range t.Events {
		if e.Topic == "" || e.Partition != p {
			continue
		}
		if j := slices.Index(e.Values, value); j >= 0 {
			m = e.First + core.Message(j)
		}
		if e.Kind == core.EventSend && slices.ContainsFunc(e.Request.Messages, func(r core.Run) bool { return r.First <= m && m <= r.Last }) {
			at = append(at, i)
		}
	}
	return at
}

// another returns another verdict.
func another(r *rand.Rand, v core.Verdict) core.Verdict {
	return core.Delivered + (v-core.Delivered+core.Verdict(1+r.IntN(3)))%4
}

// corruptTold alters the verdict that a caller got.
func (t *Trace) corruptTold(r *rand.Rand) string {
	var values []string
	for _, e := range t.Events {
		values = append(values, e.Values...)
	}
	if values == nil {
		return ""
	}
	v := values[r.IntN(len(values))]
	t.Told[v] = another(r, t.Told[v])
	return fmt.Sprintf("the caller of %q got %v", v, t.Told[v])
}

// corruptVerdict alters a verdict in the outcome of an event.
func (t *Trace) corruptVerdict(r *rand.Rand) string {
	i := pick(r, len(t.Events), func(i int) bool { return len(t.Events[i].Decided) > 0 })
	if i < 0 {
		return ""
	}
	e := &t.Events[i]
	e.Decided = slices.Clone(e.Decided)
	d := &e.Decided[r.IntN(len(e.Decided))]
	d.Verdict = another(r, d.Verdict)
	return fmt.Sprintf("event %d gives the verdict %v", i, d.Verdict)
}

// corruptAnswer alters an answer whose outcome no other answer has.
func (t *Trace) corruptAnswer(r *rand.Rand) string {
	i := pick(r, len(t.Events), func(i int) bool {
		e := t.Events[i]
		return e.Kind == core.EventAnswer && (e.Answer == core.Ok && len(e.Decided) > 0 || e.Answer == core.Retry && e.State == core.Waiting)
	})
	if i < 0 {
		return ""
	}
	e := &t.Events[i]
	for old := e.Answer; e.Answer == old; {
		e.Answer = core.Answer(r.IntN(int(core.Sequence) + 1))
	}
	return fmt.Sprintf("the answer of event %d is %v", i, e.Answer)
}

// corruptRequest alters a request.
func (t *Trace) corruptRequest(r *rand.Rand) string {
	i := pick(r, len(t.Events), func(i int) bool { return t.Events[i].Kind == core.EventTake || t.Events[i].Kind == core.EventSend })
	if i < 0 {
		return ""
	}
	q := &t.Events[i].Request
	switch r.IntN(5) {
	case 0:
		if t.Events[i].Kind == core.EventTake { // the first names the id
			q.Again = !q.Again
			return fmt.Sprintf("the request of event %d is sent again", i)
		}
		q.ID++
		return fmt.Sprintf("the request of event %d has another id", i)
	case 1:
		q.Epoch++
		return fmt.Sprintf("the request of event %d has another epoch", i)
	case 2:
		q.Sequence++
		return fmt.Sprintf("the request of event %d has another sequence number", i)
	case 3:
		q.Messages = slices.Clone(q.Messages)
		q.Messages[len(q.Messages)-1].Last++
		return fmt.Sprintf("the request of event %d has a message more", i)
	}
	q.Again = !q.Again
	return fmt.Sprintf("the request of event %d is sent again: %t", i, q.Again)
}

// after returns the next event of the same partition; -1: there is none.
func (t *Trace) after(i int) int {
	for j := i + 1; j < len(t.Events); j++ {
		if t.Events[j].Topic != "" && t.Events[j].Partition == t.Events[i].Partition {
			return j
		}
	}
	return -1
}

// drop drops an event that the next event of its partition needs.
func (t *Trace) drop(r *rand.Rand) string {
	i := pick(r, len(t.Events), func(i int) bool {
		j := t.after(i)
		if j < 0 || t.Events[i].Topic == "" {
			return false
		}
		next := t.Events[j].Kind
		switch t.Events[i].Kind {
		case core.EventAdmit, core.EventWithdraw:
			return true
		case core.EventTake:
			return next == core.EventSend
		case core.EventSend:
			return next == core.EventWrite
		case core.EventWrite:
			return next == core.EventAnswer || next == core.EventHandedOver
		case core.EventAnswer, core.EventLose, core.EventHandedOver:
			return next == core.EventSend || next == core.EventTake || next == core.EventStopEnds
		case core.EventStop:
			return next == core.EventStopEnds
		}
		return false
	})
	if i < 0 {
		return ""
	}
	what := fmt.Sprintf("without event %d, %s", i, show(t.Events[i]))
	t.Events = slices.Delete(t.Events, i, i+1)
	return what
}

// swap swaps two events of a partition of which the second needs the first.
func (t *Trace) swap(r *rand.Rand) string {
	type pair struct{ first, second core.Event }
	needs := []pair{
		{core.EventTake, core.EventSend}, {core.EventSend, core.EventWrite}, {core.EventWrite, core.EventAnswer},
		{core.EventAnswer, core.EventSend}, {core.EventAnswer, core.EventTake}, {core.EventLose, core.EventSend},
		{core.EventWrite, core.EventHandedOver}, {core.EventHandedOver, core.EventTake},
	}
	i := pick(r, len(t.Events), func(i int) bool {
		j := t.after(i)
		return j >= 0 && t.Events[i].Topic != "" && slices.Contains(needs, pair{t.Events[i].Kind, t.Events[j].Kind})
	})
	if i < 0 {
		return ""
	}
	j := t.after(i)
	t.Events[i], t.Events[j] = t.Events[j], t.Events[i]
	return fmt.Sprintf("events %d and %d are swapped", i, j)
}
