package goroutine

import "testing"

func TestNumber(t *testing.T) {
	here, there := Number(), make(chan uint64)
	go func() { there <- Number() }()
	if other := <-there; here == 0 || other == 0 || other == here || Number() != here {
		t.Errorf("this goroutine has the numbers %d and %d, another one %d", here, Number(), other)
	}
}
