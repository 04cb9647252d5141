package tools

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// canApt reports whether packages can be installed: on Debian, as root.
func canApt() bool {
	_, err := exec.LookPath("apt-get")
	return err == nil && os.Getuid() == 0
}

// debian returns a function that installs packages, and the first of the choices that this Debian
// has.
func debian(with []string, choices ...string) func(context.Context, io.Writer) error {
	return func(ctx context.Context, log io.Writer) error {
		if !canApt() {
			return fmt.Errorf("%w: install it, for example: apt-get install %s", ErrMissing, strings.Join(append(with[:len(with):len(with)], choices[0]), " "))
		}
		say(log, "apt-get update")
		if err := run(log, aptGet(ctx, "update", "-q")); err != nil {
			return err
		}
		choice := choices[len(choices)-1]
		for _, c := range choices {
			if out, err := exec.CommandContext(ctx, "apt-cache", "madison", c).Output(); err == nil && len(bytes.TrimSpace(out)) > 0 {
				choice = c
				break
			}
		}
		packages := append(with[:len(with):len(with)], choice)
		say(log, "apt-get install %s", strings.Join(packages, " "))
		return run(log, aptGet(ctx, append([]string{"install", "-y", "-q", "--no-install-recommends"}, packages...)...))
	}
}

func aptGet(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	return cmd
}

// prometheusAt is the place of the program in Debian's package.
const prometheusAt = "usr/bin/prometheus"

func findPrometheus(ctx context.Context) (string, error) {
	path, missing := program("prometheus")(ctx)
	if missing == nil {
		return path, nil
	}
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	if path := filepath.Join(cache, "prometheus", prometheusAt); executable(path) {
		return path, nil
	}
	return "", missing
}

// fetchPrometheus copies the program from Debian's package into the cache. It installs nothing and
// starts no service. Debian's client verifies the download.
func fetchPrometheus(ctx context.Context, log io.Writer) error {
	_, noApt := exec.LookPath("apt-get")
	_, noDpkg := exec.LookPath("dpkg-deb")
	if noApt != nil || noDpkg != nil {
		return fmt.Errorf("%w: install it, for example: apt-get install prometheus, brew install prometheus", ErrMissing)
	}
	return intoCache("prometheus", func(dir string) error {
		aside, err := os.MkdirTemp("", "surestart-prometheus")
		if err != nil {
			return err
		}
		defer os.RemoveAll(aside)
		download := func() error {
			cmd := aptGet(ctx, "download", "-q", "prometheus")
			cmd.Dir = aside
			return run(log, cmd)
		}
		say(log, "apt-get download prometheus (19 MB)")
		err = download()
		if err != nil && canApt() { // the lists of packages are old, or not there
			if err := run(log, aptGet(ctx, "update", "-q")); err != nil {
				return err
			}
			err = download()
		}
		if err != nil {
			return err
		}
		debs, _ := filepath.Glob(filepath.Join(aside, "*.deb"))
		if len(debs) != 1 {
			return fmt.Errorf("apt-get download prometheus gave %d packages, want 1", len(debs))
		}
		if err := run(log, exec.CommandContext(ctx, "dpkg-deb", "-x", debs[0], dir)); err != nil {
			return err
		}
		if !executable(filepath.Join(dir, prometheusAt)) {
			return errors.New("the package prometheus has no " + prometheusAt)
		}
		return nil
	})
}

// intoCache calls fill to make the content of a directory. Once it is complete, it replaces the
// directory of that name in the cache.
func intoCache(name string, fill func(dir string) error) error {
	cache, err := Cache()
	if err != nil {
		return err
	}
	path := filepath.Join(cache, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	aside, err := os.MkdirTemp(cache, "fetch.*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(aside)
	dir := filepath.Join(aside, "content") // readable to all, unlike aside
	if err := os.Mkdir(dir, 0o777); err != nil {
		return err
	}
	if err := fill(dir); err != nil {
		return err
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return os.Rename(dir, path)
}
