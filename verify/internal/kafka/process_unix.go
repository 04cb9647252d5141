//go:build unix

package kafka

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup puts a process into a group of its own.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// terminate asks a process to end.
func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
