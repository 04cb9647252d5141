package runner

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// screen shows a run to a person. Finished layers stay on the screen. The last output of the
// running layer is rewritten on one line, or on a pipe repeated now and then.
type screen struct {
	out  io.Writer
	live bool
	all  bool // all that the layers print is shown

	mu    sync.Mutex
	doing string // what runs
	on    bool   // a progress line stands on the last line
	last  time.Time
}

// How often progress is shown, at most.
const (
	liveEvery = 200 * time.Millisecond
	pipeEvery = time.Minute
)

func (s *screen) line(format string, args ...any) {
	s.write(fmt.Sprintf(format, args...) + "\n")
}

func (s *screen) write(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(text)
}

func (s *screen) put(text string) {
	if s.on {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.on = false
	}
	fmt.Fprint(s.out, text)
}

// begin shows what runs from now on.
func (s *screen) begin(what string) {
	s.mu.Lock()
	s.doing, s.last = what, time.Now()
	if s.live {
		s.last = time.Time{}
	}
	s.mu.Unlock()
	if s.all {
		s.line("==> %s", what)
	} else if s.live {
		s.progress("…")
	}
}

func (s *screen) progress(text string) {
	if s.all {
		s.line("%s", text)
		return
	}
	every := pipeEvery
	if s.live {
		every = liveEvery
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if text = strings.TrimSpace(text); text == "" || time.Since(s.last) < every {
		return
	}
	s.last = time.Now()
	name, _, _ := strings.Cut(s.doing, ":")
	text = fmt.Sprintf("%.110s", name+": "+text)
	if !s.live {
		s.put(text + "\n")
		return
	}
	s.put(text)
	s.on = true
}
