package fsm

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/seed3893aba4/surestart/spec"
)

// An attempt is one opening of the resource, followed by its rollback, or by its uses and
// its release. Its operation is the goroutine that opens, drains or releases.
type attempt[R any] struct {
	l *Lifecycle[R]

	// gate counts the admitted uses while it is open. A closed gate is negative, and its
	// count has no meaning: inUse has the uses that remained. As in sync.RWMutex, a use
	// costs one atomic add at its start and one at its end.
	gate atomic.Int64

	// Fixed when the attempt is made.
	values context.Context // has the values of the attempt's contexts; it never ends
	outer  *marker         // the live marker of the Start that made it; nil: none

	// Fixed when the attempt starts; the first three change with each try.
	ctx     context.Context // open's, and the resource's
	cancel  context.CancelCauseFunc
	opening *marker // the marker of ctx; over when open has returned
	number  uint64
	timer   *time.Timer // the start timeout; nil: none, or the outcome is decided

	// Only the operation uses these; resource is fixed once the state is Started.
	resource     R
	ran          bool                 // the hook that is due has been called
	hookErr      error                // the error of that hook
	retry        bool                 // another try follows
	pause        time.Duration        // before that try
	done         func(Outcome, error) // the Breaker's, until it is called
	doneReturned chan struct{}        // closed when done has returned; nil: there is no done
	backoffDue   bool                 // open has returned, and the Backoff has not been called for this try

	// Under l.mu.
	op          spec.Op
	restart     bool        // WithRestart started it, and it has neither opened nor been cancelled
	reported    error       // the failure that was reported in this try before open returned; nil: none
	outcome     Outcome     // 0: not decided
	rollbackErr error       // why it is rolled back, fate in tla/Algorithm.tla; nil: it is not
	reason      error       // why its uses and its context end
	left        *LeaveError // of the last caller, whose leaving cancelled it; nil: none
	waiters     int         // Starts that wait for the answer
	stoppers    int         // Stops and Shutdowns that wait for the end
	holds       int         // the waiters that will hold the resource
	holders     *holders    // the set that counts them once the resource is open

	// answered is closed when startErr, the result of the Starts, is set. finished is closed
	// when stopErr, the result of the stoppers, is set; the first stopper makes it.
	answered   chan struct{}
	isAnswered bool
	startErr   error
	finished   chan struct{}
	isFinished bool
	stopErr    error

	tried       int    // failed tries after which another one followed
	lastTry     error  // the error of the last of these tries
	acquiring   string // Scope.Part
	parts       []part // held, in the order of acquiring
	releasing   *part  // the part whose release is running: no longer in parts, still held
	failedPart  string // the first part whose release failed
	releaseErrs []error

	lastStep time.Time     // the time of the last Step
	inUse    int           // admitted uses that have not ended; set when the gate is closed
	forced   bool          // the drain was cut short
	drained  chan struct{} // closed when inUse is 0 or forced; nil: no uses were left to drain
	uses     useSet
}

type part struct {
	name    string
	release func(context.Context) error
}

const gateClosed = math.MinInt64

func (l *Lifecycle[R]) newAttempt(values context.Context, outer *marker) *attempt[R] {
	a := &attempt[R]{l: l, values: values, outer: outer, answered: make(chan struct{})}
	a.gate.Store(gateClosed)
	return a
}

// beginLocked starts a as the current attempt. The caller starts its operation.
func (l *Lifecycle[R]) beginLocked(a *attempt[R]) {
	l.begun++
	l.stopped = false
	a.number, a.op, l.current = l.begun, spec.OpOpen, a
	l.mustFireLocked(spec.EventStart, nil)
	a.openContextLocked()
	if l.startTimeout > 0 {
		a.timer = time.AfterFunc(l.startTimeout, func() { l.timeout(a) })
	}
}

// openContextLocked makes the context of the next call of open.
func (a *attempt[R]) openContextLocked() {
	a.ctx, a.opening = a.l.mark(a.values, a.outer)
	a.ctx, a.cancel = context.WithCancelCause(a.ctx)
}

// operate runs the operation of a, then of the attempt that is queued behind it.
// A hook that calls runtime.Goexit ends this goroutine: a new one continues at the
// same place.
func (l *Lifecycle[R]) operate(a *attempt[R]) {
	growStack(0)
	exited := true
	defer func() {
		if exited {
			l.spawn(func() { l.operate(a) })
		}
	}()
	for a != nil {
		switch a.op {
		case spec.OpOpen:
			ran := a
			a = l.runOpen(a)
			ran.callDone()
		case spec.OpDrain:
			l.drain(a)
		case spec.OpRelease:
			a = l.release(a)
		default: // the attempt had ended when the goroutine before this one exited
			a = nil
		}
	}
	exited = false
}

