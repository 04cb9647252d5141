// Package cli has what the commands of ./check share.
package cli

// Usage is the error of a command line that makes no sense: how the command is used.
type Usage string

func (u Usage) Error() string { return string(u) }
