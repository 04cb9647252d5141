// Package model is delivery's part of comparing TLC's state graphs: it reads their states into the
// types of package spec/delivery, compares the graphs with that executable model, and derives the
// table of a partition's core.
package model

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/seed3893aba4/surestart/spec/delivery"
	"github.com/seed3893aba4/surestart/verify/internal/compare"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

// models are the models whose graphs can be dumped, by their names in tla/delivery.json if they
// have one, each with the steps from Init to its initial state. A dump has all states, also where
// TLC checks under symmetry.
var models = []model{
	{tlc.Model{Name: "delivery-fenced", Config: "tla/DeliveryFenced.cfg", Module: "DeliveryMC"}, fenced},
	{tlc.Model{Name: "delivery-none", Config: "tla/DeliveryNone.cfg", Module: "DeliveryMC"}, nil},
	{tlc.Model{Name: "delivery-reach-fenced", Config: "tla/DeliveryReachFenced.cfg", Module: "DeliveryMC"}, fenced},
	{tlc.Model{Name: "delivery-quick", Config: "tla/DeliveryQuick.cfg", Module: "DeliveryMC"}, nil},
	{tlc.Model{Name: "delivery-further", Config: "tla/DeliveryFurther.cfg", Module: "DeliveryMC"}, further},
	{tlc.Model{Name: "delivery-plain", Config: "tla/DeliveryPlain.cfg", Module: "DeliveryMC"}, nil},
	{tlc.Model{Name: "delivery-split", Config: "tla/DeliverySplit.cfg", Module: "DeliveryMC"}, nil},
	{tlc.Model{Name: "delivery-ids", Config: "tla/DeliveryIDs.cfg", Module: "DeliveryMC"}, nil},
	{tlc.Model{Name: "delivery-requeue", Config: "verify/internal/delivery/model/tla/Requeue.cfg", Module: "DeliveryMC"}, nil},
	{tlc.Model{Name: "delivery-one", Config: "tla/DeliveryOne.cfg", Module: "DeliveryMC"}, nil},
	{tlc.Model{Name: "delivery-ids-start", Config: "tla/DeliveryIDsStart.cfg", Module: "DeliveryMC"}, nil},
	{tlc.Model{Name: "delivery-start", Config: "tla/DeliveryStart.cfg", Module: "DeliveryMC"}, nil},
	{tlc.Model{Name: "delivery-behind", Config: "tla/DeliveryBehind.cfg", Module: "DeliveryMC"}, behind},
	{tlc.Model{Name: "delivery-partitions", Config: "tla/DeliveryPartitions.cfg", Module: "DeliveryMC"}, nil},
	{tlc.Model{Name: "delivery-three", Config: "tla/DeliveryThree.cfg", Module: "DeliveryMC"}, nil},
	{tlc.Model{Name: "delivery-answers", Config: "verify/internal/delivery/model/tla/Answers.cfg", Module: "DeliveryMC"}, nil},
	{tlc.Model{Name: Deep, Config: "tla/DeliveryKfake.cfg", Module: "DeliveryMC"}, nil},
}

type model struct {
	tlc.Model
	from []delivery.Step
}

// Deep is a model that takes TLC half a minute: kfake's leader, with three messages.
const Deep = "delivery-kfake"

// fenced leads to InitFenced of tla/DeliveryMC.tla. The batch of one partition is in the log, and
// the answer did not say so. Two messages of the other partition were delivered, in two epochs.
var fenced = []delivery.Step{
	{Action: delivery.Admit}, {Action: delivery.TakeInNextEpoch, N: 1}, {Action: delivery.Send}, {Action: delivery.Write},
	{Action: delivery.LeaderAppendsUnsure}, {Action: delivery.AnswerUnsure},
	{Action: delivery.Admit, Partition: 1}, {Action: delivery.TakeInNextEpoch, Partition: 1, N: 1},
	{Action: delivery.Send, Partition: 1}, {Action: delivery.Write, Partition: 1},
	{Action: delivery.LeaderAppends, Partition: 1}, {Action: delivery.AnswerOk, Partition: 1}, {Action: delivery.Free, Partition: 1},
	{Action: delivery.Admit, Partition: 1}, {Action: delivery.TakeInNextEpoch, Partition: 1, N: 1},
	{Action: delivery.Send, Partition: 1}, {Action: delivery.Write, Partition: 1},
	{Action: delivery.LeaderAppends, Partition: 1}, {Action: delivery.AnswerOk, Partition: 1},
}

