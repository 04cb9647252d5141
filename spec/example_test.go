package spec_test

import (
	"fmt"

	"github.com/seed3893aba4/surestart/spec"
)

// The table says where an event leads, and which events have to be refused.
func Example() {
	fmt.Println(spec.Next(spec.EventStop, spec.Starting))
	_, ok := spec.Next(spec.EventOpened, spec.Stopping)
	fmt.Println("opened while Stopping:", ok)
	// Output:
	// Stopping true
	// opened while Stopping: false
}

// The model plays a schedule: here a caller gives up while its Start is opening.
func ExampleBound_Next() {
	b := spec.Bound{Callers: 1, Parts: 1, Retries: true, Calls: 1}
	s, err := b.After([]spec.Step{
		{Action: spec.InvokeStart}, {Action: spec.StartFast}, {Action: spec.StartEnter},
		{Action: spec.OpenPart, Arg: 1}, {Action: spec.ContextEnds}, {Action: spec.StartLeave},
	})
	fmt.Println(s, err)
	fmt.Println(b.Enabled(&s, nil))
	// Output:
	// Stopping gen=1 cur=0 calls=1 fails=0 | #1 op=open held=1 fate=abandoned | c1 done ended out=ctx <nil>
	// [Return(c1) OpenOk(1) OpenErr(1) OpenRetry(1)]
}

// How many attempts there can be: each call may begin one, and each failure report be
// followed by restarts.
func ExampleBound_Attempts() {
	fmt.Println(spec.Bound{Callers: 2, Parts: 1, Calls: 3, Fails: 2}.Attempts())
	fmt.Println(spec.Bound{Callers: 2, Parts: 1, Restarts: 2, Calls: 3, Fails: 2}.Attempts())
	// Output:
	// 3
	// 7
}

// The table, as looplab/fsm gets it: in an event and a source, one destination.
func ExampleTable() {
	fmt.Println("states:", spec.States())
	fmt.Println("the first event:", spec.Events()[0])
	for _, row := range spec.Table() {
		if row.Event == spec.EventShutdown {
			fmt.Println(row)
		}
	}
	// Output:
	// states: [Idle Starting Started Stopping Closed]
	// the first event: start
	// shutdown: Idle -> Closed
	// shutdown: Starting -> Stopping
	// shutdown: Started -> Stopping
}

// The promises, under the names that they have everywhere.
func ExampleGuarantees() {
	first := spec.Guarantees()[0]
	fmt.Println(first, len(first.Promise) > 0)
	g, ok := spec.GuaranteeOf("StopWins")
	fmt.Println(g.ID, ok)
	// Output:
	// G1 SingleFlight true
	// G8 true
}

// All that can happen within a bound, and a shortest way to what one looks for.
func ExampleBound_Graph() {
	b := spec.Bound{Callers: 1, Parts: 1, Calls: 2}
	if err := b.Check(); err != nil {
		fmt.Println(err) // a Snapshot could not hold it: see MaxCallers, MaxAttempts
	}
	var g *spec.Graph = b.Graph()
	var counts spec.Counts // as TLC counts, so that they can be compared
	counts, taken := g.Counts()
	fmt.Println(counts.States == len(g.States), counts.Edges <= g.Steps(), taken[spec.OpenErr] > 0)
	for i := range g.States {
		if s := &g.States[i]; s.Callers[0].PC == spec.PCUsing && !b.Terminated(s) {
			fmt.Println(g.Path(i))
			break
		}
	}
	// Output:
	// true true true
	// [InvokeStart(c1) StartFast(c1) StartEnter(c1) OpenPart(1) OpenOk(1) Return(c1) InvokeUse(c1) UseLoad(c1) UseAdd(c1)]
}

// door is a machine of one's own: how far it is open, and at most.
type door struct{ most int }

type push struct{ out bool }

func (p push) String() string                  { return map[bool]string{true: "open", false: "close"}[p.out] }
func (p push) ActionNumber() (number, of int)  { return map[bool]int{true: 1}[p.out], 2 }
func (d door) Check() error                    { return nil }
func (d door) Init() int                       { return 0 }
func (d door) Enabled(s *int, b []push) []push { return append(b, push{*s < d.most}) }

func (d door) Next(s int, p push) (int, bool) {
	if p.out {
		return s + 1, s < d.most
	}
	return 0, s > 0
}

