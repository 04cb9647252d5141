package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed3893aba4/surestart/internal/oneline"
	"github.com/seed3893aba4/surestart/internal/terminal"
	"github.com/seed3893aba4/surestart/producer"
)

// counts has the results of the lines, and the state of their display.
type counts struct {
	acked, failed, maybe atomic.Int64 // maybe counts the failed lines that may be on the broker
	file                 string       // the file of the last line that was sent
	last                 int

	mu       sync.Mutex
	listed   int
	reason   string // of the last listed line
	unlisted int
	live     bool // the last line on standard error is written over
}

const mostListed = 10 // failures that are listed one by one

// listFailed prints a failed line. Repeated reasons, and reasons beyond a limit, are only counted.
func (s *sender) listFailed(text string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reason := err.Error()
	if s.listed >= mostListed || reason == s.reason {
		s.unlisted++
		return
	}
	s.reason = reason
	s.listed++
	s.lineLocked(text)
}

// note prints a line about the run as a whole.
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

// show shows the progress until the function that it returns is called: on a terminal in one line
// that is overwritten, otherwise in a line now and then.
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
			text := fmt.Sprintf("%s acknowledged, %s a second", terminal.Commas(n), terminal.Commas(rate))
			if stalled := s.stalled(); stalled != "" {
				text = fmt.Sprintf("%s acknowledged, %s", terminal.Commas(n), stalled)
			}
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

// stallAfter is how long the oldest message waits for its answer before sending counts as stalled.
const stallAfter = 2 * time.Second

// stalled says for how long sending has stalled, and why: it pings every leader. It returns "" if
// sending has not stalled.
func (s *sender) stalled() string {
	oldest := s.p.Counters().Oldest
	if oldest < stallAfter {
		return ""
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), 2*time.Second, errors.New("a broker does not answer"))
	defer cancel()
	why := "the brokers answer, but no message is acknowledged"
	switch err := s.p.Ping(ctx); {
	case errors.Is(err, producer.ErrNotStarted), errors.Is(err, producer.ErrClosed):
		return "" // the stall has ended meanwhile
	case err != nil:
		why = oneLine(err)
	}
	return fmt.Sprintf("stalled %d s: %s", int(oldest.Seconds()), why)
}

// summary prints the last line. Its error decides the exit status.
func (s *sender) summary(out io.Writer, closing error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unlisted > 0 {
		s.lineLocked(fmt.Sprintf("and %s more that failed", terminal.Commas(s.unlisted)))
	}
	if s.live {
		fmt.Fprint(s.errors, "\r\x1b[K")
		s.live = false
	}
	took := time.Since(s.began)
	acked, failed := s.acked.Load(), s.failed.Load()
	text := fmt.Sprintf("%s of %s lines acknowledged in %.2f s", terminal.Commas(acked), terminal.Commas(acked+failed), took.Seconds())
	if failed > 0 {
		text += fmt.Sprintf("; %s not, of which %s may be on the broker", terminal.Commas(failed), terminal.Commas(s.maybe.Load()))
	}
	interrupted := false
	select {
	case <-s.in.quit:
		interrupted = true
	default:
	}
	unread := !s.in.atEnd.Load()
	if unread && s.file != "" {
		text += fmt.Sprintf("; nothing after line %s of %s was sent", terminal.Commas(s.last), oneline.Escape(s.file))
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
