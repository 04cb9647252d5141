package trace

import (
	"fmt"
	"strings"

	"github.com/seed3893aba4/surestart/internal/core"
	model "github.com/seed3893aba4/surestart/spec/delivery"
)

// Tally counts what traces have shown.
type Tally struct {
	traces, events, messages, most int
	classes                        [numClasses]int
}

// What only a network, a leader or a caller in the way brings about.
const (
	showsLost      = iota // a request that was written gets no answer
	showsUnwritten        // a request is not written whole
	showsAgain            // a batch in doubt is sent again
	showsDuplicate        // which its leader has already
	showsLanded           // a request of which no answer came was appended
	showsUnsure           // an answer that leaves doubt
	showsAppended         // given after the append
	showsFinal            // one that is in no table
	showsRetry            // refused for now
	showsRefused          // for good
	showsSplit            // too large
	showsInvalid          // some of the records
	showsSequence         // another epoch or sequence number is expected
	showsFenced           // by a batch that may have been appended
	showsQueued           // withdrawn from the queue
	showsTaken            // from the batch
	showsGivenUp          // a verdict while a request is under way, or the batch in doubt
	showsEpoch            // a batch ended in doubt, and the next one has another epoch
	showsCut              // a forced stop
	showsInDoubt          // with a request under way
	showsRestart          // a start after a stop
	showsNewID            // another producer id
	showsNumbers          // the sequence numbers have run out
	showsHeld             // the callers of one event get different verdicts

	numClasses
)

var classNames = [numClasses]string{
	"lost", "unwritten", "again", "duplicate", "landed", "unsure", "appended", "final", "retry", "refused", "split", "invalid",
	"sequence", "fenced", "queued", "taken", "givenup", "epoch", "cut", "indoubt", "restart", "newid", "numbers", "mixed",
}

// Add counts an accepted trace.
func (y *Tally) Add(t *Trace, a Accepted) {
	y.traces++
	y.events += a.Events
	y.messages += a.Messages
	y.most = max(y.most, a.Most)
	for i, shown := range t.shows(a) {
		if shown {
			y.classes[i]++
		}
	}
}

// shows are the classes that the trace is in.
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
	note(showsAppended, a.Took[model.LeaderAppendsUnsure])
	return in
}

// String reads like a line of a report.
func (y *Tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "traces=%d messages=%d events=%d states-at-once=%d", y.traces, y.messages, y.events, y.most)
	for i, name := range classNames {
		fmt.Fprintf(&b, " %s=%d", name, y.classes[i])
	}
	return b.String()
}

// Missing are the classes in which no trace is.
func (y *Tally) Missing() (names []string) {
	for i, n := range y.classes {
		if n == 0 {
			names = append(names, classNames[i])
		}
	}
	return names
}
