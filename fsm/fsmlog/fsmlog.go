// Package fsmlog writes a line of structured log for each transition of a lifecycle, and
// for each try of a start that failed and is made again.
//
//	l := fsm.New(open, fsmlog.To(logger.With("resource", "orders")))
//
// A lifecycle by itself logs only what no caller would otherwise learn of
// (fsm.WithLogger). These lines are the story of what happened to it, in order. There
// is none on the path of a use.
package fsmlog

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/oneline"
)

// A line is how an event is logged.
type line struct {
	level   slog.Level
	message string
}

// What somebody asked for is information. A start that came to nothing is a warning:
// its callers know, if they still wait. That a resource died nobody else may hear of.
var lines = map[fsm.Event]line{
	fsm.EventStart:     {slog.LevelInfo, "surestart: starting"},
	fsm.EventOpened:    {slog.LevelInfo, "surestart: started"},
	fsm.EventFailed:    {slog.LevelWarn, "surestart: start failed"},
	fsm.EventAbandoned: {slog.LevelWarn, "surestart: start abandoned"},
	fsm.EventTimeout:   {slog.LevelWarn, "surestart: start timed out"},
	fsm.EventStop:      {slog.LevelInfo, "surestart: stopping"},
	fsm.EventShutdown:  {slog.LevelInfo, "surestart: shutting down"},
	fsm.EventDied:      {slog.LevelError, "surestart: died"},
	fsm.EventReleased:  {slog.LevelInfo, "surestart: released"},
	fsm.EventClosed:    {slog.LevelInfo, "surestart: closed"},
}

// retried is how a try is logged that failed and is to be made again (fsm.WithRetry).
var retried = line{slog.LevelWarn, "surestart: start failed, trying again"}

// To makes a lifecycle log each of its transitions to logger, with these attributes:
//
//	event    the specification's name of the transition; retry of a try that failed
//	state    the state that it led to
//	attempt  the latest attempt, counted from 1; 0: there was none
//	took     how long the state before had lasted
//	part     of a start or a try that ended before it was up: what was being acquired;
//	         of a release that failed: the first part whose release did
//	cause    why, unless it was a Stop or Shutdown; of a release: what failed in it
//	cut_off  how many uses a forced release cut off, if any (G9)
//	try      of a try that failed: which one of its attempt, counted from 1
//	pause    of a try that failed: how long it waits until the next, once the parts
//	         that it held are released
//
// The level is Info; Warn for a start or a try that came to nothing and for a release
// that failed or cut uses off; Error for a resource that died. A try that failed has no
// took; what it held and could not be released is logged by the lifecycle itself, for the
// next try knows nothing of it. The time of a line is when the transition took effect.
// Its context carries the values that the attempt carries (fsm.WithBaseContext,
// fsm.WithCallerContext), so that a handler finds them; the line of a lifecycle that is
// shut down while it is idle carries none. After the last line of an attempt its context
// is kept by nobody here.
//
// What logger does holds up nobody: it is called on a goroutine of its own, so that the
// last lines may come after Close has returned; fsm.Lifecycle.FlushObservers waits for
// them. The Option is for one lifecycle. A nil logger is slog.Default, as it is when
// there is a line.
func To(logger *slog.Logger) fsm.Option { return fsm.WithTracer(&tracer{logger: logger}) }

type tracer struct {
	logger *slog.Logger

	mu  sync.Mutex // in case the Option was given to two lifecycles after all
	now attempt
}

// An attempt is what has been seen of the one that has not ended; the zero value: there
// is none.
type attempt struct {
	values    context.Context
	acquiring string
	cutOff    int
	badPart   string
	bad       []error
	tries     int // that failed and are to be made again
}

// Step implements fsm.Tracer.
func (t *tracer) Step(s fsm.Step) {
	try := t.step(s)
	if s.Kind != fsm.StepRetry {
		return
	}
	attrs := []slog.Attr{slog.String("event", s.Kind.String()), slog.String("state", fsm.Starting.String()), slog.Uint64("attempt", s.Attempt), slog.Int("try", try)}
	if s.Part != "" {
		attrs = append(attrs, slog.String("part", s.Part))
	}
	t.write(s.Context, s.At, retried, append(attrs, slog.Any("cause", s.Err), slog.Duration("pause", s.Pause))...)
}

// step returns how many tries of the attempt have failed and are to be made again.
func (t *tracer) step(s fsm.Step) (tries int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch s.Kind {
	case fsm.StepBegun:
		t.now = attempt{values: s.Context}
	case fsm.StepAcquiring:
		t.now.acquiring = s.Part
	case fsm.StepRetry:
		t.now.tries++
	case fsm.StepTryAgain: // it holds nothing
		t.now.acquiring, t.now.badPart, t.now.bad = "", "", nil
	case fsm.StepForced:
		t.now.cutOff = s.CutOff
	case fsm.StepReleased:
		if s.Err != nil {
			if t.now.bad == nil {
				t.now.badPart = s.Part
			}
			t.now.bad = append(t.now.bad, &releaseError{s.Part, s.Err})
		}
	}
	return t.now.tries
}

// A releaseError is what the release of a part failed with.
type releaseError struct {
	part string
	err  error
}

func (e *releaseError) Error() string { return e.part + ": " + oneline.Text(e.err) }
func (e *releaseError) Unwrap() error { return e.err }

// transition returns what has been seen of the attempt, and forgets it if it has ended:
// what its context carries is not to be kept while nothing is open.
func (t *tracer) transition(to fsm.State) attempt {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now
	if to == fsm.Idle || to == fsm.Closed {
		t.now = attempt{}
	}
	return now
}

// Transition implements fsm.Tracer.
func (t *tracer) Transition(tr fsm.Transition) {
	now := t.transition(tr.To)
	l, ctx := lines[tr.Event], now.values
	if ctx == nil { // no attempt: it was idle
		ctx = context.Background()
	}
	cause, part := tr.Cause, ""
	if tr.Event == fsm.EventStop || tr.Event == fsm.EventShutdown {
		cause = nil // the event says it
	}
	switch {
	case tr.From == fsm.Idle && tr.To == fsm.Closed:
		l = lines[fsm.EventClosed]
	case tr.From == fsm.Starting && tr.To == fsm.Stopping:
		part = now.acquiring
	case tr.From == fsm.Stopping:
		part, cause = now.badPart, errors.Join(now.bad...)
		if cause != nil || now.cutOff > 0 {
			l.level = slog.LevelWarn
		}
	}
	attrs := []slog.Attr{slog.String("event", tr.Event.String()), slog.String("state", tr.To.String()),
		slog.Uint64("attempt", tr.Attempt), slog.Duration("took", tr.Took)}
	if part != "" {
		attrs = append(attrs, slog.String("part", part))
	}
	if cause != nil {
		attrs = append(attrs, slog.Any("cause", cause))
	}
	if tr.From == fsm.Stopping && now.cutOff > 0 {
		attrs = append(attrs, slog.Int("cut_off", now.cutOff))
	}
	t.write(ctx, tr.At, l, attrs...)
}

func (t *tracer) write(ctx context.Context, at time.Time, l line, attrs ...slog.Attr) {
	logger := t.logger
	if logger == nil {
		logger = slog.Default()
	}
	if !logger.Enabled(ctx, l.level) {
		return
	}
	r := slog.NewRecord(at, l.level, l.message, 0)
	r.AddAttrs(attrs...)
	_ = logger.Handler().Handle(ctx, r) // as slog itself: nobody is there to be told
}
