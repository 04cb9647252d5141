package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
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

const (
	bold  = "1"
	red   = "31"
	green = "32"
)

func (s *Screen) paint(code, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *Screen) line(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func (s *Screen) title(text string) { s.line("\n%s", s.paint(bold, text)) }

func (s *Screen) act(n int, format string, args ...any) {
	s.line("  %s  %s", s.paint(bold, fmt.Sprint(n)), fmt.Sprintf(format, args...))
}

// note is a line below an act.
func (s *Screen) note(format string, args ...any) { s.line("     "+format, args...) }

func (s *Screen) transition(t fsm.Transition) {
	why := t.Event.String()
	if t.Event == fsm.EventFailed {
		cause := t.Cause.Error()
		why += ": " + clip(cause[strings.LastIndex(cause, ": ")+1:], 60) // the innermost error
	}
	s.note("%7.3f s  %8s → %-8s  %s", t.At.Sub(s.began).Seconds(), t.From, t.To, why)
}

// clip shortens text to n characters, on one line.
func clip(text string, n int) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return text
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// Commas writes n with its thousands apart.
func Commas[T int | int64](n T) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
