package main

import "time"

const (
	// The Producer's defaults, as producer.Config documents them.
	defaultLinger = time.Duration(0)
	defaultBatch  = 10_000

	// What suits a Writer best of which a lone write may not take longer than a timer's
	// tick nor allocate 48 KB: it waits for the timer, and makes the memory of a whole
	// batch for the first message of each.
	writerLinger = time.Millisecond
	writerBatch  = 256
)
