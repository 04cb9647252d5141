package partition_test

import (
	"slices"

	model "github.com/seed3893aba4/surestart/spec/delivery"
)

// models are the models to walk: those whose graph TLC has counted, and some others.
var models = append(pinned(), []walked{
	// kfake's leader. TLC has counted its states under symmetry.
	{"delivery-kfake", ci, with(func(b *model.Bound) {
		b.Partitions, b.MaxMessages, b.Codes, b.ZeroFirst, b.EpochPerID = 2, 3, model.CodesOf(model.CodeOk, model.CodeSequence), true, true
	}), nil},
	// A batch of two that is split with another message in the queue, and a batch of one that is too large.
	{"halves", ci, with(func(b *model.Bound) {
		b.MaxBatch, b.MaxMessages, b.Codes = 2, 3, model.CodesOf(model.CodeOk, model.CodeLarge)
	}), nil},
	{"alone", quick, with(func(b *model.Bound) { b.MaxMessages, b.Codes = 1, model.CodesOf(model.CodeOk, model.CodeLarge) }), nil},
	// The batch of one partition is fenced before it was sent, so it is not in doubt.
	{"fenced-before", quick, with(func(b *model.Bound) {
		b.Partitions, b.MaxMessages, b.MaxFrees, b.Codes, b.EpochPerID = 2, 3, 1, model.CodesOf(model.CodeOk, model.CodeSequence), true
	}), slices.Concat(on(0, model.Admit, model.TakeInNextEpoch), two)},
	// Another producer id as soon as there is one, so that a partition goes on with the old one.
	{"ids-at-once", quick, with(func(b *model.Bound) { b.EpochLimit, b.MaxIDs, b.MaxFrees = 0, 2, 1 }), nil},
	// Sequence numbers that end, and epochs that do.
	{"numbers-end", quick, with(func(b *model.Bound) {
		b.MaxBatch, b.MaxSequence, b.MaxMessages, b.Codes = 2, 1, 3, model.CodesOf(model.CodeOk)
	}), nil},
	{"epochs-end", quick, with(func(b *model.Bound) { b.MaxEpoch, b.MaxMessages, b.Codes = 1, 3, model.CodesOf(model.CodeOk) }), nil},
	// Three messages in a batch, which is split in two and one, and of which any are refused.
	{"split-three", ci, with(func(b *model.Bound) {
		b.MaxBatch, b.MaxMessages, b.Codes = 3, 3, model.CodesOf(model.CodeOk, model.CodeLarge, model.CodeInvalid, model.CodeRetry, model.CodeSequence)
	}), nil},
}...)

func pinned() (all []walked) {
	for _, p := range model.Pins() {
		in := ci
		if p.Counts.States < 14000 {
			in = quick
		}
		all = append(all, walked{p.Model, in, p.Bound, p.From})
	}
	return all
}

type walked struct {
	name  string
	in    []string
	bound model.Bound
	from  []model.Step
}

var quick, ci = []string{"quick", "ci", "deep"}, []string{"ci", "deep"}

// with is the bound of tla/DeliveryQuick.cfg, altered.
func with(alter func(*model.Bound)) model.Bound {
	b := model.Bound{
		Partitions: 1, Idempotent: true, MaxBatch: 1, MaxSequence: 9, EpochLimit: 9, MaxMessages: 2, MaxEpoch: 5, MaxIDs: 1,
		Codes: model.CodesOf(model.CodeOk, model.CodeUnsure, model.CodeSequence),
	}
	alter(&b)
	return b
}

// two leads to where the second partition has two messages delivered, in two epochs.
var two = slices.Concat(
	on(1, model.Admit, model.TakeInNextEpoch, model.Send, model.Write, model.LeaderAppends, model.AnswerOk, model.Free),
	on(1, model.Admit, model.TakeInNextEpoch, model.Send, model.Write, model.LeaderAppends, model.AnswerOk))

func on(p uint8, actions ...model.Action) (steps []model.Step) {
	for _, a := range actions {
		st := model.Step{Action: a, Partition: p}
		if a == model.TakeInNextEpoch {
			st.N = 1
		}
		steps = append(steps, st)
	}
	return steps
}
