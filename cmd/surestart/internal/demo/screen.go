package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/producer"
	"github.com/seed3893aba4/surestart/spec"
)

// A Screen is where the demo tells what it does, as it happens.
type Screen struct {
	Out      io.Writer
	Terminal bool // lines may be written over, and coloured

	mu    sync.Mutex
	began time.Time
	bar   bool // the last line is a progress bar
	drawn time.Time
	step  int // the last progress that was printed where there is no terminal, in quarters
	shown int // transitions of this act
	most  int // that are to be shown of them
}

// An act shows at most this many transitions; the rest are counted. In the first
// act, where attempt after attempt fails, one attempt is enough.
const (
	mostTransitions  = 12
	firstTransitions = 3
)

// NewScreen returns a Screen that writes to out.
func NewScreen(out io.Writer, terminal bool) *Screen {
	return &Screen{Out: out, Terminal: terminal, began: time.Now()}
}

const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
	cyan  = "36"
)

func (s *Screen) paint(code, text string) string {
	if !s.Terminal {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *Screen) line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lineLocked(format, args...)
}

func (s *Screen) lineLocked(format string, args ...any) {
	if s.bar { // it stays, as far as it got
		fmt.Fprintln(s.Out)
		s.bar = false
	}
	fmt.Fprintf(s.Out, format+"\n", args...)
}

func (s *Screen) title(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.step = 0
	s.lineLocked("\n%s", s.paint(bold, text))
}

func (s *Screen) act(n int, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown, s.most = 0, mostTransitions
	if n == 1 {
		s.most = firstTransitions
	}
	s.lineLocked("  %s  %s", s.paint(bold, fmt.Sprint(n)), text)
}

// note is what came of an act.
func (s *Screen) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if hidden := s.shown - s.most; hidden > 0 {
		s.lineLocked("     %s", s.paint(dim, fmt.Sprintf("  … and %d more transitions: whoever comes after a failure gets a new attempt", hidden)))
		s.shown = s.most
	}
	s.lineLocked("     "+format, args...)
}

func (s *Screen) transition(t fsm.Transition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown++
	if s.shown > s.most {
		return
	}
	at := fmt.Sprintf("%7.3f s", t.At.Sub(s.began).Seconds())
	change := fmt.Sprintf("%8s → %-8s", t.From, t.To)
	s.lineLocked("     %s  %s  %s", s.paint(dim, at), s.paint(cyan, change), reason(t))
}

// reason says what a transition came from: the event by its name, and the cause at the root.
func reason(t fsm.Transition) string {
	name := t.Event.String()
	switch t.Event {
	case spec.EventFailed, spec.EventDied:
		return name + ": " + clip(root(t.Cause).Error(), 60)
	case spec.EventAbandoned:
		return name + ": the last caller has left"
	case spec.EventReleased, spec.EventClosed:
		return name + ": everything was given back"
	}
	return name
}

// root is the innermost error: of several, the first's.
func root(err error) error {
	for {
		var inner error
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			inner = e.Unwrap()
		case interface{ Unwrap() []error }:
			if all := e.Unwrap(); len(all) > 0 {
				inner = all[0]
			}
		}
		if inner == nil {
			return err
		}
		err = inner
	}
}

// progress shows how much is done: a bar on a terminal, else a line at each
// quarter. final: there is no more to come for now.
func (s *Screen) progress(done, total int, final bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Terminal {
		if now := time.Now(); final || now.Sub(s.drawn) > 40*time.Millisecond {
			const width = 40
			full := width * done / total
			bar := s.paint(green, strings.Repeat("█", full)) + s.paint(dim, strings.Repeat("░", width-full))
			fmt.Fprintf(s.Out, "\r\x1b[K     %s  %s of %s acknowledged", bar, Commas(done), Commas(total))
			s.bar, s.drawn = true, now
		}
		return
	}
	if quarter := 4 * done / total; quarter > s.step {
		s.step = quarter
		s.lineLocked("     %s of %s acknowledged", Commas(done), Commas(total))
	}
}

// clip shortens text to n characters, on one line.
func clip(text string, n int) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return text
}

// Commas writes n with its thousands apart.
func Commas[T int | int64](n T) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// cutOff says what a forced stop did.
func cutOff(e *producer.StopError) string {
	return fmt.Sprintf("%s messages cut off, %s not sent, %s maybe delivered", Commas(e.Messages), Commas(e.NotSent+e.Rejected), Commas(e.Maybe))
}
