package core

// mark is what is known of a message in addition to its place.
type mark uint8

const (
	gone    mark = iota // it is in no queue and no batch
	open                // it has no verdict yet
	decided             // it has its verdict, and is still in the batch, whose request may be appended
)

// window has the marks of the messages from first on, up to end but without it: those of the batch, then those of the
// queue. Invariant: the length of the ring is 0 or a power of two, and what is outside of the window is marked gone.
type window struct {
	ring       []mark
	first, end Message
}

func (w *window) at(m Message) *mark { return &w.ring[uint64(m)&uint64(len(w.ring)-1)] }

// admit adds n messages at the end, and returns the first.
func (w *window) admit(n int) Message {
	if need := uint64(w.end-w.first) + uint64(n); need > uint64(len(w.ring)) {
		w.grow(need)
	}
	first := w.end
	for ; n > 0; n-- {
		*w.at(w.end) = open
		w.end++
	}
	return first
}

func (w *window) grow(need uint64) {
	size := max(16, len(w.ring))
	for uint64(size) < need {
		size *= 2
	}
	old := *w
	w.ring = make([]mark, size)
	for m := w.first; m < w.end; m++ {
		*w.at(m) = *old.at(m)
	}
}

// has reports whether m is in the window and marked so.
func (w *window) has(m Message, as mark) bool { return m >= w.first && m < w.end && *w.at(m) == as }

// trim moves first to a message that is not gone.
func (w *window) trim() {
	for w.first < w.end && *w.at(w.first) == gone {
		w.first++
	}
}

// reach returns how far the first n messages that are not gone reach.
func (w *window) reach(n int) Message {
	m := w.first
	for ; n > 0; m++ {
		if *w.at(m) != gone {
			n--
		}
	}
	return m - w.first
}

// count returns how many of the first span are marked so.
func (w *window) count(span Message, as mark) (n int) {
	for m := w.first; m < w.first+span; m++ {
		if *w.at(m) == as {
			n++
		}
	}
	return n
}

// drop marks those of the first span that are decided as gone.
func (w *window) drop(span Message) {
	for m := w.first; m < w.first+span; m++ {
		if *w.at(m) == decided {
			*w.at(m) = gone
		}
	}
}

// runs appends those of the first span that are not gone.
func (w *window) runs(runs []Run, span Message) []Run {
	for m := w.first; m < w.first+span; m++ {
		if *w.at(m) == gone {
			continue
		}
		if last := len(runs) - 1; last >= 0 && runs[last].Last == m-1 {
			runs[last].Last = m
		} else {
			runs = append(runs, Run{m, m})
		}
	}
	return runs
}
