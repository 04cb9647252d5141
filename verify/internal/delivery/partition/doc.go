// Package partition compares the core of a partition (package core) with the executable model of
// delivery (package spec/delivery), step by step. The model has the environment: the run of the
// producer, the requests under way and late, the leaders and their logs. The cores stand beside it.
// Each step of the model that belongs to a partition or to the producer is an event of the cores.
// Afterwards all of their fields, and the outcome of the event, are as the model says.
//
// No field of a core is left out: layout.go reads the fields where they are, and fails on one that
// it does not know.
package partition
