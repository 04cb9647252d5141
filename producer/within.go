package producer

import (
	"fmt"
	"sync"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/goroutine"
)

// within records the goroutines that run Config.Completion, which has no context that could show
// it. A call in Completion that waits for Completion to return would wait for itself (G15).
type within struct{ goroutines sync.Map }

var errWithin = fmt.Errorf("producer: called by Config.Completion: %w", fsm.ErrReentrant)

// enter records this goroutine. It returns the function that removes it.
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
