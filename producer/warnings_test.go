package producer

import (
	"context"
	"log/slog"
	"strings"
	"sync"
)

// logs is a slog.Handler that keeps what is logged.
type logs struct {
	mu    sync.Mutex
	lines []string
	slow  func() // called for each, before it is kept
}

func (l *logs) Enabled(context.Context, slog.Level) bool { return true }
func (l *logs) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logs) WithGroup(string) slog.Handler            { return l }

func (l *logs) Handle(_ context.Context, r slog.Record) error {
	if l.slow != nil {
		l.slow()
	}
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return nil
}

func (l *logs) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// count is how many lines contain what.
func (l *logs) count(what string) (n int) {
	for line := range strings.Lines(l.text()) {
		if strings.Contains(line, what) {
			n++
		}
	}
	return n
}
