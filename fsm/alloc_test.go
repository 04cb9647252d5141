package fsm_test

import (
	"context"
	"testing"

	"github.com/seed3893aba4/surestart/fsm"
)

// The fast paths allocate nothing.
func TestAllocations(t *testing.T) {
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 7, nil })
	ctx := background()
	wantNil(t, "Start", l.Start(ctx))
	var sink int
	for name, f := range map[string]func(){
		"Start when started": func() { _ = l.Start(ctx) },
		"State":              func() { sink += int(l.State()) },
		"Acquire and Release": func() {
			lease, err := l.Acquire()
			if err != nil {
				t.Fatal(err)
			}
			sink += lease.Resource()
			lease.Release()
		},
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations; want 0", name, n)
		}
	}
	wantNil(t, "Close", l.Close())
	if n := testing.AllocsPerRun(1000, func() { l.Acquire() }); n != 0 {
		t.Errorf("Acquire when closed: %v allocations; want 0", n)
	}
}
