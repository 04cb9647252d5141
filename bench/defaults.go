package main

import "time"

const (
	// The Producer's defaults, as producer.Config documents them.
	defaultLinger = time.Duration(0)
	defaultBatch  = 10_000

	// The settings that suit a Writer best, within two limits: a lone write takes no longer than a
	// timer's tick, and allocates less than 48 KB. A Writer waits for the timer, and allocates the
	// memory of a whole batch for the first message of each.
	writerLinger = time.Millisecond
	writerBatch  = 256
)
