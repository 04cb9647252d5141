package partition

import (
	"github.com/seed3893aba4/surestart/spec"
	model "github.com/seed3893aba4/surestart/spec/delivery"
)

// The guarantees, as a report names them.
const (
	oneVerdict = "D1 OneVerdict"
	truth      = "D2 Truth"
	once       = "D3 Once"
	order      = "D4 Order"
	withdrawn  = "D5 Withdrawn"
	deadline   = "D6 Deadline"
	drains     = "D7 Drains"
)

// blame returns the guarantee that the differences most plausibly concern: differences after a
// step, or in what is enabled. It only helps the reader: one broken rule often breaks several
// guarantees.
func blame(st Step, before *model.State, ds []spec.Difference) string {
	has := func(name string) *spec.Difference {
		for i := range ds {
			if ds[i].Var == name {
				return &ds[i]
			}
		}
		return nil
	}
	if d := has(varTwice); d != nil {
		return oneVerdict
	}
	if d := has(spec.VarEnabled); d != nil {
		return blameEnabled(st.Action, d.Want == "yes")
	}
	pt := &before.Partitions[st.Partition]
	doubt := pt.Batch.Maybe
	switch st.Action {
	case model.Admit:
		return order
	case model.WithdrawQueued, model.WithdrawTaken:
		if d := has("verdict"); d != nil && d.Got != "maybe" && d.Got != "none" {
			return truth // not sent, or rejected: which of them
		}
		return withdrawn
	case model.GiveUp:
		switch d := has("verdict"); {
		case d != nil && d.Got == "none":
			return deadline
		case d == nil && has("sequence") != nil:
			return truth // the next batch's numbers, after one that ended in doubt
		}
		return withdrawn
	case model.Take, model.TakeInNextEpoch:
		if has("pid") != nil || has("queue") != nil || has("batch") != nil && has("sequence") == nil {
			return order
		}
		return truth // its numbers, with which another batch has been sent
	case model.Send:
		return once
	case model.LoseUnwritten:
		if doubt {
			return truth
		}
		return withdrawn
	case model.AnswerOk, model.HandedOver:
		if has("pid") != nil {
			return order
		}
		return truth
	case model.Split, model.AnswerInvalid, model.AnswerRefused:
		switch {
		case has("verdict") != nil && has("queue") == nil:
			return truth
		case doubt:
			return once
		case has("queue") != nil:
			return order
		case has(varChanged) != nil || has("batch") != nil:
			return withdrawn
		}
		return truth
	case model.AnswerSequence:
		if doubt {
			return once
		}
		if has("queue") != nil {
			return order
		}
		return truth
	case model.LoseWritten, model.LoseAnswer, model.AnswerUnsure, model.AnswerRetry:
		if has("pid") != nil {
			return order
		}
		if d := has("batch"); d != nil && st.Action == model.AnswerRetry && !doubt {
			return withdrawn
		}
		return truth
	case model.Stop:
		return drains
	case model.StopEnds:
		return oneVerdict
	case model.Cut:
		switch d := has("verdict"); {
		case d == nil || d.Got == "none":
			return oneVerdict
		case d.Got == "maybe":
			return withdrawn
		}
		return truth
	case model.NewID:
		return order
	}
	return truth // Start, Free: the epochs that count as used
}

// blameEnabled returns the guarantee for an event that is wrongly refused (missing), or wrongly
// taken.
func blameEnabled(a model.Action, missing bool) string {
	switch a {
	case model.WithdrawQueued, model.WithdrawTaken, model.GiveUp:
		if missing {
			return deadline
		}
		return oneVerdict
	case model.Admit, model.Stop:
		return drains
	case model.Take, model.TakeInNextEpoch:
		if missing {
			return drains
		}
		return order
	case model.Send:
		if missing {
			return drains
		}
		return once
	case model.StopEnds:
		if missing {
			return drains
		}
		return oneVerdict
	case model.Cut:
		return oneVerdict
	case model.NewID:
		return order
	}
	return truth
}
