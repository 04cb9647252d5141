package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/internal/history"
)

// subject is a lifecycle whose history is taken.
type subject interface {
	Start(context.Context) error
	Stop(context.Context) error
	Shutdown(context.Context) error
	Use(context.Context, func(context.Context, int) error) error // the resource is its attempt's number
	Acquire() (fsm.Lease[int], error)
}

// act is one thing that a caller of a program does.
type act struct {
	what    what
	context int // which of the program's; 0: one that does not end
	yields  int // before it; in a use also during it
	dies    bool
}

type what uint8

const (
	start what = iota
	stop
	shutdown
	acquire // a lease, kept for some time and released
	use
	cancel // the act's context
	report // a failure of the latest attempt, or of the one before
)

// program is what each caller does, and how the hooks behave.
type program struct {
	contexts int
	callers  [][]act
	opens    []hook // of the attempts, in turn; the last one again and again
	restarts int    // how many in a row what died is started again; 0: it is not
}

type hook struct {
	yields, parts int
	ends          how
	reports       bool // Scope.Fail before it returns
	releases      []how
}

type how uint8

const (
	returns how = iota
	fails
	panics
	exits // runtime.Goexit
)

// drawProgram draws a program. It is short, because rare situations need few calls, close together.
func drawProgram(r *rand.Rand) program {
	one := func(in int) bool { return r.IntN(in) == 0 }
	p := program{contexts: 1 + r.IntN(3)}
	weights := []what{start, start, start, start, start, stop, stop, acquire, acquire, use, use, cancel, cancel, report}
	if one(3) {
		weights = append(weights, shutdown)
	}
	if one(3) {
		p.restarts = 1 + r.IntN(2)
		weights = append(weights, use, report, report)
	}
	for range 2 + r.IntN(4) {
		var acts []act
		for range 1 + r.IntN(4) {
			a := act{what: weights[r.IntN(len(weights))], yields: r.IntN(6), dies: one(8)}
			if a.what == cancel || one(3) {
				a.context = 1 + r.IntN(p.contexts)
			}
			acts = append(acts, a)
		}
		p.callers = append(p.callers, acts)
	}
	end := func(in int) how {
		if !one(in) {
			return returns
		}
		return fails + how(r.IntN(3))
	}
	for range 3 {
		h := hook{yields: r.IntN(8), parts: r.IntN(3), ends: end(4), reports: one(10)}
		for range h.parts {
			h.releases = append(h.releases, end(8))
		}
		p.opens = append(p.opens, h)
	}
	return p
}

// recorder runs a program and records what is visible of it.
type recorder struct {
	history.Recorder
	program
	contexts []context.Context
	cancels  []context.CancelCauseFunc
	causes   []error
	attempts atomic.Int32
	mu       sync.Mutex
	reports  []func(error) // Scope.Fail of each attempt
}

var errHook = errors.New("the hook failed")

func newRecorder(p program) *recorder {
	r := &recorder{program: p}
	for i := range p.contexts + 1 {
		ctx, cancel := context.WithCancelCause(context.Background())
		r.contexts, r.cancels = append(r.contexts, ctx), append(r.cancels, cancel)
		r.causes = append(r.causes, fmt.Errorf("context x%d has ended", i))
	}
	return r
}

// open is the lifecycle's open.
func (r *recorder) open(_ context.Context, s *fsm.Scope) (int, error) {
	return r.attempt(s.Defer, s.Fail)
}

