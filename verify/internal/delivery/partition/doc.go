// Package partition holds the core of a partition (package core) against the executable model of delivery (package
// spec/delivery), step by step. The model has the environment: the run of the producer, the requests under way and late,
// the leaders and their logs. The cores stand beside it: each step of the model that is a partition's or the producer's is
// an event of the cores, and afterwards all of their fields, and what the event led to, are as the model says.
//
// Nothing of a core is left out: layout.go reads its fields where they are, and fails on one that it does not know.
package partition
