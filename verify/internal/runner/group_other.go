//go:build !unix

package runner

import "os/exec"

// ownGroup: where there are no process groups, the program alone is ended.
func ownGroup(*exec.Cmd) {}
