// Package release tags the modules of the repository: all with one version, at one commit.
package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"

	"github.com/seed3893aba4/surestart/verify/internal/cli"
)

const usage = `./check release tags every module of the repository with one version:

  ./check release v0.2.0        prints the commands that tag them
  ./check release v0.2.0 -tag   tags them, and prints the command that pushes the tags

CHANGELOG.md must have the version, and the tree must be clean. If the nested modules require another version of the
modules beside them, the command sets their requirements instead; run it again once that is committed.`

// Main runs ./check release.
func Main(ctx context.Context, root string, args []string) error {
	if len(args) == 0 || len(args) > 2 || len(args) == 2 && args[1] != "-tag" {
		return cli.Usage(usage)
	}
	version := args[0]
	if semver.Canonical(version) != version || semver.Compare(version, "v2.0.0-0") >= 0 {
		return fmt.Errorf("%q is no version from v0.0.0 to v1.x.y: a higher one needs other module paths", version)
	}
	changes, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	if !regexp.MustCompile(`(?m)^## \[?` + regexp.QuoteMeta(version[1:]) + `\]?( |$)`).Match(changes) {
		return fmt.Errorf("CHANGELOG.md has no section ## %s", version[1:])
	}
	switch dirty, err := git(ctx, root, "status", "--porcelain"); {
	case err != nil:
		return err
	case dirty != "":
		return fmt.Errorf("the tree is not clean:\n%s", dirty)
	}
	all, err := modules(ctx, root)
	if err != nil {
		return err
	}
	switch changed, err := require(root, all, version); {
	case err != nil:
		return err
	case changed != nil:
		return fmt.Errorf("nothing is tagged: %s must require %s, and do now; commit that, and run this again", strings.Join(changed, ", "), version)
	}
	var tags []string
	for _, m := range all {
		tags = append(tags, path.Join(m.dir, version))
	}
	switch there, err := git(ctx, root, append([]string{"tag", "--list"}, tags...)...); {
	case err != nil:
		return err
	case there != "":
		return fmt.Errorf("tagged already: %s", strings.Join(strings.Fields(there), " "))
	}
	for _, tag := range tags {
		command := []string{"tag", "-a", "-m", tag, tag}
		if len(args) == 1 {
			fmt.Println("git", strings.Join(command, " "))
		} else if _, err := git(ctx, root, command...); err != nil {
			return err
		}
	}
	fmt.Println("git push --atomic origin", strings.Join(tags, " "))
	return nil
}

// A mod is a module of the repository.
type mod struct {
	dir  string // below the root; "." for the root's
	file *modfile.File
}

// modules returns the modules that git tracks, or would add: the root's first, since the others
// require it.
func modules(ctx context.Context, root string) ([]mod, error) {
	files, err := files(ctx, root, "go.mod", "*/go.mod")
	if err != nil {
		return nil, err
	}
	var all []mod
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		file, err := modfile.Parse(name, text, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, mod{path.Dir(name), file})
	}
	slices.SortFunc(all, func(a, b mod) int { return strings.Compare(a.dir, b.dir) })
	if len(all) == 0 || all[0].dir != "." {
		return nil, errors.New("there is no go.mod at the root")
	}
	return all, nil
}

func (m mod) path() string { return m.file.Module.Mod.Path }

// require makes the modules that require each other require this version, and returns those that it
// changed.
func require(root string, all []mod, version string) (changed []string, err error) {
	for _, m := range all {
		written := false
		for _, r := range m.file.Require {
			if slices.ContainsFunc(all, func(o mod) bool { return o.path() == r.Mod.Path }) && r.Mod.Version != version {
				if err := m.file.AddRequire(r.Mod.Path, version); err != nil {
					return changed, err
				}
				written = true
			}
		}
		if !written {
			continue
		}
		text, err := m.file.Format()
		if err != nil {
			return changed, err
		}
		if err := os.WriteFile(filepath.Join(root, m.dir, "go.mod"), text, 0o644); err != nil {
			return changed, err
		}
		changed = append(changed, m.dir)
	}
	return changed, nil
}

// files returns the files that git tracks, or would add.
func files(ctx context.Context, root string, patterns ...string) ([]string, error) {
	text, err := git(ctx, root, append([]string{"ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"}, patterns...)...)
	return strings.FieldsFunc(text, func(r rune) bool { return r == 0 }), err
}

func git(ctx context.Context, root string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return string(out), nil
}
