// Package kept tells a test whether a value is still in memory.
package kept

import "runtime"

// Watch returns a function that reports whether v is still reachable. It runs the garbage
// collector up to 1,000 times.
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
