//go:build !race

package fsm_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// callersContext records which code asks for its values: Start does, off its fast path.
type callersContext struct {
	context.Context
	pcs []uintptr
}

func (c *callersContext) Value(any) any {
	if c.pcs == nil {
		c.pcs = make([]uintptr, 16)
		c.pcs = c.pcs[:runtime.Callers(1, c.pcs)]
	}
	return nil
}

// Start is inlined where it is called, so that on a started lifecycle it costs
// what sync.Once.Do costs when done. It is just below the compiler's budget; the
// race detector's and coverage's instrumentation puts it above.
func TestStartIsInlined(t *testing.T) {
	if testing.CoverMode() != "" {
		t.Log("not looked at: coverage's counters are in the way")
		return
	}
	l := fsm.New(func(context.Context, *fsm.Scope) (time.Time, error) { return time.Now(), nil })
	ctx := &callersContext{Context: background()}
	wantNil(t, "Start", l.Start(ctx))
	defer l.Close()
	for frames := runtime.CallersFrames(ctx.pcs); ; {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, ").Start") {
			if frame.Func != nil { // an inlined one has none
				t.Error("Start is not inlined: go test -c -o /dev/null -gcflags=-m=2 ./fsm says why")
			}
			return
		}
		if !more {
			t.Fatal("Start did not ask its context for a value")
		}
	}
}
