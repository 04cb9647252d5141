package core_test

import (
	"fmt"
	"slices"

	"github.com/seed3893aba4/surestart/internal/core"
)

// control: the producer stops, is cut, starts; a core is freed; there is another id.
func (w *world) control(i int, p *part) error {
	switch w.choose(6) {
	case 0:
		return w.stop()
	case 1:
		return w.stopEnds()
	case 2:
		if w.choose(4) == 0 {
			return w.cut()
		}
	case 3:
		return w.start()
	case 4:
		if err := p.core.Free(); err == nil && p.core.Undecided() > 0 {
			return fmt.Errorf("a core with messages was freed")
		}
	case 5:
		if w.mode == core.Idempotent && w.ids.Due() {
			w.lastID++
			return w.ids.NewID(w.lastID)
		}
	}
	return nil
}

func (w *world) stop() error {
	if w.run != 0 {
		return nil
	}
	w.run = 1
	for _, p := range w.parts {
		if err := p.core.Stop(); err != nil {
			return err
		}
	}
	return nil
}

// stopEnds: as the engine does it, each by itself once nothing is undecided in any.
func (w *world) stopEnds() error {
	if w.run != 1 {
		return nil
	}
	for _, p := range w.parts {
		if slices.Contains(p.verdict, 0) {
			if err := p.core.StopEnds(); err == nil {
				return broken("D1 OneVerdict", "a stop ends, and a message has no verdict")
			}
			return nil
		}
	}
	w.run = 2
	for i, p := range w.parts {
		if err := p.core.StopEnds(); err != nil {
			return broken("D7 Drains", "all verdicts are there, and the stop does not end: %v", err)
		}
		w.closed(i, p)
	}
	return nil
}

func (w *world) closed(i int, p *part) {
	if p.sent != nil && p.written && !p.handled {
		w.late = append(w.late, p.sent)
	}
	p.sent, p.handled, p.written = nil, false, false
	clear(p.in)
}

func (w *world) cut() error {
	if w.run == 2 {
		return nil
	}
	w.run = 2
	for i, p := range w.parts {
		want := make(map[core.Message]core.Verdict)
		for k, v := range p.verdict {
			switch {
			case v != 0:
			case p.in[k] && (p.sent != nil || p.tried[k] == unsure):
				want[core.Message(k+1)] = core.Maybe
			case p.tried[k] == refused:
				want[core.Message(k+1)] = core.Rejected
			default:
				want[core.Message(k+1)] = core.NotSent
			}
		}
		out, err := p.core.Cut()
		if err != nil {
			return err
		}
		if err := p.decided(out, want, ""); err != nil {
			return err
		}
		w.closed(i, p)
		if n := p.core.Undecided(); n > 0 {
			return broken("D1 OneVerdict", "%d messages are undecided after a cut", n)
		}
	}
	return nil
}

func (w *world) start() error {
	if w.run != 2 {
		return nil
	}
	w.run = 0
	var cores []*core.Partition
	for _, p := range w.parts {
		cores = append(cores, p.core)
	}
	return w.ids.Start(cores...)
}
