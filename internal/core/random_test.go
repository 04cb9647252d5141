package core_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Random lives of a producer with several partitions, hundreds of messages and all faults. The
// guarantees hold at each moment, and after the last late request has arrived.
func TestRandomLives(t *testing.T) {
	lives, events, admitted := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") })
		for range 2000 {
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.finish(); err != nil {
			t.Fatal(err)
		}
		lives++
		events += w.events
		for _, p := range w.parts {
			admitted += len(p.verdict)
		}
	})
	if !t.Failed() {
		fmt.Printf("CHECKED delivery lives=%d events=%d messages=%d\n", lives, events, admitted)
	}
}

// FuzzLife is the same, with a fuzzer in the place of chance: each byte is a choice.
func FuzzLife(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x07\x00\x0a\x00\x0d\x01\x00\x10"))
	f.Fuzz(func(t *testing.T, input []byte) {
		w := newWorld(func(n int) int {
			if len(input) == 0 {
				return 0
			}
			c := int(input[0]) % n
			input = input[1:]
			return c
		})
		for len(input) > 0 {
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.finish(); err != nil {
			t.Fatal(err)
		}
	})
}
