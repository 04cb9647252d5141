package fsmlog

import "github.com/seed3893aba4/surestart/spec"

// Messages returns what is logged of each event.
func Messages() map[spec.Event]string {
	messages := make(map[spec.Event]string)
	for e, l := range lines {
		messages[e] = l.message
	}
	return messages
}
