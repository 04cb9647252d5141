package fsmlog

import (
	"log/slog"

	"github.com/seed3893aba4/surestart/fsm"
)

// Tracer returns what To gives to a lifecycle.
func Tracer(logger *slog.Logger) fsm.Tracer { return &tracer{logger: logger} }

// Messages returns the message that is logged for each event.
func Messages() map[fsm.Event]string {
	messages := make(map[fsm.Event]string)
	for e, l := range lines {
		messages[e] = l.message
	}
	return messages
}
