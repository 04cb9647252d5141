package verify

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// screen shows a run to a person: what is done stays, and the running layer's last
// word is rewritten on one line, or on a pipe repeated now and then.
type screen struct {
	out  io.Writer
	live bool
	on   bool // a progress line stands on the last line
	last time.Time
}

// How often progress is shown, at most.
const (
	liveEvery = 200 * time.Millisecond
	pipeEvery = 15 * time.Second
)

func (s *screen) line(format string, args ...any) {
	s.write(fmt.Sprintf(format, args...) + "\n")
}

func (s *screen) write(text string) {
	if s.on {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.on = false
	}
	fmt.Fprint(s.out, text)
}

func (s *screen) progress(text string) {
	every := pipeEvery
	if s.live {
		every = liveEvery
	}
	if text = strings.TrimSpace(text); text == "" || time.Since(s.last) < every {
		return
	}
	s.last = time.Now()
	text = fmt.Sprintf("    %.110s", text)
	if !s.live {
		s.line("%s", text)
		return
	}
	s.write(text)
	s.on = true
}
