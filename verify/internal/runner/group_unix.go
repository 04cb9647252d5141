//go:build unix

package runner

import (
	"os/exec"
	"syscall"
	"time"
)

// ownGroup puts a program and its children into a process group of their own. When the program's
// context ends, the group is asked to end, and later killed.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		group := -cmd.Process.Pid
		time.AfterFunc(5*time.Second, func() { syscall.Kill(group, syscall.SIGKILL) })
		return syscall.Kill(group, syscall.SIGTERM)
	}
}