// attempt is one open, of any lifecycle: a part's release is handed to hold.
func (r *recorder) attempt(hold func(string, func(context.Context) error), fail func(error)) (int, error) {
	n := int(r.attempts.Add(1))
	h := r.opens[min(n, len(r.opens))-1]
	r.Log(history.Event{Kind: history.OpenBegun, Attempt: n})
	r.mu.Lock()
	r.reports = append(r.reports, fail) // a failure of n is reported after the open was seen
	r.mu.Unlock()
	yield(h.yields)
	for i, end := range h.releases {
		part := i + 1
		hold(fmt.Sprint("part ", part), func(context.Context) error {
			r.Log(history.Event{Kind: history.ReleaseBegun, Attempt: n, Part: part})
			yield(h.yields / 2)
			r.Log(history.Event{Kind: history.ReleaseReturns, Attempt: n, Part: part, Bad: end != returns})
			return end.now()
		})
	}
	if h.reports {
		r.fail(n, fail)
	}
	r.Log(history.Event{Kind: history.OpenReturns, Attempt: n, Part: h.parts, Bad: h.ends != returns})
	return n, h.ends.now()
}

func (h how) now() error {
	switch h {
	case fails:
		return errHook
	case panics:
		panic(errHook)
	case exits:
		runtime.Goexit()
	}
	return nil
}

func yield(n int) {
	for range n {
		runtime.Gosched()
	}
}

func (r *recorder) fail(attempt int, fail func(error)) {
	r.Log(history.Event{Kind: history.FailCalled, Attempt: attempt})
	fail(errHook)
	r.Log(history.Event{Kind: history.FailReturned, Attempt: attempt})
}

// run makes the callers run freely, then shuts down, and returns the history. If a call hangs, it
// panics instead of waiting.
func (r *recorder) run(s subject) history.History {
	hangs := time.AfterFunc(30*time.Second, func() {
		panic(fmt.Sprintf("G12 Progress is broken: after 30 s a call has not returned; seen so far:\n%v", r.History()))
	})
	defer hangs.Stop()
	var all sync.WaitGroup
	together := make(chan struct{})
	for c, acts := range r.callers {
		all.Go(func() {
			<-together
			for _, a := range acts {
				yield(a.yields)
				r.do(s, uint8(c), a)
			}
		})
	}
	close(together)
	all.Wait()
	r.do(s, 0, act{what: shutdown})
	for _, cancel := range r.cancels {
		cancel(nil)
	}
	return r.History()
}

func (r *recorder) do(s subject, c uint8, a act) {
	ctx := r.contexts[a.context]
	call := func(kind abstract.Call) {
		r.Log(history.Event{Kind: history.Call, Caller: c, Call: kind, Context: uint8(a.context), Ended: ctx.Err() != nil})
	}
	returned := func(out abstract.Result, err error) {
		e := history.Event{Kind: history.Return, Caller: c, Out: out}
		if err != nil {
			e.Said = err.Error()
		}
		r.Log(e)
	}
	switch a.what {
	case start:
		call(abstract.InStart)
		err := s.Start(ctx)
		returned(r.started(err, a.context), err)
	case stop:
		call(abstract.InStop)
		err := s.Stop(ctx)
		returned(r.stopped(err, a.context), err)
	case shutdown:
		call(abstract.InShut)
		err := s.Shutdown(ctx)
		returned(r.stopped(err, a.context), err)
	case acquire:
		a.context, ctx = 0, r.contexts[0]
		call(abstract.InUse)
		lease, err := s.Acquire()
		if err == nil {
			r.use(c, a, lease.Context(), lease.Resource(), lease.Fail)
			lease.Release()
		}
		returned(r.used(err, 0, err == nil), err)
	case use:
		call(abstract.InUse)
		ran := false
		err := s.Use(ctx, func(ctx context.Context, attempt int) error {
			ran = true
			r.use(c, a, ctx, attempt, nil)
			return nil
		})
		returned(r.used(err, a.context, ran), err)
	case cancel:
		r.Log(history.Event{Kind: history.ContextMayEnd, Context: uint8(a.context)})
		r.cancels[a.context](r.causes[a.context])
	case report:
		r.mu.Lock()
		reports := r.reports
		r.mu.Unlock()
		n := len(reports)
		if a.dies {
			n-- // the one before
		}
		if n > 0 {
			r.fail(n, reports[n-1])
		}
	}
}

