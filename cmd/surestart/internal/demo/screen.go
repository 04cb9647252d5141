package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/flight"
	"github.com/seed3893aba4/surestart/internal/oneline"
	"github.com/seed3893aba4/surestart/internal/terminal"
)

// A Screen is where the demo shows what it does.
type Screen struct {
	out    io.Writer
	colour bool
	began  time.Time
}

// NewScreen returns a Screen that writes to out, in colour or not.
func NewScreen(out io.Writer, colour bool) *Screen {
	return &Screen{out: out, colour: colour, began: time.Now()}
}

func (s *Screen) paint(code, text string) string { return terminal.Paint(s.colour, code, text) }

func (s *Screen) line(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func (s *Screen) title(text string) { s.line("\n%s", s.paint(terminal.Bold, text)) }

func (s *Screen) act(n int, format string, args ...any) {
	s.line("  %s  %s", s.paint(terminal.Bold, fmt.Sprint(n)), fmt.Sprintf(format, args...))
}

// note is a line below an act.
func (s *Screen) note(format string, args ...any) { s.line("     "+format, args...) }

func (s *Screen) transition(t flight.Transition) {
	why := t.Event.String()
	if t.Event == fsm.EventFailed {
		why += ": " + clip(t.Cause[strings.LastIndex(t.Cause, ": ")+1:], 60) // the innermost error
	}
	s.note("%7.3f s  %8s → %-8s  %s", t.At.Sub(s.began).Seconds(), t.From, t.To, why)
}

// clip shortens text to n characters, on one line.
func clip(text string, n int) string {
	text = strings.TrimSpace(oneline.Line(text))
	if r := []rune(text); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return text
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
