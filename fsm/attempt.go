package fsm

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/seed3893aba4/surestart/spec"
)

// An attempt is one opening of the resource and all that follows from it: its
// rollback, or its use and release. Its operation is the goroutine that runs
// what is due, if there is anything.
type attempt[R any] struct {
	l *Lifecycle[R]

	// gate counts the admitted uses while it is open; when it is closed its sign
	// is negative and its count means nothing: inUse has what remained. As in
	// sync.RWMutex, so that a use costs one atomic add at each end.
	gate atomic.Int64

	// Fixed when the attempt is made.
	values context.Context // where its contexts take their values from; it never ends
	outer  *token          // of the Start that made it

	// Fixed when it begins; the first three each time that it tries again.
	ctx     context.Context // open's, and the resource's
	cancel  context.CancelCauseFunc
	opening *token // of ctx: over when open has returned
	number  uint64
	timer   *time.Timer // the start timeout; nil: none, or the outcome is decided

	// The operation's own; resource is fixed when it is offered.
	resource R
	ran      bool                 // the hook that is due has been called
	hookErr  error                // what it ended with
	again    bool                 // open is to be tried again
	pause    time.Duration        // before that
	done     func(Outcome, error) // the Breaker's, until it is called
	returned chan struct{}        // closed when done has returned; nil: there is none
	unasked  bool                 // open has returned, and the Backoff has not been asked about its error

	// Under l.mu.
	op       spec.Op
	restart  bool    // it was begun by WithRestart, and neither opened nor was called off since
	reported error   // the failure of this try that was reported before open returned; nil: none
	outcome  Outcome // 0: not decided
	fate     error   // why it is rolled back; nil: it is not
	reason   error   // why its uses and its context end
	waiters  int     // Starts that wait for the answer
	stoppers int     // Stops and Shutdowns that wait for the end

	// answered is closed when the Starts have their result, startErr;
	// finished, made by the first stopper, when the stoppers have theirs, stopErr.
	answered   chan struct{}
	isAnswered bool
	startErr   error
	finished   chan struct{}
	isFinished bool
	stopErr    error

	tried     int    // the tries that failed and were to be made again
	lastTry   error  // why the last of them did
	acquiring string // Scope.Part
	parts     []part // held, in the order of acquiring
	releasing *part  // taken off parts, its release is running: still held
	badPart   string // the first whose release failed
	badErrs   []error

	stepped time.Time     // of the last step that was told
	inUse   int           // uses admitted and not ended, once the gate is closed
	forced  bool          // the drain was cut short
	drained chan struct{} // closed when inUse is 0 or forced; nil if there was nothing to drain
	uses    useSet
}

type part struct {
	name    string
	release func(context.Context) error
}

const gateClosed = math.MinInt64

func (l *Lifecycle[R]) newAttempt(values context.Context, outer *token) *attempt[R] {
	a := &attempt[R]{l: l, values: values, outer: outer, answered: make(chan struct{})}
	a.gate.Store(gateClosed)
	return a
}

// beginLocked makes a the current attempt; its operation has yet to run.
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

// openContextLocked makes the context that open gets.
func (a *attempt[R]) openContextLocked() {
	a.ctx, a.opening = a.l.hand(a.values, a.outer)
	a.ctx, a.cancel = context.WithCancelCause(a.ctx)
}

// operate runs the operation of a, and of the attempt that is queued behind it.
// A hook that calls runtime.Goexit takes this goroutine with it: another one
// goes on where it ended.
func (l *Lifecycle[R]) operate(a *attempt[R]) {
	grow(0)
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
			ran.report()
		case spec.OpDrain:
			l.drain(a)
		case spec.OpRelease:
			a = l.release(a)
		default: // it had ended when this goroutine's forerunner exited
			a = nil
		}
	}
	exited = false
}

// grow makes the stack of a new goroutine as large as an operation needs it: looplab's
// Event alone takes 700 bytes of the 2 KiB that it begins with. Here there is next to
// nothing on it that has to be moved; where it is needed first, that takes a quarter of
// the time of a whole life.
//
//go:noinline
func grow(i uint8) byte {
	var room [2048]byte
	return room[i]
}

// runOpen calls open and decides: the resource is offered, or rolled back.
func (l *Lifecycle[R]) runOpen(a *attempt[R]) *attempt[R] {
	err := a.once(a.try)
	a.opening.over.Store(true)
	action := spec.OpenOk
	for {
		if l.backoff != nil {
			err = l.consider(a, err)
		}
		if action = outcome(err, spec.OpenOk, spec.OpenErr); a.again {
			action = spec.OpenRetry
		}
		l.point(action, a)
		l.mu.Lock()
		if err != nil || a.reported == nil {
			break
		}
		l.mu.Unlock() // it was reported since
	}
	defer l.mu.Unlock()
	defer l.tookLocked(action, a)
	if a.again && l.State() == spec.Starting {
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
		// The word before the gate: who is admitted finds it Started.
		l.mustFireLocked(spec.EventOpened, nil)
		l.gate.Store(a)
		l.supervisor.openedLocked()
		a.answerLocked(nil)
		return nil
	}
	// An attempt that was cancelled is not kept, whatever open returned (G6).
	if err != nil && l.fireLocked(spec.EventFailed, err) {
		l.rollBackLocked(a, Failed, a.failure(err), err)
	}
	a.op, a.reported = spec.OpRelease, nil
	a.popLocked()
	return a
}

// rollBackLocked cancels an attempt that was opening, right after the machine
// went to Stopping: its Starts will get result, its context ends with reason.
func (l *Lifecycle[R]) rollBackLocked(a *attempt[R], outcome Outcome, result, reason error) {
	a.stopTimerLocked()
	a.outcome, a.fate, a.reason = outcome, result, reason
	l.cause = result
	if _, ok := result.(*StartError); !ok {
		l.cause = a.failure(reason)
	}
	a.cancel(reason)
}

// stopTimerLocked ends the start timeout, and what its timer keeps in memory.
func (a *attempt[R]) stopTimerLocked() {
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}

// fail is Scope.Fail and Lease.Fail: the resource of a, or its attempt, is dead.
func (l *Lifecycle[R]) fail(a *attempt[R], try int, cause error) {
	if cause == nil {
		cause = errNoCause
	}
	l.point(spec.Fail, a)
	cut := func() {}
	l.mu.Lock()
	if try != a.tried { // of a try that has failed already (G13)
		l.mu.Unlock()
		return
	}
	switch {
	case l.current != a: // an older one, or a queued one's (G13)
	case l.State() == spec.Starting && l.backoff != nil:
		// The try has failed, and its context ends. What open returns counts as that
		// failure; until then nothing is rolled back, and others may join.
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
			l.overLocked(cause)
		}
		l.supervisor.diedLocked(a.values)
		l.releaseLocked(a, spec.EventDied, cause)
		cut = a.forceLocked()
	}
	l.tookLocked(spec.Fail, a)
	l.mu.Unlock()
	cut()
}

// timeout is what the start timeout's timer runs.
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

// answerLocked gives the attempt's Starts their result.
func (a *attempt[R]) answerLocked(result error) {
	if a.isAnswered {
		return
	}
	a.isAnswered, a.startErr, a.waiters = true, result, 0
	close(a.answered)
}
