package tools

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// Venv returns the Python of a virtualenv with the pinned requirements of a file. It makes the
// virtualenv if it is missing. The name of the virtualenv has the pins and the Python.
func Venv(ctx context.Context, log io.Writer, requirements string) (string, error) {
	python, err := Python.Get(ctx, log)
	if err != nil {
		return "", err
	}
	pins, err := os.ReadFile(requirements)
	if err != nil {
		return "", err
	}
	which, err := exec.CommandContext(ctx, python, "-VV").Output()
	if err != nil {
		return "", err
	}
	unlock, err := lock(ctx, log)
	if err != nil {
		return "", err
	}
	defer unlock()
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	pin := sha256.Sum256(append(pins, which...))
	venv := filepath.Join(cache, "proof", "venv-"+hex.EncodeToString(pin[:])[:12])
	// A virtualenv cannot be moved into place. This file marks it as complete.
	ready, bin := filepath.Join(venv, "ready"), filepath.Join(venv, "bin", "python")
	if _, err := os.Stat(ready); !errors.Is(err, fs.ErrNotExist) {
		return bin, err
	}
	say(log, "installing %s into a virtualenv in %s", requirements, cache)
	if err := os.RemoveAll(venv); err != nil {
		return "", err
	}
	if err := run(log, exec.CommandContext(ctx, python, "-m", "venv", venv)); err != nil {
		return "", err
	}
	if err := run(log, exec.CommandContext(ctx, bin, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", "-r", requirements)); err != nil {
		return "", err
	}
	return bin, os.WriteFile(ready, nil, 0o666)
}
