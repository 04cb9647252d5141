package fsm

import (
	"context"
	"slices"

	"github.com/seed3893aba4/surestart/spec"
)

// Hold is a Start by one of several owners: it opens the resource if it is not open, and
// counts the caller as a holder until it calls release. The last release stops the
// resource. Hold waits and fails as Start does; a caller that gets an error does not hold.
//
// held ends when this opening of the resource ends: once it has died, and in a Stop after
// the drain. Its cause is ErrStopped, ErrClosed, or the cause of death. The hold itself
// remains: the resource may be restarted (WithRestart), or a later Hold may open it again.
// A Stop, Shutdown or Close ends every hold.
//
// release never blocks while others hold. The last release behaves as a Stop with its ctx,
// and cancels a restart that is due. Unlike a Stop, it does not stop Starts and Holds that
// wait for an attempt: they get one. release returns ErrReentrant, without any effect, if
// ctx belongs to an open, release or use of this lifecycle that has not ended (G15). Called
// again, release only waits for the end of the stop that it started. If it started none, or
// a Stop has ended the hold, it returns nil and does nothing.
//
// A Start does not count as a holder: the last release also stops a resource that a Start
// has opened. All owners that share a resource must use Hold. A Run counts as a holder from
// when it has found the resource open until it returns: it closes the resource itself.
func (l *Lifecycle[R]) Hold(ctx context.Context) (held context.Context, release func(context.Context) error, err error) {
	h := &hold[R]{l: l}
	if err := l.startFor(l.read(ctx, "Hold"), nil, h); err != nil {
		return nil, nil, err
	}
	if a := h.a; a != nil {
		h.held, h.holders, h.a = a.ctx, a.holders, nil
	}
	return h.held, h.release, nil
}

// A hold is a call of Hold.
type hold[R any] struct {
	l       *Lifecycle[R]
	a       *attempt[R] // the attempt that Hold, later release, waits for; nil: none
	held    context.Context
	holders *holders // the set that counts it
	over    bool     // release has been called
}

// holders are the holds that no Stop has ended.
type holders struct{ n int }

// holdLocked counts n more holders and returns the set.
func (l *Lifecycle[R]) holdLocked(n int) *holders {
	if l.holders == nil {
		l.holders = new(holders)
	}
	l.holders.n += n
	return l.holders
}

// enterLocked is called when the Start of h has found the resource open (a is nil), or
// waits for a.
func (h *hold[R]) enterLocked(a *attempt[R]) {
	if a == nil {
		h.held, h.holders = h.l.current.ctx, h.l.holdLocked(1)
		return
	}
	h.a = a
	a.holds++
}

func (h *hold[R]) release(ctx context.Context) error {
	l := h.l
	c := l.read(ctx, "the release of a Hold")
	if c.within {
		return ErrReentrant
	}
	l.mu.Lock()
	if !h.over {
		h.over = true
		if l.holders == h.holders {
			if l.holders.n--; l.holders.n == 0 {
				h.a = l.letGoLocked()
			}
		}
	}
	a := h.a
	l.answerReadyLocked()
	err := l.awaitStop(c, a, false)
	if a != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		if err == a.stopErr {
			h.a = nil // its result is delivered: do not keep it in memory
		}
	}
	return err
}

// letGoLocked is called when the last holder has released. It returns the attempt whose
// end the caller waits for; nil: none.
func (l *Lifecycle[R]) letGoLocked() *attempt[R] {
	if slices.ContainsFunc(l.runs, (*runCall[R]).ownsLocked) {
		return nil // a Run owns the resource, too, and closes it
	}
	switch a := l.current; l.State() {
	case spec.Started:
		return l.beginStopLocked(false, ErrStopped)
	case spec.Starting:
		if a.waiters == 0 { // a restart
			return l.beginStopLocked(false, ErrStopped)
		}
		a.restart = false // it continues as an attempt of its waiters, and ends when they leave
	case spec.Stopping: // the resource died, or an attempt after its death failed: a Stop would have ended the holds
		a.restart = false
		l.supervisor.stopLocked()
		return a
	case spec.Idle:
		if l.supervisor.isDueLocked() {
			l.giveUpLocked()
		}
	}
	return nil
}
