//go:build unix

package runner

import (
	"os/exec"
	"syscall"
	"time"
)

// ownGroup puts a program and all that it starts into a group of their own, which
// is asked to end, and then made to, when its context ends.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		group := -cmd.Process.Pid
		time.AfterFunc(5*time.Second, func() { syscall.Kill(group, syscall.SIGKILL) })
		return syscall.Kill(group, syscall.SIGTERM)
	}
}
