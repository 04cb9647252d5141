package fsm

import (
	"context"
	"sync/atomic"
)

// Reentrancy (G15). Each context that is handed out carries a token under a key
// of its lifecycle's own; the token is over when what it was handed to has ended.

type handedKey[R any] struct{ l *Lifecycle[R] }

type token struct {
	over  atomic.Bool
	outer *token // handed out before, and live then
}

// hand returns a context derived from ctx that the lifecycle knows as its own.
// The values of ctx are foreign: not under the lock.
func (l *Lifecycle[R]) hand(ctx context.Context) (context.Context, *token) {
	return l.handWithin(ctx, live(l.handed(ctx)))
}

// handWithin is hand where outer, the innermost live token of ctx, is known: nil
// for what derives from the context of a Start, which was refused otherwise. It
// may be called under the lock.
func (l *Lifecycle[R]) handWithin(ctx context.Context, outer *token) (context.Context, *token) {
	t := &token{outer: outer}
	return context.WithValue(ctx, handedKey[R]{l}, t), t
}

func (l *Lifecycle[R]) handed(ctx context.Context) *token {
	t, _ := ctx.Value(handedKey[R]{l}).(*token)
	return t
}

// reentrant reports whether ctx was handed out by l to something that is not over.
func (l *Lifecycle[R]) reentrant(ctx context.Context) bool { return live(l.handed(ctx)) != nil }

// live returns the innermost of t and those outside it that is not over.
func live(t *token) *token {
	for t != nil && t.over.Load() {
		t = t.outer
	}
	return t
}
