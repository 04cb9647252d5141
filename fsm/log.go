package fsm

import (
	"context"
	"log/slog"
	"runtime"
	"time"
)

// Log lines go through a queue of their own: the logger may be slow, hang or panic, and
// must not delay the open, release or restart that follows the line.

// A logLine is a record and its logger.
type logLine struct {
	to     *slog.Logger
	record slog.Record
}

// A logQueue accepts lines for the logger. It may be called under the lifecycle's lock.
type logQueue[R any] struct{ l *Lifecycle[R] }

func (l *Lifecycle[R]) log() logQueue[R] { return logQueue[R]{l} }

// Error logs a line at level Error; args are as in slog.
func (q logQueue[R]) Error(msg string, args ...any) { q.add(slog.LevelError, msg, args) }

// Warn logs a line at level Warn.
func (q logQueue[R]) Warn(msg string, args ...any) { q.add(slog.LevelWarn, msg, args) }

func (q logQueue[R]) add(level slog.Level, msg string, args []any) {
	var pc [1]uintptr
	runtime.Callers(3, pc[:]) // the caller of Error or Warn
	record := slog.NewRecord(time.Now(), level, msg, pc[0])
	record.Add(args...)
	if logs := &q.l.logs; logs.push(logLine{q.l.config.log(), record}) {
		q.l.spawn(func() { logs.drain(q.l.spawn, write) })
	}
}

// write passes a line to its logger. It drops a panic: there is no logger to report it to.
func write(line logLine) {
	_ = contain(func() error {
		ctx, handler := context.Background(), line.to.Handler()
		if !handler.Enabled(ctx, line.record.Level) {
			return nil
		}
		return handler.Handle(ctx, line.record)
	})
}
