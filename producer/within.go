package producer

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/seed3893aba4/surestart/fsm"
)

// within knows the goroutines that run Config.Completion, which has no context to tell. A call from
// there that waits for Completion to return would wait for itself (G15).
type within struct {
	mu         sync.Mutex
	goroutines map[uint64]struct{}
}

var errWithin = fmt.Errorf("producer: called by Config.Completion: %w", fsm.ErrReentrant)

// enter returns a function that ends the stay of this goroutine.
func (w *within) enter() (leave func()) {
	id := goroutine()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.goroutines[id] = struct{}{}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.goroutines, id)
	}
}

// refuse returns errWithin in a Completion.
func (w *within) refuse() error {
	w.mu.Lock()
	n := len(w.goroutines)
	w.mu.Unlock()
	if n == 0 {
		return nil
	}
	id := goroutine()
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, inside := w.goroutines[id]; inside {
		return errWithin
	}
	return nil
}

// goroutine returns the number of this goroutine, which the runtime shows in a stack trace only.
func goroutine() (n uint64) {
	var buf [32]byte
	for _, c := range buf[len("goroutine "):runtime.Stack(buf[:], false)] {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + uint64(c-'0')
	}
	return n
}
