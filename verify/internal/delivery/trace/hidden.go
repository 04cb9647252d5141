package trace

import (
	"slices"

	"github.com/seed3893aba4/surestart/internal/core"
	model "github.com/seed3893aba4/surestart/spec/delivery"
)

// close adds to the states all that the network and the leaders can make of them.
//
// It is done only before an event that depends on what they did: an answer, the loss of a request,
// the end of a start, and the end of the trace. A hidden step commutes with every other event of a
// core, since these neither read nor write a log, a late request, or a request under way.
//
// Two things keep the states few. The log that was read back is the whole history of a partition,
// because nothing that was appended is lost: a state whose log is no beginning of it leads nowhere,
// and is dropped. And of what a leader may answer only that is tried which is the next answer that
// the producer got to that partition. Without a next answer the request is lost or cut off, and the
// answer is nobody's: an append is all that matters then.
func (k *checker) close() {
	for i := 0; i < len(k.states); i++ {
		took := k.took[i]
		k.hidden(&k.states[i], func(a model.Action, next model.State) {
			if !k.explains(&next) {
				return
			}
			k.forget(&next)
			if j := slices.Index(k.states, next); j >= 0 {
				k.took[j] = richer(k.took[j], took|1<<a)
				return
			}
			if len(k.states) == tooMany {
				panic("more states than are kept")
			}
			k.states, k.took = append(k.states, next), append(k.took, took|1<<a)
			k.inferred++
		})
	}
	k.most = max(k.most, len(k.states))
}

// tooMany states take a gigabyte. There are some hundred at most.
const tooMany = 100_000

// hidden calls each with where the hidden steps lead from s.
func (k *checker) hidden(s *model.State, each func(model.Action, model.State)) {
	was := *s // the list that s is in grows
	try := func(st model.Step) {
		if next, ok := k.bound.Next(was, st); ok {
			each(st.Action, next)
		}
	}
	for p := range uint8(len(k.parts)) {
		switch was.Partitions[p].Wire {
		case model.WireWriting:
			if !k.parts[p].unwritten {
				try(model.Step{Action: model.Write, Partition: p})
			}
		case model.WireWritten:
			for _, st := range leads[k.parts[p].next] {
				st.Partition = p
				try(st)
			}
		}
	}
	for _, r := range was.Late[:was.Late.Len()] {
		try(model.Step{Action: model.LateAppends, Partition: r.Part, Late: r})
	}
}

// leads are the steps of a leader that lead to an answer. An answer that names no record of the
// batch is one that the batch is too large.
var leads = map[core.Answer][]model.Step{
	core.Ok:       {{Action: model.LeaderAppends}, {Action: model.LeaderHasIt}},
	core.Unsure:   {{Action: model.LeaderFails}, {Action: model.LeaderAppendsUnsure}},
	core.Final:    {{Action: model.LeaderFails}, {Action: model.LeaderAppendsUnsure}},
	core.Retry:    {{Action: model.LeaderRefuses, Answer: model.CodeRetry}},
	core.Refused:  {{Action: model.LeaderRefuses, Answer: model.CodeRefused}},
	core.Large:    {{Action: model.LeaderRefuses, Answer: model.CodeLarge}},
	core.Invalid:  {{Action: model.LeaderRefuses, Answer: model.CodeInvalid}, {Action: model.LeaderRefuses, Answer: model.CodeLarge}},
	core.Sequence: {{Action: model.LeaderExpectsAnother}},
	noAnswer:      {{Action: model.LeaderAppends}},
}

// noAnswer is the next answer where there is none.
const noAnswer core.Answer = 255

// lookAhead sets what the next event of its start tells of the request under way of each partition.
func (k *checker) lookAhead(at int) {
	for i := range k.parts {
		k.parts[i].next, k.parts[i].unwritten = noAnswer, false
	}
	found := 0
	written := make([]bool, len(k.parts))
	for i := range k.parts {
		written[i] = k.parts[i].written
	}
	seen := make([]bool, len(k.parts))
	for i, q := range k.parts {
		if seen[i] = q.ended; q.ended { // what comes is of the next start
			found++
		}
	}
	for _, e := range k.Events[at:] {
		if found == len(k.parts) {
			return
		}
		if e.Topic == "" || seen[e.Partition] {
			continue
		}
		switch e.Kind {
		case core.EventWrite:
			written[e.Partition] = true
			continue
		case core.EventAnswer:
			k.parts[e.Partition].next = e.Answer
		case core.EventLose:
			k.parts[e.Partition].unwritten = !written[e.Partition]
		case core.EventCut, core.EventStopEnds, core.EventHandedOver:
		default:
			continue
		}
		seen[e.Partition] = true
		found++
	}
}

// forget takes those requests out of late that no leader can append any more: a log has only ever
// higher epochs, and within one higher sequence numbers. What is left of two states is then the same
// more often.
func (k *checker) forget(s *model.State) {
	var late model.Requests
	for _, r := range s.Late[:s.Late.Len()] {
		past := false
		for p := range k.parts {
			log := &s.Partitions[p].Log
			for i := range log.Len() {
				b := &log[i]
				past = past || b.Pid == r.Pid && (k.Leader.EpochPerID || p == int(r.Part)) && b.Epoch > r.Epoch ||
					b.Pid == r.Pid && p == int(r.Part) && b.Epoch == r.Epoch && b.Seq >= r.Seq
			}
		}
		if !past {
			late.Add(r)
		}
	}
	s.Late = late
}

// explains reports whether the logs of s are beginnings of those that were read.
func (k *checker) explains(s *model.State) bool {
	for p := range k.parts {
		if k.explained(s, p) < 0 {
			return false
		}
	}
	return true
}

// explained is how many records of a log s has; -1: it has others.
func (k *checker) explained(s *model.State, p int) int {
	n, want := 0, k.wanted[p]
	log := &s.Partitions[p].Log
	for i := range log.Len() {
		b := &log[i]
		for _, m := range b.Messages[:b.Messages.Len()] {
			if n == len(want) || want[n] != (placed{m, b.Pid, b.Epoch}) {
				return -1
			}
			n++
		}
	}
	return n
}
