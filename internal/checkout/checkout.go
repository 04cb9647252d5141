// Package checkout finds the checkout of surestart that a program or a test runs in.
package checkout

import (
	"errors"
	"os"
	"path/filepath"
)

// Is reports whether dir is the top of one.
func Is(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "verify", "go.mod"))
	return err == nil
}

// Root is the top of the checkout that the working directory is in.
func Root() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil && !Is(dir); dir = filepath.Dir(dir) {
		if dir == filepath.Dir(dir) {
			err = errors.New("the working directory is in no checkout of surestart, whose tests and specification are what is run: clone it, and go there")
		}
	}
	return dir, err
}
