package producer

import (
	"context"
	"log/slog"
	"sync"
)

// warnings logs in a goroutine of its own, which exists only while warnings wait. A slow handler
// therefore delays nothing else. While a handler hangs and the queue is full, further warnings are
// dropped and counted.
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

// most is the number of warnings that may wait.
const most = 100

// topic logs a warning of the engine. An empty topic means that it concerns no partition.
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

// run logs the queued warnings. A handler that calls runtime.Goexit ends this goroutine, so another
// one continues.
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

// next returns the next warning; false ends the goroutine.
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

// log ignores a panic in the handler: there is no other place to report it.
func (w *warnings) log(one warning) {
	defer func() { _ = recover() }()
	w.logger.LogAttrs(context.Background(), slog.LevelWarn, one.message, one.attrs...)
}
