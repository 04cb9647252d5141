// Package cli has the code that the commands of ./check share.
package cli

// Usage is the error of a wrong command line: its text is the usage of the command.
type Usage string

func (u Usage) Error() string { return string(u) }
