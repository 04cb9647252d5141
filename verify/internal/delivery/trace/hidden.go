package trace

import (
	"slices"

	"github.com/seed3893aba4/surestart/internal/core"
	model "github.com/seed3893aba4/surestart/spec/delivery"
)

// close adds to the states everything that steps of the network and the leaders can make of them.
//
// It runs only before an event that depends on such steps: an answer, the loss of a request, the
// end of a start, and the end of the trace. A hidden step commutes with every other event of a
// core, because these neither read nor write a log, a late request, or a request under way.
//
// Three rules keep the states few.
//
// The log that was read back is the whole history of a partition. A state whose log is not a prefix
// of it leads nowhere, and is dropped. Messages that a leader loses are an exception; they are lost
// at once: see moved.
//
// Of the answers of a leader, only the next one that the producer got from that partition is tried.
// Without a next answer the request is lost or cut off, and only an append matters.
//
// Where leaders do not answer, only late requests are appended, at any time and any number of
// times. Then only the states are kept in which everything is appended that can be.
func (k *checker) close() {
	early := make(map[int]bool)
	for i := 0; i < len(k.states); i++ {
		was := k.took[i]
		k.hidden(&k.states[i], func(a model.Action, next model.State) {
			took := was | 1<<a
			if !k.explains(&next) {
				if a != model.LeaderAppends || !k.moved(&next) {
					return
				}
				took |= 1 << model.Move
			}
			early[i] = early[i] || a == model.LateAppends
			k.forget(&next)
			if j := slices.Index(k.states, next); j >= 0 {
				k.took[j] = richer(k.took[j], took)
				return
			}
			if len(k.states) == tooMany {
				panic("more states than are kept")
			}
			k.states, k.took = append(k.states, next), append(k.took, took)
			k.inferred++
		})
	}
	k.most = max(k.most, len(k.states))
	if k.Mode == None {
		kept := 0
		for i := range k.states {
			if !early[i] {
				k.states[kept], k.took[kept] = k.states[i], k.took[i]
				kept++
			}
		}
		k.states, k.took = k.states[:kept], k.took[:kept]
	}
}

// tooMany states take a gigabyte. Usually there are at most some hundred.
const tooMany = 100_000

// hidden calls each with the states to which the hidden steps lead from s.
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
// batch says that the batch is too large.
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

// noAnswer stands for the next answer if there is none.
const noAnswer core.Answer = 255

// lookAhead sets what the next event of its start shows of the request under way of each partition.
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

// forget removes from late the requests that no leader will append any more, because the rest of
// the log that was read back does not have their messages. More states are then equal.
func (k *checker) forget(s *model.State) {
	var late model.Requests
	for _, r := range s.Late[:s.Late.Len()] {
		if k.comes(s, &r) {
			late.Add(r)
		}
	}
	s.Late = late
}

// comes reports whether the part of a log that s does not explain yet has the messages of a
// request.
func (k *checker) comes(s *model.State, r *model.Request) bool {
	rest := k.wanted[r.Part][k.explained(s, int(r.Part)):]
	ms := r.Messages[:r.Messages.Len()]
	for ; len(rest) >= len(ms); rest = rest[1:] {
		n := 0
		for n < len(ms) && rest[n] == (placed{ms[n], r.Pid, r.Epoch}) {
			n++
		}
		if n == len(ms) {
			return true
		}
	}
	return false
}

// moved makes a leader lose the batch that it appended last and acknowledged, in the mode in which
// its acknowledgement is enough for a delivered message. It reports whether the logs are then
// prefixes of those that were read. In the other modes a batch that is lost with its leader might
// as well never have been appended.
func (k *checker) moved(s *model.State) bool {
	if k.Mode != One || !k.Leader.Loses {
		return false
	}
	for p := range k.parts {
		if n := s.Partitions[p].Log.Len(); k.explained(s, p) < 0 && k.parts[p].next == core.Ok {
			*s, _ = k.bound.Next(*s, model.Step{Action: model.Move, Partition: uint8(p), N: uint8(n - 1)})
		}
	}
	return k.explains(s)
}

// explains reports whether the logs of s are prefixes of those that were read.
func (k *checker) explains(s *model.State) bool {
	for p := range k.parts {
		if k.explained(s, p) < 0 {
			return false
		}
	}
	return true
}

// explained returns how many records of a log s has; -1: it has others.
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
