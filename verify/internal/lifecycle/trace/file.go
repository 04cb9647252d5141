package trace

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/seed3893aba4/surestart/internal/strict"
	"github.com/seed3893aba4/surestart/spec"
)

// file is the stored form of a trace. Its actions are numbers, which only a program built from the
// same source can read.
type file struct {
	Version int    `json:"trace"` // 1
	Said    string `json:"said"`  // why it was kept
	Run     *Trace `json:"run"`
}

const version = 1

// Write writes the trace, and the reason for keeping it, in the form that Read reads.
func (t *Trace) Write(to io.Writer, said string) error {
	out := json.NewEncoder(to)
	out.SetIndent("", " ")
	return out.Encode(file{version, said, t})
}

// Read reads what Write wrote.
func Read(from io.Reader) (*Trace, error) {
	var f file
	if err := strict.Decode(from, &f); err != nil {
		return nil, fmt.Errorf("not a trace: %w", err)
	}
	if f.Version != version || f.Run == nil {
		return nil, fmt.Errorf("a trace of version %d: this program reads version %d", f.Version, version)
	}
	return f.Run, f.Run.valid()
}

// valid checks that all numbers are in range, so that Check can use them as indices.
func (t *Trace) valid() error {
	b := t.Bound
	if err := b.Check(); err != nil {
		return err
	}
	if len(t.Threads) < b.Callers || len(t.Threads) > b.Callers+1 {
		return fmt.Errorf("not a trace: %d callers, %d threads", b.Callers, len(t.Threads))
	}
	actions := spec.Action(len(spec.Actions()))
	for i, s := range t.Sections {
		caller := s.Action.OfCaller()
		if s.Thread < -1 || s.Thread >= len(t.Threads) || s.Action >= actions || int(s.Attempt) > b.Attempts() ||
			caller && (s.Thread < 0 || s.Thread >= b.Callers) || !caller && s.Attempt < 1 && s.Action != spec.GivesUp {
			return fmt.Errorf("not a trace: section %d", i+1)
		}
		for _, v := range s.Views {
			if v.Number < 1 || int(v.Number) > b.Attempts() {
				return fmt.Errorf("not a trace: section %d", i+1)
			}
		}
	}
	for th, events := range t.Threads {
		for i, e := range events {
			if e.Kind > Cancels || e.Action >= actions || e.Section < 0 || e.Kind == Locked && e.Section >= len(t.Sections) {
				return fmt.Errorf("not a trace: step %d of thread %d", i+1, th+1)
			}
		}
	}
	return nil
}
