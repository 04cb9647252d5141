package walk

import (
	"cmp"
	"sync/atomic"
	"time"
)

// Watch calls f, which steps the code. It returns f's error, or the Difference of a step that does
// not end. In that case f's goroutine remains.
func Watch[St comparable](p Code[St], f func() error) error {
	return watch(1, func(w *worker[St]) error {
		w.code = p
		w.steps(p)
		defer w.steps(nil)
		return f()
	}, new(atomic.Bool), func() {})
}

// watch calls f on n workers and returns the first error, or the Difference of a worker that is
// stuck. The goroutine of that worker remains, and failed is set for the others. tick is called
// every second.
func watch[St comparable](n int, f func(*worker[St]) error, failed *atomic.Bool, tick func()) error {
	workers := make([]worker[St], n)
	ended := make(chan error, n)
	for i := range workers {
		go func() {
			defer workers[i].end()
			ended <- f(&workers[i])
		}()
	}
	second := time.NewTicker(time.Second)
	defer second.Stop()
	var first error
	for n > 0 {
		select {
		case err := <-ended:
			n--
			first = cmp.Or(first, err)
		case <-second.C:
			tick()
			for i := range workers {
				if p := workers[i].stuck(); p != nil {
					failed.Store(true)
					return p.Stuck()
				}
			}
		}
	}
	return first
}

// worker is one of the goroutines that watch runs.
type worker[St comparable] struct {
	code Code[St]                 // made once
	run  atomic.Pointer[Code[St]] // of code, while it is stepped

	// The code and its progress when watch last looked, and how often in a row they were the same.
	seen  *Code[St]
	taken int64
	times int
}

// steps records which code the worker steps; nil: none.
func (w *worker[St]) steps(p Code[St]) {
	if p == nil {
		w.run.Store(nil)
	} else {
		w.run.Store(&p)
	}
}

func (w *worker[St]) end() {
	if w.code != nil {
		w.code.End()
	}
}

// stuck returns the code that the worker steps, if it has been at the same step for so many seconds
// that the step will not end. A step takes a microsecond.
func (w *worker[St]) stuck() Code[St] {
	p := w.run.Load()
	if p == nil || p != w.seen || (*p).Progress() != w.taken {
		w.seen, w.times = p, 0
		if p != nil {
			w.taken = (*p).Progress()
		}
		return nil
	}
	if w.times++; w.times < 10 {
		return nil
	}
	return *p
}
