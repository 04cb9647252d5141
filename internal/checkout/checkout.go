// Package checkout finds the checkout of surestart that a program or a test runs in.
package checkout

import (
	"errors"
	"os"
	"path/filepath"
)

// Is reports whether dir is the top of a checkout.
func Is(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "verify", "go.mod"))
	return err == nil
}

// Root returns the top of the checkout that contains the working directory, or an error if
// there is none.
func Root() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil && !Is(dir); dir = filepath.Dir(dir) {
		if dir == filepath.Dir(dir) {
			err = errors.New("the working directory is in no checkout of surestart, which this command needs: clone the repository and run the command there")
		}
	}
	return dir, err
}
