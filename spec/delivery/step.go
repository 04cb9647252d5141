package delivery

import (
	"fmt"
	"strconv"
)

// Action is a disjunct of Next in tla/PartitionOnKafka.tla, with its name. Terminating is not an
// Action, because it is not a step of the code: see [Bound.Terminated].
type Action uint8

// The actions, in the order of Next. Those up to NewID are in tla/Partition.tla: steps of a
// partition's core, its calls and its network, and of the producer. The others are steps of
// leaders.
const (
	Admit Action = iota
	WithdrawQueued
	WithdrawTaken
	GiveUp
	Take
	TakeInNextEpoch
	Send
	Write
	LoseUnwritten
	LoseWritten
	LoseAnswer
	AnswerOk
	HandedOver
	AnswerUnsure
	AnswerRetry
	AnswerRefused
	Split
	AnswerInvalid
	AnswerSequence
	Stop
	StopEnds
	Cut
	Start
	Free
	NewID
	LeaderAppends
	LeaderAppendsUnsure
	LeaderHasIt
	LeaderFails
	LeaderRefuses
	LeaderExpectsAnother
	LateAppends
	Move

	numActions = iota
)

var actionNames = [numActions]string{
	"Admit", "WithdrawQueued", "WithdrawTaken", "GiveUp", "Take", "TakeInNextEpoch", "Send", "Write",
	"LoseUnwritten", "LoseWritten", "LoseAnswer",
	"AnswerOk", "HandedOver", "AnswerUnsure", "AnswerRetry", "AnswerRefused", "Split", "AnswerInvalid", "AnswerSequence",
	"Stop", "StopEnds", "Cut", "Start", "Free", "NewID",
	"LeaderAppends", "LeaderAppendsUnsure", "LeaderHasIt", "LeaderFails", "LeaderRefuses", "LeaderExpectsAnother", "LateAppends", "Move",
}

// Actions lists every action, in order.
func Actions() []Action {
	all := make([]Action, numActions)
	for i := range all {
		all[i] = Action(i)
	}
	return all
}

// String returns the action's name in the TLA+.
func (a Action) String() string { return nameOf(actionNames[:], uint8(a)) }

// parameters says which parameters an action has in addition to its partition.
type parameters uint8

const (
	ofPartition parameters = iota // none
	ofProducer                    // none, and no partition
	ofMessage                     // Message
	ofTaken                       // N, from 1 on
	ofRecords                     // Records
	ofAnswer                      // Answer
	ofLate                        // Late
	ofLength                      // N, from 0 on
)

func (a Action) parameters() parameters {
	switch a {
	case Stop, StopEnds, Cut, Start, NewID:
		return ofProducer
	case WithdrawQueued, WithdrawTaken, GiveUp:
		return ofMessage
	case Take, TakeInNextEpoch:
		return ofTaken
	case AnswerInvalid:
		return ofRecords
	case LeaderRefuses:
		return ofAnswer
	case LateAppends:
		return ofLate
	case Move:
		return ofLength
	}
	return ofPartition
}

// Step is an action with its parameters. Those that the action does not have are zero.
type Step struct {
	Action    Action
	Partition uint8   // counted from 0; of LateAppends: the partition of its request
	Message   uint8   // of WithdrawQueued, WithdrawTaken and GiveUp, counted from 1
	N         uint8   // of Take and TakeInNextEpoch: the number of messages; of Move: the length of the log
	Records   Set     // of AnswerInvalid: the refused messages
	Answer    Answer  // of LeaderRefuses
	Late      Request // of LateAppends
}

// ActionNumber returns the number of the step's action, and how many actions there are.
func (st Step) ActionNumber() (number, of int) { return int(st.Action), numActions }

// String returns, for example, "WithdrawTaken(p1, 2)", "AnswerInvalid(p1, {1, 2})" or "Stop".
func (st Step) String() string {
	arg := ""
	switch st.Action.parameters() {
	case ofProducer:
		return st.Action.String()
	case ofMessage:
		arg = strconv.Itoa(int(st.Message))
	case ofTaken, ofLength:
		arg = strconv.Itoa(int(st.N))
	case ofRecords:
		arg = st.Records.String()
	case ofAnswer:
		arg = st.Answer.String()
	case ofLate:
		return fmt.Sprintf("%v(%v)", st.Action, st.Late)
	default:
		return fmt.Sprintf("%v(p%d)", st.Action, st.Partition+1)
	}
	return fmt.Sprintf("%v(p%d, %s)", st.Action, st.Partition+1, arg)
}

// Next takes one step from s. It returns false, and s, where the step is not enabled
// or has parameters that its action does not have.
func (b Bound) Next(s State, st Step) (State, bool) {
	if !b.knows(st) {
		return s, false
	}
	ok := b.do(&s, &st)
	return s, ok
}

