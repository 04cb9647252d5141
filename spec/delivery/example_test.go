package delivery_test

import (
	"fmt"

	"github.com/seed3893aba4/surestart/spec"
	"github.com/seed3893aba4/surestart/spec/delivery"
)

// one is a small model: one partition, one message, and a leader that appends or is not sure.
var one = delivery.Bound{
	Partitions: 1, Acks: delivery.AcksAll, Idempotent: true, MaxBatch: 1, MaxSequence: 9, EpochLimit: 9, MaxMessages: 1, MaxEpoch: 2, MaxIDs: 1,
	Codes: delivery.CodesOf(delivery.CodeOk, delivery.CodeUnsure),
}

// written leads to where a request with the message is written.
var written = []delivery.Step{
	{Action: delivery.Admit}, {Action: delivery.TakeInNextEpoch, N: 1}, {Action: delivery.Send}, {Action: delivery.Write},
}

// The model plays a schedule: here the answer to a request is lost.
func Example() {
	s, err := one.After(append(written, delivery.Step{Action: delivery.LeaderAppends}, delivery.Step{Action: delivery.LoseAnswer}))
	fmt.Println(s, err)
	fmt.Println(one.Enabled(&s, nil))
	next, ok := one.Next(s, delivery.Step{Action: delivery.GiveUp, Message: 1})
	fmt.Println(next.Partitions[0].Verdict[0] == delivery.VerdictMaybe, ok, one.Terminated(&next))
	// Output:
	// started id=1 highest=<<0, 0>> floor=<<-1, 0>> | p1 admitted=1 batch=<<1>>@0? tried=[unsure no no no] pid=1 epoch=0 sequence=1 log=<<<<1>>@1.0.0>> safe=1 <nil>
	// [GiveUp(p1, 1) Send(p1) Stop Cut]
	// true true false
}

// What a State says: of the producer, and of each partition's core, request and leader.
func ExampleState() {
	s, _ := one.After(written)
	var pt *delivery.Partition = &s.Partitions[0]
	fmt.Println(s.Run == delivery.RunStarted, pt.Wire == delivery.WireWritten, pt.HasBatch(), pt.Undecided().Has(1), pt.Tried[0] == delivery.TriedNo)
	fmt.Println(pt.Batch == delivery.Batch{Messages: delivery.MessagesOf(1)}, pt.Batch.Messages.Len(), pt.Batch.Messages.Set() == delivery.SetOf(1))
	fmt.Println(s.Core(0), one.Init().Partitions[0].Sequence == delivery.None)

	s, _ = one.Next(s, delivery.Step{Action: delivery.LeaderAppends})
	var log delivery.Log = pt.Log
	answer, ok := s.Partitions[0].Wire.Answer()
	fmt.Println(answer, ok, s.Partitions[0].Wire == delivery.Got(delivery.CodeOk), log.Len(), s.Partitions[0].Log[0])
	// Output:
	// true true true true true
	// true 1 true
	// Awaiting true
	// ok true true 1 <<1>>@1.0.0
}

// A State has room for a small model. With the build tag traces it has room for a producer's run,
// message by message. Then it can only be stepped, not explored.
func ExampleBound_Check() {
	large := one
	large.MaxMessages, large.MaxIDs = delivery.Capacity, delivery.CapacityIDs
	fmt.Println(large.Check())
	large.MaxMessages++
	fmt.Println(large.Check() != nil)
	s, _ := large.After(written)
	var epoch delivery.Number = s.Partitions[0].Epoch
	fmt.Println(epoch == s.Highest[0])
	// Output:
	// <nil>
	// true
	// true
}

// A partition's log is of batches.
func ExampleLog() {
	s, _ := one.After(append(written, delivery.Step{Action: delivery.LeaderAppends}))
	var log delivery.Log = s.Partitions[0].Log
	fmt.Println(log.Len(), log, log[0] == delivery.Stored{Pid: 1, Messages: delivery.MessagesOf(1)})
	// Output:
	// 1 <<<<1>>@1.0.0>> true
}

// Sequences and sets are values: they can be compared, and copied.
func ExampleMessages() {
	ms := delivery.MessagesOf(2, 3)
	fmt.Println(ms, ms.Len(), ms.Set() == delivery.SetOf(3, 2))
	// Output:
	// <<2, 3>> 2 true
}

