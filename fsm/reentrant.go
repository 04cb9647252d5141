package fsm

import (
	"context"
	"sync/atomic"
)

// Reentrancy (G15). Each context that is handed out carries a token; it is over
// when the open, release or use that the context was handed to has ended.

type handedKey struct{}

type token struct {
	over  atomic.Bool
	by    <-chan struct{} // Done of the lifecycle that handed it out; only compared
	outer *token          // handed out before, perhaps by another lifecycle, and live then
}

// handed returns the innermost live token of ctx, nil if there is none. ctx is
// foreign: not under the lock.
func handed(ctx context.Context) *token {
	t, _ := ctx.Value(handedKey{}).(*token)
	for t != nil && t.over.Load() {
		t = t.outer
	}
	return t
}

// reentrant reports whether t, or one outside it, is live and of this lifecycle.
func (l *Lifecycle[R]) reentrant(t *token) bool {
	for ; t != nil; t = t.outer {
		if t.by == l.done && !t.over.Load() {
			return true
		}
	}
	return false
}

// hand returns a context with the values of ctx that carries a new token, within outer.
func (l *Lifecycle[R]) hand(ctx context.Context, outer *token) (context.Context, *token) {
	t := &token{by: l.done, outer: outer}
	return context.WithValue(ctx, handedKey{}, t), t
}
