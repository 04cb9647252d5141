//go:build !unix

package runner

import "os/exec"

// ownGroup does nothing: without process groups, only the program itself is ended.
func ownGroup(*exec.Cmd) {}