// growStack grows the stack of a new goroutine to the size that an operation needs:
// looplab's Event alone takes 700 of the first 2 KiB. Growing copies the stack. Here the
// stack is nearly empty; later the copying takes a quarter of the time of a start and stop.
//
//go:noinline
func growStack(i uint8) byte {
	var room [2048]byte
	return room[i]
}

// runOpen calls open, then publishes the resource, tries again or rolls back.
func (l *Lifecycle[R]) runOpen(a *attempt[R]) *attempt[R] {
	err := a.runHook(a.try)
	a.opening.over.Store(true)
	action := spec.OpenOk
	for {
		if l.backoff != nil {
			err = l.askBackoff(a, err)
		}
		if action = outcome(err, spec.OpenOk, spec.OpenErr); a.retry {
			action = spec.OpenRetry
		}
		l.point(action, a)
		l.mu.Lock()
		if err != nil || a.reported == nil {
			break
		}
		l.mu.Unlock() // a failure was reported since open returned: take it into account
	}
	defer l.mu.Unlock()
	defer l.tookLocked(action, a)
	if a.retry && l.State() == spec.Starting {
		a.retryLocked(err)
		a.op = spec.OpRelease
		a.popLocked()
		return a
	}
	if err == nil && l.State() == spec.Starting {
		a.stopTimerLocked()
		a.outcome, l.cause = Opened, nil
		a.restart = false
		a.op = spec.OpNone
		a.gate.Store(0)
		// The state is stored before l.opened: every admitted use sees Started.
		l.mustFireLocked(spec.EventOpened, nil)
		l.opened.Store(a)
		l.supervisor.openedLocked()
		a.answerLocked(nil)
		return nil
	}
	// The result of a cancelled attempt is discarded, whatever open returned (G6).
	if err != nil && l.fireLocked(spec.EventFailed, err) {
		l.rollBackLocked(a, Failed, a.failure(err), err)
	}
	a.op, a.reported = spec.OpRelease, nil
	a.popLocked()
	return a
}

// rollBackLocked cancels an attempt that was opening, directly after the transition to
// Stopping. Its Starts will return result; its context ends with the cause reason.
func (l *Lifecycle[R]) rollBackLocked(a *attempt[R], outcome Outcome, result, reason error) {
	a.stopTimerLocked()
	a.outcome, a.rollbackErr, a.reason = outcome, result, reason
	l.cause = result
	if _, ok := result.(*StartError); !ok {
		l.cause = a.failure(reason)
	}
	a.cancel(reason)
}

// stopTimerLocked stops the start timeout, and frees the memory that its timer holds.
func (a *attempt[R]) stopTimerLocked() {
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}

// fail implements Scope.Fail and Lease.Fail: the resource of a has died, or its try has failed.
func (l *Lifecycle[R]) fail(a *attempt[R], try int, cause error) {
	if cause == nil {
		cause = errNoCause
	}
	l.point(spec.Fail, a)
	cut := func() {}
	l.mu.Lock()
	if try != a.tried { // that try has failed already (G13)
		l.mu.Unlock()
		return
	}
	switch {
	case l.current != a: // an older attempt, or a queued one (G13)
	case l.State() == spec.Starting && l.backoff != nil:
		// The try has failed, and its context ends. Whatever open returns, the try fails with
		// this cause. Until open returns, nothing is rolled back, and Starts may join.
		if a.reported == nil {
			a.reported = cause
			a.cancel(cause)
		}
	case l.State() == spec.Starting:
		l.mustFireLocked(spec.EventDied, cause)
		l.rollBackLocked(a, Failed, a.failure(cause), cause)
	case l.State() == spec.Started:
		l.cause = cause
		if l.supervisor == nil {
			l.endRunsLocked(cause)
		}
		l.supervisor.diedLocked(a.values)
		l.releaseLocked(a, spec.EventDied, cause)
		cut = a.forceLocked()
	}
	l.tookLocked(spec.Fail, a)
	l.mu.Unlock()
	cut()
}

// timeout is called by the timer of the start timeout.
func (l *Lifecycle[R]) timeout(a *attempt[R]) {
	l.point(spec.Timeout, a)
	l.mu.Lock()
	defer l.mu.Unlock()
	cause := context.DeadlineExceeded
	if l.current == a && l.fireLocked(spec.EventTimeout, cause) {
		l.rollBackLocked(a, Failed, a.failure(cause), cause)
		l.tookLocked(spec.Timeout, a)
	}
}

// answerLocked gives the Starts that wait for the attempt their result.
func (a *attempt[R]) answerLocked(result error) {
	if a.isAnswered {
		return
	}
	if result == nil && a.holds > 0 {
		a.holders = a.l.holdLocked(a.holds)
	}
	a.isAnswered, a.startErr, a.waiters = true, result, 0
	close(a.answered)
}
