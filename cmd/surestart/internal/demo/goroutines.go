package demo

import (
	"runtime"
	"strings"
)

// The packages whose goroutines must be gone after a stop, and ours, whose
// goroutines are the callers.
var (
	watched = []string{
		"github.com/segmentio/kafka-go",
		"github.com/seed3893aba4/surestart/fsm.",
		"github.com/seed3893aba4/surestart/producer.",
	}
	callers = []string{
		"github.com/seed3893aba4/surestart/cmd/surestart/internal/demo.",
	}
)

// goroutines counts those that a producer of either kind left running: they are
// in code of the producer's, or of kafka-go's, and were not begun by the storm.
func goroutines() int {
	records := make([]runtime.StackRecord, runtime.NumGoroutine()+64)
	n, ok := runtime.GoroutineProfile(records)
	for !ok {
		records = make([]runtime.StackRecord, n+n/4+64)
		n, ok = runtime.GoroutineProfile(records)
	}
	count := 0
	for i := range records[:n] {
		if left(records[i].Stack()) {
			count++
		}
	}
	return count
}

func left(stack []uintptr) bool {
	frames := runtime.CallersFrames(stack)
	found := false
	root := ""
	for {
		f, more := frames.Next()
		if f.Function != "" && f.Function != "runtime.goexit" {
			root = f.Function
			found = found || hasPrefix(f.Function, watched)
		}
		if !more {
			return found && !hasPrefix(root, callers)
		}
	}
}

func hasPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
