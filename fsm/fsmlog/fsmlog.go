// Package fsmlog logs one structured line for each transition of a lifecycle, and for each
// failed try that is followed by another try.
//
//	l := fsm.New(open, fsmlog.To(logger.With("resource", "orders")))
//
// The lines are in the order of the transitions. Calls of Use and Acquire log nothing.
// Without this package a lifecycle logs only problems that no caller receives as an error
// (fsm.WithLogger).
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

// A line is the level and the message of an event.
type line struct {
	level   slog.Level
	message string
}

// The start or stop that a call requested is logged at level Info. A failed start is a
// warning: its callers have the error. The death of a resource is an error: perhaps no call
// returns it.
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

// retried is the line of a failed try that another try follows (fsm.WithRetry).
var retried = line{slog.LevelWarn, "surestart: start failed, trying again"}

// To makes a lifecycle log each of its transitions to logger, with these attributes:
//
//	event    the event of the transition, or "retry" for a failed try
//	state    the state after it
//	attempt  the latest attempt, counted from 1; 0: none has started
//	took     how long the state before lasted; absent for a failed try
//	part     of a failed start or try: the part that was being acquired;
//	         of a failed release: the first part whose release failed
//	cause    of a failure or a death; of a failed release: its errors. Absent for a Stop
//	         or Shutdown
//	cut_off  the number of uses that a forced release cut off, if any (G9)
//	try      of a failed try: its number in the attempt, from 1
//	pause    of a failed try: the time between the release of its parts and the next try
//
// The level is Info; Warn for a failed start or try, and for a release that failed or cut
// uses off; Error for a resource that died. The lifecycle itself logs a release that fails
// after a failed try (fsm.WithLogger). The time of a line is when the transition took
// effect.
//
// The context of a line has the values of the attempt (fsm.WithBaseContext,
// fsm.WithCallerContext) for handlers; when an idle lifecycle is shut down it has none.
// After the last line of an attempt, To keeps no context of the attempt in memory.
//
// The logger is called in a goroutine of its own: it delays nothing else, and the last lines
// may be written after Close has returned. fsm.Lifecycle.FlushObservers waits for them. Use
// the Option for one lifecycle only. For a nil logger, slog.Default() is called for each line.
func To(logger *slog.Logger) fsm.Option { return fsm.WithTracer(&tracer{logger: logger}) }

type tracer struct {
	logger *slog.Logger

	mu  sync.Mutex // in case the Option was given to two lifecycles
	now attempt
}

// An attempt records the steps of the present attempt; its zero value means none.
type attempt struct {
	values      context.Context
	acquiring   string
	cutOff      int
	failedPart  string
	releaseErrs []error
	tries       int // failed tries that another try followed
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

// step records s. It returns how many tries of the attempt have failed and were followed by
// another.
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
		t.now.acquiring, t.now.failedPart, t.now.releaseErrs = "", "", nil
	case fsm.StepForced:
		t.now.cutOff = s.CutOff
	case fsm.StepReleased:
		if s.Err != nil {
			if t.now.releaseErrs == nil {
				t.now.failedPart = s.Part
			}
			t.now.releaseErrs = append(t.now.releaseErrs, &releaseError{s.Part, s.Err})
		}
	}
	return t.now.tries
}

// A releaseError is the error of a part's release.
type releaseError struct {
	part string
	err  error
}

func (e *releaseError) Error() string { return e.part + ": " + oneline.Text(e.err) }
func (e *releaseError) Unwrap() error { return e.err }

// transition returns the record of the attempt, and clears it if the attempt has ended, so
// that the values of its context are not kept in memory.
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
	if ctx == nil { // no attempt: the lifecycle was idle
		ctx = context.Background()
	}
	cause, part := tr.Cause, ""
	if tr.Event == fsm.EventStop || tr.Event == fsm.EventShutdown {
		cause = nil // the event shows it
	}
	switch {
	case tr.From == fsm.Idle && tr.To == fsm.Closed:
		l = lines[fsm.EventClosed]
	case tr.From == fsm.Starting && tr.To == fsm.Stopping:
		part = now.acquiring
	case tr.From == fsm.Stopping:
		part, cause = now.failedPart, errors.Join(now.releaseErrs...)
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
	_ = logger.Handler().Handle(ctx, r) // slog itself ignores this error, too
}
