package trace

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed3893aba4/surestart/internal/core"
	model "github.com/seed3893aba4/surestart/spec/delivery"
)

// Tally counts what the traces of one mode show.
type Tally struct {
	traces, events, messages, moves, most int
	classes                               [numClasses]int
}

// Situations that only an interfering network, leader or caller brings about.
const (
	showsLost       = iota // a request that was written gets no answer
	showsUnwritten         // a request is not written whole
	showsAgain             // a batch in doubt is sent again
	showsDuplicate         // which its leader has already
	showsLanded            // a request of which no answer came was appended
	showsUnsure            // an answer that leaves doubt
	showsAppended          // given after the append
	showsFinal             // one that is in no table
	showsRetry             // refused for now
	showsRefused           // for good
	showsSplit             // too large
	showsInvalid           // some of the records
	showsSequence          // another epoch or sequence number is expected
	showsFenced            // by a batch that may have been appended
	showsQueued            // withdrawn from the queue
	showsTaken             // from the batch
	showsGivenUp           // a verdict while a request is under way, or the batch in doubt
	showsEpoch             // a batch ended in doubt, and the next one has another epoch
	showsCut               // a forced stop
	showsInDoubt           // with a request under way
	showsRestart           // a start after a stop
	showsNewID             // another producer id
	showsNumbers           // the sequence numbers have run out
	showsHeld              // the callers of one event get different verdicts
	showsMoved             // a leader is changed
	showsHandedOver        // a message is delivered without an answer
	showsAbsent            // and is not in the log
	showsTwice             // a message is in the log twice
	showsLostAck           // a message is acknowledged, and lost with its leader

	numClasses
)

// The modes in which a class must occur among many lives. A rare class must occur only in the most
// frequent mode.
const (
	inIdempotent = 1 << iota
	inAll
	inOne
	inNone

	answered = inIdempotent | inAll | inOne
	inAny    = answered | inNone
)

var classes = [numClasses]struct {
	name string
	in   int
}{
	{"lost", answered}, {"unwritten", inAny}, {"again", answered}, {"duplicate", inIdempotent}, {"landed", inAny},
	{"unsure", answered}, {"appended", answered}, {"final", answered}, {"retry", answered}, {"refused", answered},
	{"split", answered}, {"invalid", answered}, {"sequence", inIdempotent}, {"fenced", inIdempotent},
	{"queued", inAny}, {"taken", inIdempotent}, {"givenup", inAny}, {"epoch", inIdempotent}, {"cut", inAny}, {"indoubt", inIdempotent},
	{"restart", inAny}, {"newid", inIdempotent}, {"numbers", inIdempotent}, {"mixed", inIdempotent},
	{"moved", inAny}, {"handedover", inNone}, {"absent", inNone}, {"twice", inAll | inOne},
	{"lostack", 0}, // the embedded brokers lose nothing
}

// Add counts an accepted trace.
func (y *Tally) Add(t *Trace, a Accepted) {
	y.traces++
	y.events += a.Events
	y.messages += a.Messages
	y.moves += t.Moves
	y.most = max(y.most, a.Most)
	for i, shown := range t.shows(a) {
		if shown {
			y.classes[i]++
		}
	}
}

// shows returns the classes that the trace is in.
func (t *Trace) shows(a Accepted) (in [numClasses]bool) {
	note := func(class int, shown bool) { in[class] = in[class] || shown }
	written := make([]bool, len(t.Logs))
	state := make([]core.State, len(t.Logs))
	epoch := make([]int16, len(t.Logs))
	starts := 0
	for _, e := range t.Events {
		p := e.Partition
		before := state[p]
		doubt := before >= core.DoubtWaiting && before <= core.DoubtAwaiting
		switch e.Kind {
		case core.EventSend:
			written[p] = false
			note(showsAgain, e.Request.Again)
		case core.EventTake:
			note(showsEpoch, e.Request.Epoch > epoch[p] && epoch[p] > 0)
			note(showsNumbers, t.Limits.MaxSequence < 100 && e.Request.Epoch > epoch[p])
			epoch[p] = e.Request.Epoch
		case core.EventWrite:
			written[p] = true
		case core.EventLose:
			note(showsLost, written[p])
			note(showsUnwritten, !written[p])
		case core.EventAnswer:
			switch e.Answer {
			case core.Unsure:
				note(showsUnsure, true)
			case core.Final:
				note(showsFinal, true)
			case core.Retry:
				note(showsRetry, true)
			case core.Refused:
				note(showsRefused, true)
			case core.Sequence:
				note(showsSequence, true)
				note(showsFenced, doubt)
			case core.Large, core.Invalid:
				note(showsSplit, e.Decided == nil && e.Changed)
				note(showsInvalid, e.Answer == core.Invalid && e.Changed && e.Decided != nil)
			}
		case core.EventWithdraw:
			v := e.Decided[0].Verdict
			note(showsGivenUp, v == core.Maybe)
			note(showsTaken, v != core.Maybe && (e.Changed || e.State == core.Empty && before == core.Waiting))
			note(showsQueued, v == core.NotSent && before >= core.Writing)
		case core.EventCut:
			note(showsCut, len(e.Decided) > 0)
			note(showsInDoubt, len(e.Decided) > 0 && before >= core.Writing)
		case core.EventHandedOver:
			note(showsHandedOver, len(e.Decided) > 0)
			for _, d := range e.Decided {
				for m := d.First; m <= d.Last; m++ {
					note(showsAbsent, !t.holds(p, m))
				}
			}
		case core.EventStart:
			starts++
			note(showsRestart, starts > 1)
			clear(state)
			continue
		case core.EventNewID:
			note(showsNewID, true)
			continue
		}
		note(showsHeld, len(e.Decided) > 1 && e.Decided[0].Verdict != e.Decided[1].Verdict)
		state[p] = e.State
	}
	note(showsDuplicate, a.Took[model.LeaderHasIt])
	note(showsLanded, a.Took[model.LateAppends] || a.Took[model.LoseAnswer])
	note(showsMoved, t.Moves > 0)
	for _, log := range t.Logs {
		values := make(map[string]bool)
		for _, r := range log {
			note(showsTwice, values[r.Value])
			values[r.Value] = true
		}
	}
	note(showsLostAck, a.Took[model.Move])
	note(showsAppended, a.Took[model.LeaderAppendsUnsure])
	return in
}

// holds reports whether the log of a partition has a message.
func (t *Trace) holds(p int, m core.Message) bool {
	for _, e := range t.Events {
		if e.Kind == core.EventAdmit && e.Partition == p && e.First <= m && m < e.First+core.Message(len(e.Values)) {
			return slices.ContainsFunc(t.Logs[p], func(r Entry) bool { return r.Value == e.Values[m-e.First] })
		}
	}
	return false
}

// String returns the counts in the form of a report's line.
func (y *Tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "traces=%d messages=%d events=%d moves=%d states-at-once=%d", y.traces, y.messages, y.events, y.moves, y.most)
	for i, c := range classes {
		if y.classes[i] > 0 {
			fmt.Fprintf(&b, " %s=%d", c.name, y.classes[i])
		}
	}
	return b.String()
}

// Missing returns the classes that must occur in the mode and that no trace is in.
func (y *Tally) Missing(m Mode) (names []string) {
	for i, n := range y.classes {
		if n == 0 && classes[i].in>>slices.Index(Modes, m)&1 == 1 {
			names = append(names, classes[i].name)
		}
	}
	return names
}