// knows reports whether the parameters are of the action and within the bound.
func (b *Bound) knows(st Step) bool {
	if int(st.Partition) >= b.Partitions || st.Action >= numActions {
		return false
	}
	plain := Step{Action: st.Action, Partition: st.Partition}
	switch st.Action.parameters() {
	case ofProducer:
		plain.Partition = 0
	case ofMessage:
		if plain.Message = st.Message; st.Message < 1 || int(st.Message) > b.MaxMessages {
			return false
		}
	case ofTaken:
		if plain.N = st.N; st.N < 1 || int(st.N) > b.MaxBatch {
			return false
		}
	case ofRecords:
		if plain.Records = st.Records; st.Records&^upTo(uint8(b.MaxMessages)) != 0 {
			return false
		}
	case ofAnswer:
		plain.Answer = st.Answer
	case ofLate:
		if plain.Late = st.Late; st.Late.Part != st.Partition {
			return false
		}
	case ofLength:
		if plain.N = st.N; int(st.N) > b.MaxMessages {
			return false
		}
	}
	return st == plain
}

// do is Next in place, of a step that the bound knows. An action whose guards fail
// leaves s untouched.
func (b *Bound) do(s *State, st *Step) bool {
	switch p := int(st.Partition); st.Action {
	case Admit:
		return b.admit(s, p)
	case WithdrawQueued:
		return b.withdrawQueued(s, p, st.Message)
	case WithdrawTaken:
		return b.withdrawTaken(s, p, st.Message)
	case GiveUp:
		return b.giveUp(s, p, st.Message)
	case Take:
		return b.take(s, p, int(st.N))
	case TakeInNextEpoch:
		return b.takeInNextEpoch(s, p, int(st.N))
	case Send:
		return b.send(s, p)
	case Write:
		return b.write(s, p)
	case LoseUnwritten:
		return b.loseUnwritten(s, p)
	case LoseWritten:
		return b.loseWritten(s, p)
	case LoseAnswer:
		return b.loseAnswer(s, p)
	case AnswerOk:
		return b.answerOk(s, p)
	case HandedOver:
		return b.handedOver(s, p)
	case AnswerUnsure:
		return b.answerUnsure(s, p)
	case AnswerRetry:
		return b.answerRetry(s, p)
	case AnswerRefused:
		return b.answerRefused(s, p)
	case Split:
		return b.split(s, p)
	case AnswerInvalid:
		return b.answerInvalid(s, p, st.Records)
	case AnswerSequence:
		return b.answerSequence(s, p)
	case Stop:
		return b.stop(s)
	case StopEnds:
		return b.stopEnds(s)
	case Cut:
		return b.cutOff(s)
	case Start:
		return b.start(s)
	case Free:
		return b.free(s, p)
	case NewID:
		return b.newID(s)
	case LeaderAppends:
		return b.leaderAppends(s, p)
	case LeaderAppendsUnsure:
		return b.leaderAppendsUnsure(s, p)
	case LeaderHasIt:
		return b.leaderHasIt(s, p)
	case LeaderFails:
		return b.leaderFails(s, p)
	case LeaderRefuses:
		return b.leaderRefuses(s, p, st.Answer)
	case LeaderExpectsAnother:
		return b.leaderExpectsAnother(s, p)
	case LateAppends:
		return b.lateAppends(s, &st.Late)
	case Move:
		return b.move(s, p, int(st.N))
	}
	return false
}

// Enabled appends to buf the steps that Next would take from s, in the order of
// actions: it tries each. A bound that Check refuses may make it panic.
func (b Bound) Enabled(s *State, buf []Step) []Step {
	next := *s
	try := func(st Step) {
		if b.do(&next, &st) {
			buf = append(buf, st)
			next = *s
		}
	}
	for a := range Action(numActions) {
		kind := a.parameters()
		switch kind {
		case ofProducer:
			try(Step{Action: a})
			continue
		case ofLate:
			for _, r := range s.Late[:s.Late.Len()] {
				try(Step{Action: a, Partition: r.Part, Late: r})
			}
			continue
		}
		for p := range uint8(b.Partitions) {
			st := Step{Action: a, Partition: p}
			switch kind {
			case ofPartition:
				try(st)
			case ofMessage:
				for st.Message = 1; int(st.Message) <= b.MaxMessages; st.Message++ {
					try(st)
				}
			case ofTaken:
				for st.N = 1; int(st.N) <= b.MaxBatch; st.N++ {
					try(st)
				}
			case ofRecords:
				for st.Records = 1; st.Records <= upTo(uint8(b.MaxMessages)); st.Records++ {
					try(st)
				}
			case ofAnswer:
				for st.Answer = 0; st.Answer < numAnswers; st.Answer++ {
					try(st)
				}
			case ofLength:
				for ; int(st.N) <= b.MaxMessages; st.N++ {
					try(st)
				}
			}
		}
	}
	return buf
}

// Terminated reports whether the producer is stopped and no start is left. The TLA+ calls the
// only step of such a state Terminating.
func (b Bound) Terminated(s *State) bool {
	return s.Run == RunStopped && int(s.Starts) == b.MaxStarts
}
