package main

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed3893aba4/surestart/cmd/surestart/internal/demo"
	"github.com/seed3893aba4/surestart/internal/oneline"
	"github.com/seed3893aba4/surestart/internal/terminal"
)

// counts is what became of the lines, and how that is told.
type counts struct {
	acked, failed, maybe atomic.Int64 // maybe: of the failed, those that may be on the broker
	file                 string       // the last line that was handed over
	last                 int

	mu     sync.Mutex
	told   int
	reason string // of what was told last
	untold int
	live   bool // the last line on standard error is written over
}

const mostTold = 10 // failures that are named one by one

// tell names a failed line; the same reason, or too many, are only counted.
func (s *sender) tell(text string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reason := err.Error()
	if s.told >= mostTold || reason == s.reason {
		s.untold++
		return
	}
	s.reason = reason
	s.told++
	s.lineLocked(text)
}

// note says something about the run as a whole.
func (s *sender) note(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lineLocked("surestart produce: " + text)
}

func (s *sender) lineLocked(text string) {
	if s.live {
		fmt.Fprint(s.errors, "\r\x1b[K")
		s.live = false
	}
	fmt.Fprintln(s.errors, text)
}

// show tells the progress until the function that it returns is called: on a
// terminal in one line that is written over, else in a line now and then.
func (s *sender) show(w *world) (stop func()) {
	live := terminal.Is(w.err, w.getenv)
	every := 5 * time.Second
	if live {
		every = 200 * time.Millisecond
	}
	over := make(chan struct{})
	var shown sync.WaitGroup
	shown.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-over:
				return
			case <-ticker.C:
			}
			n := s.acked.Load()
			rate := int64(float64(n) / time.Since(s.began).Seconds())
			text := fmt.Sprintf("%s acknowledged, %s a second", demo.Commas(n), demo.Commas(rate))
			s.mu.Lock()
			if live {
				fmt.Fprintf(s.errors, "\r\x1b[K%s", text)
				s.live = true
			} else {
				s.lineLocked(text)
			}
			s.mu.Unlock()
		}
	})
	return func() {
		close(over)
		shown.Wait()
	}
}

// summary is the last line, and what the exit status says.
func (s *sender) summary(out io.Writer, closing error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.untold > 0 {
		s.lineLocked(fmt.Sprintf("and %s more that failed", demo.Commas(s.untold)))
	}
	if s.live {
		fmt.Fprint(s.errors, "\r\x1b[K")
		s.live = false
	}
	took := time.Since(s.began)
	acked, failed := s.acked.Load(), s.failed.Load()
	text := fmt.Sprintf("%s of %s lines acknowledged in %.2f s", demo.Commas(acked), demo.Commas(acked+failed), took.Seconds())
	if failed > 0 {
		text += fmt.Sprintf("; %s not, of which %s may be on the broker", demo.Commas(failed), demo.Commas(s.maybe.Load()))
	}
	interrupted := false
	select {
	case <-s.in.quit:
		interrupted = true
	default:
	}
	unread := !s.in.atEnd.Load()
	if unread && s.file != "" {
		text += fmt.Sprintf("; nothing after line %s of %s was sent", demo.Commas(s.last), oneline.Escape(s.file))
	}
	fmt.Fprintln(out, text)

	switch {
	case unread && !interrupted && failed == 0:
		return s.in.err // a line that could not be read: batches is closed
	case failed > 0, unread && s.in.namesFiles(), closing != nil && !interrupted:
		return errSaid
	}
	return nil
}
