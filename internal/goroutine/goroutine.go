// Package goroutine numbers goroutines, for code that cannot recognise its caller by a context.
package goroutine

import "runtime"

// Number returns the number of the calling goroutine, which the runtime shows only in stack traces.
func Number() (n uint64) {
	var buf [32]byte
	for _, c := range buf[len("goroutine "):runtime.Stack(buf[:], false)] {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + uint64(c-'0')
	}
	return n
}
