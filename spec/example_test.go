package spec_test

import (
	"fmt"

	"github.com/seed3893aba4/surestart/spec"
)

// The table says where an event leads, and what has to be refused.
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
	b := spec.Bound{Callers: 1, Parts: 1, Calls: 1}
	s, err := b.After([]spec.Step{
		{Action: spec.InvokeStart}, {Action: spec.StartFast}, {Action: spec.StartEnter},
		{Action: spec.OpenPart, Arg: 1}, {Action: spec.ContextEnds}, {Action: spec.StartLeave},
	})
	fmt.Println(s, err)
	fmt.Println(b.Enabled(&s, nil))
	// Output:
	// Stopping gen=1 cur=0 calls=1 fails=0 | #1 op=open held=1 fate=abandoned | c1 done ended out=ctx <nil>
	// [Return(c1) OpenOk(1) OpenErr(1)]
}
