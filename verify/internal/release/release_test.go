package release

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

const root = "../../.."

// What a nested module requires of this repository is one version, and one that can be tagged.
func TestOneVersion(t *testing.T) {
	version, nested := required(t)
	if !semver.IsValid(version) || semver.Compare(version, "v0.0.0") <= 0 || module.IsPseudoVersion(version) {
		t.Errorf("%s cannot be tagged", version)
	}
	if nested < 6 {
		t.Errorf("%d nested modules: there are more", nested)
	}
}

// required is the version of the root that the nested modules require.
func required(t *testing.T) (version string, nested int) {
	all, err := modules(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		for _, r := range m.file.Require {
			if r.Mod.Path == all[0].path() {
				nested++
				if version == "" {
					version = r.Mod.Version
				}
				if r.Mod.Version != version {
					t.Errorf("%s requires %s of the root, another module %s", m.dir, r.Mod.Version, version)
				}
			}
		}
	}
	return version, nested
}

// A release is refused until it can be made; then every module has its tag, the root's first.
func TestRelease(t *testing.T) {
	dir := t.TempDir()
	for name, value := range map[string]string{"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"} {
		t.Setenv(name, value)
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := git(t.Context(), dir, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	refused := func(says string, args ...string) {
		t.Helper()
		if err := Main(t.Context(), dir, args); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("release %v = %v; want an error that says %q", args, err, says)
		}
		if tags := run("tag"); tags != "" {
			t.Errorf("a release that was refused has made tags: %s", tags)
		}
	}
	commit := func() { run("add", "."); run("commit", "-q", "-m", "a") }

	run("init", "-q")
	write(t, filepath.Join(dir, "go.mod"), "module example.com/a\n")
	write(t, filepath.Join(dir, "z/go.mod"), "module example.com/a/z\n")
	write(t, filepath.Join(dir, "b/c/go.mod"), "module example.com/a/b/c\n\nreplace example.com/a => ../..\n\nrequire (\n\texample.com/a v0.1.0\n\texample.com/other v0.1.0\n)\n")
	write(t, filepath.Join(dir, "CHANGELOG.md"), "## Unreleased\n\n## 0.2.01\n")
	refused("./check release v0.2.0", "v0.2.0", "-push")
	refused("no version", "0.2.0", "-tag")
	refused("no version", "v0.2", "-tag")
	refused("no version", "v2.0.0", "-tag")
	refused("CHANGELOG.md", "v0.2.0", "-tag")
	write(t, filepath.Join(dir, "CHANGELOG.md"), "## Unreleased\n\n## 0.2.0 - 2026-12-01\n")
	refused("not clean", "v0.2.0", "-tag")
	commit()
	refused("b/c must require v0.2.0", "v0.2.0", "-tag")
	if diff := run("diff", "-U0"); !strings.Contains(diff, "+\texample.com/a v0.2.0") || strings.Contains(diff, "other") {
		t.Errorf("the requirements are changed so:\n%s", diff)
	}
	refused("not clean", "v0.2.0", "-tag")
	commit()
	if err := Main(t.Context(), dir, []string{"v0.2.0"}); err != nil {
		t.Error(err)
	}
	if tags := run("tag"); tags != "" {
		t.Errorf("without -tag there are tags: %s", tags)
	}
	if err := Main(t.Context(), dir, []string{"v0.2.0", "-tag"}); err != nil {
		t.Error(err)
	}
	if tags := strings.Fields(run("tag", "--points-at", "HEAD")); strings.Join(tags, " ") != "b/c/v0.2.0 v0.2.0 z/v0.2.0" {
		t.Errorf("the tags are %s", tags)
	}
	if err := Main(t.Context(), dir, []string{"v0.2.0", "-tag"}); err == nil || !strings.Contains(err.Error(), "tagged already") {
		t.Errorf("a second release of one version: %v", err)
	}
}
