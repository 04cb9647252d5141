package tools

// Compiling are variables for a compiler and a linker of Go. They take less of a processor's time
// if they do not collect garbage. The limit is for packages that make much of it.
var Compiling = []string{"GOGC=off", "GOMEMLIMIT=2GiB"}