// The graph of any machine that can be executed.
func ExampleExplore() {
	var m spec.Model[int, push] = door{2}
	ajar, err := spec.After(m, []push{{true}})
	fmt.Println(ajar, err)
	g, err := spec.Explore(m, m.Init(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	counts, taken := g.Counts()
	fmt.Println(counts, "open:", taken[1])
	var last spec.EdgeOf[push] = g.Edges(2)[0]
	fmt.Println(last.Step, "leads to", g.States[last.To], "after", g.Path(2), each(last.Step))
	// Output:
	// 1 <nil>
	// states=3 edges=3 depth=3 open: 2
	// close leads to 0 after [open open] 0
}

// each returns the action of any step.
func each[T spec.AnyStep](st T) int {
	n, _ := st.ActionNumber()
	return n
}

// What a Snapshot says: of the machine, of each attempt, of each caller.
func ExampleSnapshot() {
	b := spec.Bound{Callers: 1, Parts: 1, Calls: 1}
	s, err := b.After([]spec.Step{{Action: spec.InvokeStart}, {Action: spec.StartFast}, {Action: spec.StartEnter}, {Action: spec.OpenPart, Arg: 1}})
	if err != nil {
		fmt.Println(err)
	}
	var attempt *spec.AttemptVars = s.Attempt(1)
	var caller spec.CallerVars = s.Callers[0]
	fmt.Println(attempt.Op == spec.OpOpen, attempt.Held, attempt.Fate == spec.FateNone)
	fmt.Println(caller.PC == spec.PCWait, caller.On, caller.Out == spec.OutNone)
	fmt.Println(spec.MaxCallers, "callers and", spec.MaxAttempts, "attempts at most")
	// Output:
	// true 1 true
	// true 1 true
	// 8 callers and 16 attempts at most
}

// An implementation that differs from the model, and the guarantee that this concerns.
func ExampleDiff() {
	b := spec.Bound{Callers: 1, Parts: 1, Calls: 1}
	before, _ := b.After([]spec.Step{{Action: spec.InvokeStart}, {Action: spec.StartFast}, {Action: spec.StartEnter}, {Action: spec.OpenPart, Arg: 1}})
	step := spec.Step{Action: spec.OpenErr, Arg: 1}
	want, _ := b.Next(before, step)
	got := want
	got.St = spec.Idle // it forgot to roll back
	for _, d := range spec.Diff(want, got) {
		fmt.Println(d, "-", spec.Blame(step, d))
	}
	fmt.Println(spec.Missing(step), "-", spec.Extra(step))
	fmt.Println(spec.Missing(step).Var == spec.VarEnabled, spec.VarPanic) // beside the variables
	// Output:
	// st: want Stopping, got Idle - G4 Rollback
	// enabled[OpenErr(1)]: want yes, got no - enabled[OpenErr(1)]: want no, got yes
	// true panic
}

// From two states the step between them, and what the table calls it.
func ExampleStepOf() {
	b := spec.Bound{Callers: 1, Parts: 1, Calls: 1}
	from := b.Init()
	to, _ := b.Next(from, spec.Step{Action: spec.InvokeStart})
	step, ok := spec.StepOf(spec.InvokeStart, &from, &to)
	fmt.Println(step, ok, step.Action.OfCaller())
	events, err := spec.Finish.Events(spec.Stopping, spec.Starting) // those who queued begin the next attempt
	fmt.Println(events, err, "- the first of all actions:", spec.Actions()[0])
	// Output:
	// InvokeStart(c1) true true
	// [released start] <nil> - the first of all actions: InvokeStart
}

// The circumstances in which a step was taken, and the guards that decided: the coverage of a
// random schedule is counted in these.
func ExampleBound_Class() {
	b := spec.Bound{Callers: 2, Parts: 1, Calls: 2}
	s, _ := b.After([]spec.Step{{Action: spec.InvokeStart}, {Action: spec.StartFast}, {Action: spec.StartEnter}, {Action: spec.InvokeStop, Arg: 1}})
	step := spec.Step{Action: spec.StopEnter, Arg: 1}
	var class spec.Class = b.Class(&s, step)
	fmt.Println(class)
	var sides spec.GuardSides = b.Decided(&s, step)
	fmt.Println(sides.Len(), sides.Names())
	fmt.Println(len(b.Enabled(&s, nil)) < len(b.Candidates(nil))) // not every step is enabled
	// Output:
	// StopEnter in Starting, joined=1 op=open pc=stop held=none
	// 1 [StopSees=true]
	// true
}

// TLC's counts of the graph of a model: every other walk of it must have the same.
func ExamplePin_Graph() {
	pin, ok := spec.PinOf("quick")
	fmt.Println(ok, pin.Model == spec.Pins()[0].Model, len(pin.Graph().States) == pin.Counts.States)
	// A graph can begin elsewhere: in the middle of a Start, say.
	g, err := pin.Bound.GraphFrom([]spec.Step{{Action: spec.InvokeStart}, {Action: spec.StartFast}})
	if err != nil {
		fmt.Println(err)
		return
	}
	first := g.States[0]
	number, _ := g.Lookup(&first)
	var edge spec.Edge = g.Edges(number)[0]
	fmt.Println(edge.Step, "leads to state", edge.To)
	// Output:
	// true true true
	// StartEnter(c1) leads to state 1
}

// A check of the model that cannot fail shows nothing: break one guard, and see it noticed.
func ExampleBound_Alter() {
	pin, _ := spec.PinOf("quick")
	for _, guard := range spec.GuardNames()[:2] {
		altered := pin.Bound.Alter(guard, true).Graph()
		fmt.Println(guard, len(altered.States) == pin.Counts.States)
	}
	// Output:
	// MayBegin false
	// MayJoin false
}
