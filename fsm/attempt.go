package fsm

import (
	"context"
	"errors"
	"fmt"
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

	// Fixed when the attempt begins; the first three each time that it tries again.
	ctx     context.Context // open's, and the resource's
	cancel  context.CancelCauseFunc
	opening *token // of ctx: over when open has returned
	number  uint64
	timer   *time.Timer // the start timeout; may be nil

	// The operation's own; resource is fixed when it is offered.
	resource R
	ran      bool          // the hook that is due has been called
	hookErr  error         // what it ended with
	again    bool          // open is to be tried again
	pause    time.Duration // before that
	settle   func(error)   // the Breaker's, until it has been called

	// Under l.mu.
	values   context.Context // where ctx takes its values from
	op       spec.Op
	fate     error // why it is rolled back; nil: it is not
	reason   error // why its uses and its context end
	waiters  int   // Starts that wait for the answer
	stoppers int   // Stops and Shutdowns that wait for the end

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

func (l *Lifecycle[R]) newAttempt(ctx context.Context) *attempt[R] {
	if l.base != nil {
		ctx = l.base
	}
	a := &attempt[R]{l: l, values: context.WithoutCancel(ctx), answered: make(chan struct{})}
	a.gate.Store(gateClosed)
	return a
}

// beginLocked makes a the current attempt; its operation has yet to run.
func (l *Lifecycle[R]) beginLocked(a *attempt[R]) {
	l.begun++
	a.number, a.op, l.current = l.begun, spec.OpOpen, a
	l.mustFireLocked(spec.EventStart, nil)
	a.openContextLocked()
	if l.startTimeout > 0 {
		a.timer = time.AfterFunc(l.startTimeout, func() { l.timeout(a) })
	}
}

// openContextLocked makes the context that open gets.
func (a *attempt[R]) openContextLocked() {
	a.ctx, a.opening = a.l.handWithin(a.values, nil)
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
			a = l.runOpen(a)
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
	action := outcome(err, spec.OpenOk, spec.OpenErr)
	if a.again {
		action = spec.OpenRetry
	} else {
		a.settled(err)
	}
	l.point(action, a)

	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.tookLocked(action, a)
	if a.again && l.State() == spec.Starting {
		a.retryLocked(err)
		a.op = spec.OpRelease
		a.popLocked()
		return a
	}
	if a.timer != nil {
		a.timer.Stop()
	}
	if err == nil && l.State() == spec.Starting {
		l.cause = nil
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
		l.rollBackLocked(a, a.failure(err), err)
	}
	a.op = spec.OpRelease
	a.popLocked()
	return a
}

// drain waits until no admitted use is in flight, or the drain is forced.
func (l *Lifecycle[R]) drain(a *attempt[R]) {
	if l.hook != nil {
		l.hook.Wait(spec.DrainEnd, a, a.drained, nil)
	} else if a.drained != nil {
		<-a.drained
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a.op = spec.OpRelease // from here nobody can force it
	a.cancel(a.reason)
	a.popLocked()
	l.tookLocked(spec.DrainEnd, a)
}

// release runs the release of the part that is due, or ends the attempt if there
// is none. It returns what is to be operated next: a, the attempt that was
// queued behind it, or nil.
func (l *Lifecycle[R]) release(a *attempt[R]) *attempt[R] {
	if a.releasing == nil {
		if l.tryAgain(a) {
			return a
		}
		a.settled(errExited) // cancelled between two tries: told by what
		l.point(spec.Finish, a)
		next, unheard := l.finish(a)
		if unheard != nil {
			l.log().Error("surestart: a release failed and nobody waits for it", "attempt", a.number, "error", unheard)
		}
		l.supervise()
		return next
	}
	err := a.once(func() error { return a.runRelease(a.releasing) })
	action := outcome(err, spec.ReleaseOk, spec.ReleaseErr)
	l.point(action, a)

	l.mu.Lock()
	defer l.mu.Unlock()
	a.stepLocked(StepReleased, a.releasing.name, 0, err)
	if err != nil {
		if a.badErrs == nil {
			a.badPart = a.releasing.name
		}
		a.badErrs = append(a.badErrs, fmt.Errorf("%s: %w", a.releasing.name, err))
	}
	a.popLocked()
	l.tookLocked(action, a)
	return a
}

// finish ends an attempt that holds nothing any more: everyone who waits is
// answered, and whoever queued gets an attempt of their own at the same instant.
// unheard is what failed if nobody is there to be told.
func (l *Lifecycle[R]) finish(a *attempt[R]) (next *attempt[R], unheard error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(a.parts) > 0 { // registered after open had returned
		a.popLocked()
		return a, nil
	}
	if bad := errors.Join(a.badErrs...); bad != nil {
		a.stopErr = &StopError{Part: a.badPart, Err: bad}
		l.rememberLocked(a, bad)
		_, told := a.fate.(*StartError) // Rollback says it
		if a.stoppers == 0 && (a.waiters == 0 || !told) {
			unheard = a.stopErr
		}
	}
	// Whoever is answered runs at once, and State takes no lock: the answers come
	// after the transition, or a Stop would return while the state is Stopping.
	defer func() {
		a.answerLocked(a.fate)
		a.finishLocked()
		l.tookLocked(spec.Finish, a)
	}()
	a.op = spec.OpNone
	l.current = nil
	l.gate.Store(nil)
	if l.closing {
		l.mustFireLocked(spec.EventClosed, nil)
		return nil, unheard
	}
	l.mustFireLocked(spec.EventReleased, nil)
	if next = l.queued; next != nil {
		l.queued = nil
		l.beginLocked(next)
	}
	return next, unheard
}

// rememberLocked adds what failed in the releases to why the attempt failed (G14).
// Errors that callers may hold already are not written to.
func (l *Lifecycle[R]) rememberLocked(a *attempt[R], bad error) {
	failed, ok := l.cause.(*StartError)
	switch {
	case ok && a.fate != nil:
		with := *failed
		with.Rollback = bad
		if a.fate == l.cause {
			a.fate = &with
		}
		l.cause = &with
	case l.cause != nil:
		l.cause = errors.Join(l.cause, a.stopErr)
	default:
		l.cause = a.stopErr
	}
}

// rollBackLocked cancels an attempt that was opening, right after the machine
// went to Stopping: its Starts will get result, its context ends with reason.
func (l *Lifecycle[R]) rollBackLocked(a *attempt[R], result, reason error) {
	a.fate, a.reason = result, reason
	l.cause = result
	if _, ok := result.(*StartError); !ok {
		l.cause = a.failure(reason)
	}
	a.cancel(reason)
}

// releaseLocked closes the gate of the running attempt and begins its release.
func (l *Lifecycle[R]) releaseLocked(a *attempt[R], event spec.Event, reason error) {
	// The gate before the word: who has seen Stopping is not admitted any more.
	a.inUse = int(a.gate.Add(gateClosed) - gateClosed)
	l.mustFireLocked(event, reason)
	a.op, a.reason = spec.OpDrain, reason
	if a.inUse > 0 {
		a.drained = make(chan struct{})
	}
	l.spawn(func() { l.operate(a) })
}

// forceLocked cuts the drain short (G9). The caller calls cut as soon as it has
// let go of the lock: it ends the uses' contexts, whose parents are foreign, and
// only then lets the release go ahead.
func (a *attempt[R]) forceLocked() (cut func()) {
	a.stepLocked(StepForced, "", a.inUse, nil)
	a.forced = true
	inUse, end := a.inUse, a.uses.endLocked(a.reason)
	return func() {
		end()
		if inUse > 0 {
			close(a.drained)
		}
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
	case l.State() == spec.Starting:
		l.mustFireLocked(spec.EventDied, cause)
		l.rollBackLocked(a, a.failure(cause), cause)
	case l.State() == spec.Started:
		l.cause = cause
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
		l.rollBackLocked(a, a.failure(cause), cause)
		l.tookLocked(spec.Timeout, a)
	}
}

// popLocked takes the part that is to be released next, the last acquired.
func (a *attempt[R]) popLocked() {
	a.releasing, a.ran = nil, false
	if n := len(a.parts); n > 0 {
		p := a.parts[n-1]
		a.parts, a.releasing = a.parts[:n-1], &p
		a.stepLocked(StepReleasing, p.name, 0, nil)
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

// finishLocked gives the attempt's stoppers their result, stopErr.
func (a *attempt[R]) finishLocked() {
	a.isFinished, a.stoppers = true, 0
	if a.finished != nil {
		close(a.finished)
	}
}
