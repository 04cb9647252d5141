// Package model is what of the state graphs that TLC dumps is delivery's: their states, read as package delivery of
// the product has them, the comparison with that executable model, and the table of a partition's core.
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

// models are those whose graph can be dumped, under their names in tla/delivery.json where they stand there, with the
// steps from Init to where they begin. A dump is of all states, also where TLC checks under symmetry.
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

// Deep is the model that takes TLC half a minute: kfake's leader, with three messages.
const Deep = "delivery-kfake"

// fenced leads to InitFenced of tla/DeliveryMC.tla: the batch of one partition is in the log, and the answer did not
// say so; the other has had two messages delivered, in two epochs.
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

// behind leads to InitBehind: one partition has a batch in the first epoch, not sent yet, the
// other, whose first batch ended in doubt, one in the next.
var behind = []delivery.Step{
	{Action: delivery.Admit}, {Action: delivery.TakeInNextEpoch, N: 1},
	{Action: delivery.Admit, Partition: 1}, {Action: delivery.TakeInNextEpoch, Partition: 1, N: 1},
	{Action: delivery.Send, Partition: 1}, {Action: delivery.Write, Partition: 1},
	{Action: delivery.LoseWritten, Partition: 1}, {Action: delivery.GiveUp, Partition: 1, Message: 1},
	{Action: delivery.Admit, Partition: 1}, {Action: delivery.TakeInNextEpoch, Partition: 1, N: 1},
}

// further leads to InitFurther: a batch ended in doubt, and the next one is written, an epoch further.
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

// ofDelivery is what a comparison has to know of it.
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

// labels are the actions' names in TLC's dump. The set that LateAppends is quantified over is no constant: TLC does not
// split that disjunct of Next, and calls its edges Next.
func labels() []string {
	names := tlc.Names(delivery.Move)
	names[delivery.LateAppends] = "Next"
	return names
}

// Graph is a state graph as TLC has dumped it.
type Graph = compare.Graph[delivery.Bound, delivery.State, delivery.Step]

// Dump has TLC dump a model, in dir unless $SURESTART_DUMPS says where, and reads it. It returns the dump's path too.
func Dump(ctx context.Context, t tlc.TLC, model, dir string) (*Graph, string, error) {
	m, err := ModelOf(t.Root, model)
	if err != nil {
		return nil, "", err
	}
	return ofDelivery.Dump(ctx, t, m, dir)
}
