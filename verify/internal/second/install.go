package second

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The checker, a crate that cargo builds with the versions of its own lock file.
const (
	crate   = "tla-checker"
	version = "0.24.11"
	sum     = "b8818344833b33648a9dc6d205bac705da77d3b9ea1bfbcf347262a874196c9a" // SHA-256 of the crate
)

// install returns the checker's program, which is built the first time and kept in cache.
func install(ctx context.Context, cache string) (string, error) {
	dir := filepath.Join(cache, "second")
	bin := filepath.Join(dir, crate+"-"+version+"-"+sum[:12], "bin")
	program := filepath.Join(bin, "tla")
	if said, err := exec.CommandContext(ctx, program, "--version").Output(); err == nil && strings.Contains(string(said), version) {
		return program, nil
	}
	home := os.Getenv("CARGO_HOME")
	if home == "" {
		home = filepath.Join(os.Getenv("HOME"), ".cargo")
	}
	cargo, err := exec.LookPath("cargo")
	if err != nil {
		if cargo, err = exec.LookPath(filepath.Join(home, "bin", "cargo")); err != nil {
			return "", fmt.Errorf("cargo is needed on PATH, to build %s: install Rust, for example with rustup", crate)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	root, err := os.MkdirTemp(dir, "build.")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(root)
	say("building %s %s with cargo (about two minutes)", crate, version)
	cmd := exec.CommandContext(ctx, cargo, "install", crate, "--version", "="+version, "--locked", "--root", filepath.Join(root, "out"), "--bin", "tla")
	cmd.Env = append(os.Environ(), "CARGO_TARGET_DIR="+filepath.Join(root, "target"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cargo could not build %s %s: %w\n%s", crate, version, err, out[max(0, len(out)-2000):])
	}
	crates, err := filepath.Glob(filepath.Join(home, "registry", "cache", "*", crate+"-"+version+".crate"))
	if err != nil || len(crates) == 0 {
		return "", fmt.Errorf("the crate that cargo built is not in %s: its checksum cannot be told", home)
	}
	for _, file := range crates {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		if got := sha256.Sum256(text); hex.EncodeToString(got[:]) != sum {
			return "", fmt.Errorf("checksum: %s is not the file that was pinned (sha256 %s, got %x)", file, sum, got)
		}
	}
	if err := os.MkdirAll(filepath.Dir(bin), 0o755); err != nil {
		return "", err
	}
	if err := os.RemoveAll(bin); err != nil {
		return "", err
	}
	return program, os.Rename(filepath.Join(root, "out", "bin"), bin)
}
