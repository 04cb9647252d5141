package producer

import (
	"fmt"
	"sync"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/goroutine"
)

// within knows the goroutines that run Config.Completion, which has no context to tell. A call from
// there that waits for Completion to return would wait for itself (G15).
type within struct{ goroutines sync.Map }

var errWithin = fmt.Errorf("producer: called by Config.Completion: %w", fsm.ErrReentrant)

// enter returns a function that ends the stay of this goroutine.
func (w *within) enter() (leave func()) {
	n := goroutine.Number()
	w.goroutines.Store(n, nil)
	return func() { w.goroutines.Delete(n) }
}

// refuse returns errWithin in a Completion.
func (w *within) refuse() error {
	if _, inside := w.goroutines.Load(goroutine.Number()); inside {
		return errWithin
	}
	return nil
}
