// Package fsmlog writes a line of structured log for each transition of a lifecycle.
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
	"fmt"
	"log/slog"
	"sync"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

// A line is how an event is logged.
type line struct {
	level   slog.Level
	message string
}

// What somebody asked for is information. A start that came to nothing is a warning:
// its callers know, if they still wait. That a resource died nobody else may hear of.
var lines = map[spec.Event]line{
	spec.EventStart:     {slog.LevelInfo, "surestart: starting"},
	spec.EventOpened:    {slog.LevelInfo, "surestart: started"},
	spec.EventFailed:    {slog.LevelWarn, "surestart: start failed"},
	spec.EventAbandoned: {slog.LevelWarn, "surestart: start abandoned"},
	spec.EventTimeout:   {slog.LevelWarn, "surestart: start timed out"},
	spec.EventStop:      {slog.LevelInfo, "surestart: stopping"},
	spec.EventShutdown:  {slog.LevelInfo, "surestart: shutting down"},
	spec.EventDied:      {slog.LevelError, "surestart: died"},
	spec.EventReleased:  {slog.LevelInfo, "surestart: released"},
	spec.EventClosed:    {slog.LevelInfo, "surestart: closed"},
}

// To makes a lifecycle log each of its transitions to logger, with these attributes:
//
//	event    the specification's name of the transition
//	state    the state that it led to
//	attempt  the latest attempt, counted from 1; 0: there was none
//	took     how long the state before had lasted
//	part     of a start that ended before it was up: what was being acquired;
//	         of a release that failed: the first part whose release did
//	cause    why, unless it was a Stop or Shutdown; of a release: what failed in it
//	cut_off  how many uses a forced release cut off, if any (G9)
//
// The level is Info; Warn for a start that came to nothing and for a release that
// failed or cut uses off; Error for a resource that died. The time of a line is when the
// transition took effect; its context carries the values of the attempt's, so that
// a handler finds the trace of the first caller.
//
// What logger does holds up nobody: it is called on the goroutine of the
// lifecycle's observers. The Option is for one lifecycle. A nil logger is
// slog.Default, asked for each line.
func To(logger *slog.Logger) fsm.Option { return fsm.WithTracer(&tracer{logger: logger}) }

type tracer struct {
	logger *slog.Logger

	mu  sync.Mutex // in case the Option was given to two lifecycles after all
	now attempt
}

// An attempt is what has been seen of the latest one.
type attempt struct {
	values    context.Context
	acquiring string
	cutOff    int
	badPart   string
	bad       []error
}

// Step implements fsm.Tracer.
func (t *tracer) Step(s fsm.Step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch s.Kind {
	case fsm.StepBegun:
		t.now = attempt{values: s.Context}
	case fsm.StepAcquiring:
		t.now.acquiring = s.Part
	case fsm.StepForced:
		t.now.cutOff = s.CutOff
	case fsm.StepReleased:
		if s.Err != nil {
			if t.now.bad == nil {
				t.now.badPart = s.Part
			}
			t.now.bad = append(t.now.bad, fmt.Errorf("%s: %w", s.Part, s.Err))
		}
	}
}

// Transition implements fsm.Tracer.
func (t *tracer) Transition(tr fsm.Transition) {
	t.mu.Lock()
	now := t.now
	t.mu.Unlock()
	l, ctx := lines[tr.Event], now.values
	if ctx == nil { // it was never started
		ctx = context.Background()
	}
	cause, part := tr.Cause, ""
	if tr.Event == spec.EventStop || tr.Event == spec.EventShutdown {
		cause = nil // the event says it
	}
	switch {
	case tr.From == spec.Idle && tr.To == spec.Closed:
		l = lines[spec.EventClosed]
	case tr.From == spec.Starting && tr.To == spec.Stopping:
		part = now.acquiring
	case tr.From == spec.Stopping:
		part, cause = now.badPart, errors.Join(now.bad...)
		if cause != nil || now.cutOff > 0 {
			l.level = slog.LevelWarn
		}
	}
	logger := t.logger
	if logger == nil {
		logger = slog.Default()
	}
	if !logger.Enabled(ctx, l.level) {
		return
	}
	r := slog.NewRecord(tr.At, l.level, l.message, 0)
	r.AddAttrs(slog.String("event", tr.Event.String()), slog.String("state", tr.To.String()),
		slog.Uint64("attempt", tr.Attempt), slog.Duration("took", tr.Took))
	if part != "" {
		r.AddAttrs(slog.String("part", part))
	}
	if cause != nil {
		r.AddAttrs(slog.Any("cause", cause))
	}
	if tr.From == spec.Stopping && now.cutOff > 0 {
		r.AddAttrs(slog.Int("cut_off", now.cutOff))
	}
	_ = logger.Handler().Handle(ctx, r) // as slog itself: nobody is there to be told
}