// use is a caller's work in an admitted use.
func (r *recorder) use(c uint8, a act, ctx context.Context, attempt int, fail func(error)) {
	r.Log(history.Event{Kind: history.Admitted, Caller: c, Attempt: attempt})
	yield(2 * a.yields)
	if a.dies && fail != nil {
		r.fail(attempt, fail)
	}
	at := r.Stamp()
	switch {
	case ctx.Err() == nil:
		r.LogAt(at, history.Event{Kind: history.NotCut, Caller: c, Attempt: attempt})
	case !errors.Is(context.Cause(ctx), r.causes[a.context]):
		r.Log(history.Event{Kind: history.WasCut, Caller: c})
	}
	r.Log(history.Event{Kind: history.UseMayEnd, Caller: c})
}

var foreign = abstract.Result{Out: history.Foreign}

// started returns the meaning of Start's error. A context's cause has to be the caller's own. No
// attempt fails for callers that still wait because of another caller's context (G6).
func (r *recorder) started(err error, ctx int) abstract.Result {
	var left *fsm.LeaveError
	switch {
	case err == nil:
		return abstract.Result{Out: abstract.Ok}
	case ctx > 0 && (err == r.causes[ctx] || errors.As(err, &left) && left.Err == r.causes[ctx]):
		return abstract.Result{Out: abstract.Ctx}
	case slices.ContainsFunc(r.causes, func(cause error) bool { return errors.Is(err, cause) }):
		return foreign
	case errors.As(err, new(*fsm.StartError)):
		return abstract.Result{Out: abstract.Failed}
	case errors.Is(err, fsm.ErrStopped):
		return abstract.Result{Out: abstract.Stopped}
	case errors.Is(err, fsm.ErrClosed):
		return abstract.Result{Out: abstract.Closed}
	}
	return foreign
}

func (r *recorder) stopped(err error, ctx int) abstract.Result {
	var failed *fsm.StopError
	switch {
	case err == nil:
		return abstract.Result{Out: abstract.Ok}
	case !errors.As(err, &failed):
		return foreign
	case failed.Part != "":
		return abstract.Result{Out: abstract.RelErr}
	case ctx == 0 || failed.Err != r.causes[ctx]:
		return foreign
	case failed.CutOff > 0:
		return abstract.Result{Out: abstract.CutOff, N: uint8(failed.CutOff)}
	}
	return abstract.Result{Out: abstract.Ctx}
}

func (r *recorder) used(err error, ctx int, ran bool) abstract.Result {
	switch {
	case ran && err == nil:
		return abstract.Result{Out: abstract.Ok}
	case ran:
		return foreign
	case errors.Is(err, fsm.ErrClosed):
		return abstract.Result{Out: abstract.Closed}
	case errors.Is(err, fsm.ErrNotStarted):
		return abstract.Result{Out: abstract.NotStarted}
	case ctx > 0 && err == r.causes[ctx]: // admitted, and ended at once
		return abstract.Result{Out: abstract.Ok}
	}
	return foreign
}

// shipped is the lifecycle that ships, on the recorder's hooks.
func (r *recorder) shipped() subject {
	opts := []fsm.Option{fsm.WithLogger(slog.New(slog.DiscardHandler))}
	if r.restarts > 0 {
		r.Log(history.Event{Kind: history.Restarting})
		opts = append(opts, fsm.WithRestart(r))
	}
	return fsm.New(r.open, opts...)
}

// Next is the Backoff of the restarts.
func (r *recorder) Next(try int, _ error) (wait time.Duration, again bool) {
	again = try <= r.restarts
	pause := r.opens[0].yields
	yield(pause)
	r.Log(history.Event{Kind: history.BackoffAnswers, Bad: !again})
	return time.Duration(pause%2*pause) * time.Microsecond, again
}
