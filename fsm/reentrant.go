package fsm

import (
	"context"
	"sync/atomic"
)

// Reentrancy (G15). The context of each open, release and use carries a marker, which is
// over once that open, release or use has ended.

type markerKey struct{}

type marker struct {
	over  atomic.Bool
	by    <-chan struct{} // Done of the lifecycle that made the marker; only compared
	outer *marker         // the marker that was live when this was made, perhaps of another lifecycle
}

// liveMarker returns the innermost live marker of ctx, nil if there is none. Do not call it
// under a lock: ctx is foreign.
func liveMarker(ctx context.Context) *marker {
	t, _ := ctx.Value(markerKey{}).(*marker)
	for t != nil && t.over.Load() {
		t = t.outer
	}
	return t
}

// reentrant reports whether t, or a marker outside it, is live and of this lifecycle.
func (l *Lifecycle[R]) reentrant(t *marker) bool {
	for ; t != nil; t = t.outer {
		if t.by == l.done && !t.over.Load() {
			return true
		}
	}
	return false
}

// mark returns a context that has the values of ctx and a new marker within outer.
func (l *Lifecycle[R]) mark(ctx context.Context, outer *marker) (context.Context, *marker) {
	t := &marker{by: l.done, outer: outer}
	return context.WithValue(ctx, markerKey{}, t), t
}
