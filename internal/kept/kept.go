// Package kept reports to a test whether something is still in memory.
package kept

import "runtime"

// Watch returns a function that reports whether v is still reachable, after as many
// collections as it takes.
func Watch[T any](v *T) (kept func() bool) {
	freed := make(chan struct{})
	runtime.AddCleanup(v, func(freed chan struct{}) { close(freed) }, freed)
	return func() bool {
		for range 1000 {
			runtime.GC()
			select {
			case <-freed:
				return false
			default:
				runtime.Gosched()
			}
		}
		return true
	}
}
