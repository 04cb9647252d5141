//go:build !unix

package kafka

import (
	"errors"
	"os"
	"os/exec"
)

func ownGroup(*exec.Cmd) {}

func terminate(*os.Process) error { return errors.ErrUnsupported }
