package producer

import (
	"context"
	"log/slog"
	"sync"
)

// warnings are logged by a goroutine of their own, which runs while there are any: what is under
// way does not wait for a slow handler. If the handler hangs, the latest are dropped, and counted.
type warnings struct {
	logger *slog.Logger

	mu      sync.Mutex
	queue   []warning
	dropped int
	running bool
}

type warning struct {
	message string
	attrs   []slog.Attr
}

// most is how many may wait.
const most = 100

// topic logs what the engine warns of; no topic: it is of no partition.
func (w *warnings) topic(message, topic string, partition int, err error) {
	attrs := []slog.Attr{slog.Any("error", err)}
	if topic != "" {
		attrs = append([]slog.Attr{slog.String("topic", topic), slog.Int("partition", partition)}, attrs...)
	}
	w.add(warning{"surestart: " + message, attrs})
}

func (w *warnings) add(one warning) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == most {
		w.dropped++
		return
	}
	w.queue = append(w.queue, one)
	if !w.running {
		w.running = true
		go w.run()
	}
}

// run logs what is queued. A handler that calls runtime.Goexit ends this goroutine: another one
// goes on.
func (w *warnings) run() {
	exited := true
	defer func() {
		if exited {
			go w.run()
		}
	}()
	for one, ok := w.next(); ok; one, ok = w.next() {
		w.log(one)
	}
	exited = false
}

// next returns the warning that is due. If there is none, nothing runs any more.
func (w *warnings) next() (one warning, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 && w.dropped > 0 {
		w.queue = []warning{{"surestart: warnings were dropped, because the handler is slow", []slog.Attr{slog.Int("dropped", w.dropped)}}}
		w.dropped = 0
	}
	if len(w.queue) == 0 {
		w.running = false
		return warning{}, false
	}
	one = w.queue[0]
	w.queue = w.queue[1:]
	return one, true
}

// log survives a handler that panics: there is nobody to tell.
func (w *warnings) log(one warning) {
	defer func() { _ = recover() }()
	w.logger.LogAttrs(context.Background(), slog.LevelWarn, one.message, one.attrs...)
}
