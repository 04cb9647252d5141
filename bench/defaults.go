package main

import "time"

// The Producer's defaults, as producer.Config documents them.
const (
	defaultLinger = time.Millisecond
	defaultBatch  = 256
)