// behind leads to InitBehind. One partition has a batch in the first epoch, not sent yet. The first
// batch of the other ended in doubt, and its next batch is in the next epoch.
var behind = []delivery.Step{
	{Action: delivery.Admit}, {Action: delivery.TakeInNextEpoch, N: 1},
	{Action: delivery.Admit, Partition: 1}, {Action: delivery.TakeInNextEpoch, Partition: 1, N: 1},
	{Action: delivery.Send, Partition: 1}, {Action: delivery.Write, Partition: 1},
	{Action: delivery.LoseWritten, Partition: 1}, {Action: delivery.GiveUp, Partition: 1, Message: 1},
	{Action: delivery.Admit, Partition: 1}, {Action: delivery.TakeInNextEpoch, Partition: 1, N: 1},
}

// further leads to InitFurther: a batch ended in doubt, and the next one is written, in the next
// epoch.
var further = []delivery.Step{
	{Action: delivery.Admit}, {Action: delivery.TakeInNextEpoch, N: 1}, {Action: delivery.Send}, {Action: delivery.Write},
	{Action: delivery.LoseWritten}, {Action: delivery.GiveUp, Message: 1},
	{Action: delivery.Admit}, {Action: delivery.TakeInNextEpoch, N: 1}, {Action: delivery.Send}, {Action: delivery.Write},
}

// Models lists the models except Deep, the smallest first.
func Models() (names []string) {
	for _, m := range models {
		if m.Name != Deep {
			names = append(names, m.Name)
		}
	}
	return names
}

// Model is a model of delivery.
type Model = compare.Model[delivery.Bound, delivery.State, delivery.Step]

// ModelOf returns the model of that name, with the bound of its configuration in the checkout at root.
func ModelOf(root, name string) (m Model, err error) {
	i := slices.IndexFunc(models, func(m model) bool { return m.Name == name })
	if i < 0 {
		return m, fmt.Errorf("no model %q", name)
	}
	m.Model, m.From = models[i].Model, models[i].from
	m.Bound, err = bound(filepath.Join(root, filepath.FromSlash(m.Config)))
	return m, err
}

// bound reads the bound of a configuration.
func bound(path string) (delivery.Bound, error) {
	c := tlc.ReadConstants(path)
	b := delivery.Bound{
		Partitions: c.Values("Partitions", "p"), Acks: delivery.Acks(c.Name("Acks", acks)), Idempotent: c.Boolean("Idempotent"),
		MaxBatch: c.Number("MaxBatch"), MaxSequence: c.Number("MaxSequence"), EpochLimit: c.Number("EpochLimit"),
		MaxMessages: c.Number("MaxMessages"), MaxEpoch: c.Number("MaxEpoch"), MaxIDs: c.Number("MaxIDs"),
		MaxStarts: c.Number("MaxStarts"), MaxFrees: c.Number("MaxFrees"),
		ZeroFirst: c.Boolean("ZeroFirst"), EpochPerID: c.Boolean("EpochPerID"), MaxMoves: c.Number("MaxMoves"), MaxLog: c.Number("MaxLog"),
	}
	for _, a := range c.Names("Codes", answers) {
		b.Codes |= delivery.CodesOf(delivery.Answer(a))
	}
	if err := c.Err(); err != nil {
		return b, err
	}
	return b, b.Check()
}

// ofDelivery is what a comparison needs to know of delivery.
var ofDelivery = &compare.Machine[delivery.Bound, delivery.State, delivery.Step]{
	Names:  tlc.Names(delivery.Move),
	Labels: labels(),
	Parse:  ParseState,
	Diff:   delivery.Diff,
	StepOf: func(action int, from, to *delivery.State) (delivery.Step, bool) {
		a := delivery.Action(action)
		st, ok := delivery.StepOf(a, from, to)
		if !ok {
			st = delivery.Step{Action: a}
		}
		return st, ok
	},
}

// labels returns the names of the actions in TLC's dump. TLC does not split the disjunct
// LateAppends of Next, because its set is not constant, and calls its edges Next.
func labels() []string {
	names := tlc.Names(delivery.Move)
	names[delivery.LateAppends] = "Next"
	return names
}

// Graph is a state graph that TLC dumped.
type Graph = compare.Graph[delivery.Bound, delivery.State, delivery.Step]

// Dump runs TLC to dump a model and reads the dump. The dump is in dir, or in $SURESTART_DUMPS if
// that is set. Dump also returns its path.
func Dump(ctx context.Context, t tlc.TLC, model, dir string) (*Graph, string, error) {
	m, err := ModelOf(t.Root, model)
	if err != nil {
		return nil, "", err
	}
	return ofDelivery.Dump(ctx, t, m, dir)
}