func ExampleSet() {
	fmt.Println(delivery.SetOf(1, 3), delivery.SetOf(1, 3).Has(2))
	// Output:
	// {1, 3} false
}

func ExampleCodes() {
	fmt.Println(one.Codes, one.Codes.Has(delivery.CodeOk), one.Codes.Has(delivery.CodeRetry))
	// Output:
	// {"ok", "unsure"} true false
}

// Requests that outlive their connection, which a leader may still append.
func ExampleRequests() {
	s, _ := one.After(append(written, delivery.Step{Action: delivery.LoseWritten}))
	var late delivery.Requests = s.Late
	fmt.Println(late, late.Len(), late.Has(delivery.Request{Pid: 1, Messages: delivery.MessagesOf(1)}))
	fmt.Println(late.Add(delivery.Request{Pid: 2, Messages: delivery.MessagesOf(1)}), late.Len())
	// Output:
	// {p1:<<1>>@1.0.0} 1 true
	// true 2
}

// What the core of a partition may do with an event; where there is no row, it must refuse.
func ExampleTable() {
	for _, row := range delivery.Table() {
		if row.Event == delivery.AnswerUnsure && row.From == delivery.Awaiting {
			fmt.Println(row)
		}
	}
	fmt.Println(delivery.AnswerUnsure.OfCore(), delivery.LeaderFails.OfCore(), delivery.Actions()[0])
	// Output:
	// AnswerUnsure: Awaiting -> Empty
	// AnswerUnsure: Awaiting -> DoubtWaiting
	// true false Admit
}

// All that can happen within a bound, and a shortest way to what one looks for.
func ExampleBound_Graph() {
	if err := one.Check(); err != nil {
		fmt.Println(err) // a State could not hold it
	}
	g, err := one.Graph()
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range g.States {
		if pt := &g.States[i].Partitions[0]; pt.Verdict[0] == delivery.VerdictMaybe && pt.Log.Len() > 0 {
			fmt.Println(g.Path(i))
			break
		}
	}
	// A graph can begin elsewhere.
	g, err = one.Graph(written...)
	if err != nil {
		fmt.Println(err)
		return
	}
	var edge delivery.Edge = g.Edges(0)[0]
	action, of := edge.Step.ActionNumber()
	fmt.Println(edge.Step, "leads to state", edge.To, "by action", action, "of", of)
	// Output:
	// [Admit(p1) TakeInNextEpoch(p1, 1) Send(p1) GiveUp(p1, 1) Write(p1) LeaderAppends(p1)]
	// GiveUp(p1, 1) leads to state 1 by action 3 of 33
}

// The counts that TLC has found in the graph of a model. Any other walk of it must find the same.
func ExamplePin_Graph() {
	pin, ok := delivery.PinOf("delivery-quick")
	var g *delivery.Graph = pin.Graph()
	counts, taken := g.Counts()
	fmt.Println(ok, len(delivery.Pins()) > 10, counts == pin.Counts, taken[delivery.Split] == pin.Taken[delivery.Split])
	fmt.Println(pin.Bound.Codes&^delivery.AllCodes == 0)
	// Output:
	// true true true true
	// true
}

// An implementation that differs from the model, and the step that two states show.
func ExampleDiff() {
	before, _ := one.After(append(written, delivery.Step{Action: delivery.LeaderAppendsUnsure}))
	want, _ := one.Next(before, delivery.Step{Action: delivery.AnswerUnsure})
	got := want
	got.Partitions[0].Batch.Maybe = false // it forgot that the batch may have been appended
	for _, d := range delivery.Diff(want, got) {
		fmt.Println(d)
	}
	step, ok := delivery.StepOf(delivery.AnswerUnsure, &before, &want)
	fmt.Println(step, ok, spec.Missing(step))
	// Output:
	// batch[p1]: want <<1>>@0?, got <<1>>@0
	// AnswerUnsure(p1) true enabled[AnswerUnsure(p1)]: want yes, got no
}

// A check of the model that cannot fail shows nothing: break one guard, and see it noticed.
func ExampleBound_Alter() {
	pin, _ := delivery.PinOf("delivery-quick")
	for _, guard := range delivery.GuardNames()[:2] {
		altered, err := pin.Bound.Alter(guard, false).Graph()
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(guard, len(altered.States) == pin.Counts.States)
	}
	// Output:
	// Admits false
	// MayDecide false
}
