package delivery

import (
	"fmt"
	"strconv"

	"github.com/seed3893aba4/surestart/spec"
)

// Diff returns every variable in which got differs from want, in the order of
// tla/Partition.tla. The Index of a difference is a partition ("p1"), a message of a
// partition ("p1,2") or a producer id ("1").
func Diff(want, got State) []spec.Difference {
	var ds []spec.Difference
	add := func(name, index string, w, g any) {
		if w != g {
			ds = append(ds, spec.Difference{Var: name, Index: index, Want: fmt.Sprint(w), Got: fmt.Sprint(g)})
		}
	}
	each := func(compare func(index string, w, g *Partition)) {
		for p := range want.Partitions {
			compare("p"+strconv.Itoa(p+1), &want.Partitions[p], &got.Partitions[p])
		}
	}
	ids := func(name string, w, g *[maxIDs]Number) {
		for i := range w {
			add(name, strconv.Itoa(i+1), w[i], g[i])
		}
	}
	add("run", "", want.Run, got.Run)
	each(func(p string, w, g *Partition) { add("admitted", p, w.Admitted, g.Admitted) })
	each(func(p string, w, g *Partition) { add("queue", p, w.Queue, g.Queue) })
	each(func(p string, w, g *Partition) { add("batch", p, w.Batch, g.Batch) })
	each(func(p string, w, g *Partition) { add("wire", p, w.Wire, g.Wire) })
	each(func(p string, w, g *Partition) {
		for i := range w.Verdict {
			add("verdict", p+","+strconv.Itoa(i+1), w.Verdict[i], g.Verdict[i])
		}
	})
	each(func(p string, w, g *Partition) {
		for i := range w.Tried {
			add("tried", p+","+strconv.Itoa(i+1), w.Tried[i], g.Tried[i])
		}
	})
	add("id", "", want.ID, got.ID)
	ids("highest", &want.Highest, &got.Highest)
	ids("floor", &want.Floor, &got.Floor)
	each(func(p string, w, g *Partition) { add("pid", p, w.Pid, g.Pid) })
	each(func(p string, w, g *Partition) { add("epoch", p, w.Epoch, g.Epoch) })
	each(func(p string, w, g *Partition) { add("sequence", p, w.Sequence, g.Sequence) })
	add("late", "", want.Late, got.Late)
	each(func(p string, w, g *Partition) { add("log", p, w.Log, g.Log) })
	each(func(p string, w, g *Partition) { add("safe", p, w.Safe, g.Safe) })
	each(func(p string, w, g *Partition) { add("lost", p, w.Lost, g.Lost) })
	add("starts", "", want.Starts, got.Starts)
	add("frees", "", want.Frees, got.Frees)
	add("moves", "", want.Moves, got.Moves)
	return ds
}

// StepOf returns the step of an action that leads from one state to the other. TLC's labels have no
// parameters, so it compares the states. It returns false if several steps may lead there: a Move
// that loses nothing may be a move of either partition, and an AnswerInvalid may also refuse
// records that have a verdict already.
func StepOf(action Action, from, to *State) (Step, bool) {
	st := Step{Action: action}
	kind := action.parameters()
	if kind == ofProducer {
		return st, true
	}
	p := 0
	for p < len(from.Partitions) && from.Partitions[p] == to.Partitions[p] {
		p++
	}
	if p == len(from.Partitions) { // a Move that loses nothing
		p = 0
		if from.Partitions[1] != (Partition{}) {
			return Step{}, false
		}
	}
	f, t := &from.Partitions[p], &to.Partitions[p]
	st.Partition = uint8(p)
	decided := t.decided() &^ f.decided()
	switch kind {
	case ofMessage:
		for !decided.Has(st.Message) && int(st.Message) < maxMessages {
			st.Message++
		}
		return st, decided == only(st.Message)
	case ofTaken:
		st.N = uint8(t.Batch.Messages.Len())
	case ofRecords:
		st.Records = decided
		return st, f.Batch.Messages.Set()&f.decided() == 0
	case ofAnswer:
		a, ok := t.Wire.Answer()
		st.Answer = a
		return st, ok
	case ofLate:
		n := t.Log.Len()
		if n == 0 {
			return Step{}, false
		}
		v := t.Log[n-1]
		st.Late = Request{uint8(p), v.Pid, v.Epoch, v.Seq, v.Messages}
	case ofLength:
		st.N = uint8(t.Log.Len())
	}
	return st, true
}
