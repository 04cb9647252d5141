package release

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// Programs of users: the package that each imports, below the root's path, and what "go get"
// downloads beside the modules of this repository ("": anything).
var users = []struct{ gets, downloads, program string }{
	{"fsm", "github.com/looplab/fsm", `package main

import (
	"context"
	"fmt"

	"github.com/seed3893aba4/surestart/fsm"
)

func main() {
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil })
	defer l.Close()
	fmt.Println(l.Start(context.Background()), l.State())
}
`},
	{"observe/prometheus/promfsm", "", `package main

import (
	"context"
	"fmt"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/observe/prometheus/promfsm"
)

func main() {
	c := promfsm.NewCollector("answer")
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil }, c.Option())
	defer l.Close()
	c.Watch(l)
	fmt.Println(l.Start(context.Background()), l.State())
}
`},
	{"observe/otel/otelfsm", "", `package main

import (
	"context"
	"fmt"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/observe/otel/otelfsm"
)

func main() {
	o, _ := otelfsm.New("answer")
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil }, o.Option())
	defer l.Close()
	fmt.Println(l.Start(context.Background()), l.State())
}
`},
}

// The modules of this tree, as a proxy would have them once they are tagged, can be fetched in an empty module: none
// rests on a replacement, or on a file that is not in it. What a user of package fsm downloads is looplab/fsm.
func TestFetch(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: compiles what the modules require anew: most of a minute")
	}
	version, _ := required(t)
	ours := publish(t, t.TempDir(), version)
	env := func(name string) string { return strings.TrimSpace(output(t, exec.Command("go", "env", name))) }
	for _, u := range users {
		t.Run(path.Base(u.gets), func(t *testing.T) {
			dir, cache := t.TempDir(), t.TempDir()
			run := func(args ...string) string {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), "go", args...)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(),
					// What has been downloaded for this checkout need not be again.
					"GOPROXY="+strings.Join([]string{"file://" + ours.dir, "file://" + env("GOMODCACHE") + "/cache/download", env("GOPROXY")}, ","),
					"GOMODCACHE="+cache, "GONOSUMDB="+ours.root+","+ours.root+"/*", "GOVCS=*:off", // the prefixes of a package's path are no repositories
					"GOFLAGS=-modcacherw", "GOWORK=off")
				return output(t, cmd)
			}
			write(t, filepath.Join(dir, "main.go"), u.program)
			write(t, filepath.Join(dir, "go.sum"), ours.sums) // the checksum database need not be asked
			run("mod", "init", "example.com/user")
			run("get", ours.root+"/"+u.gets+"@"+version)
			if got := run("run", "."); got != "<nil> Started\n" {
				t.Errorf("the program prints %q", got)
			}
			var downloads []string
			for _, name := range zips(t, cache) {
				if !slices.Contains(ours.paths, name) {
					downloads = append(downloads, name)
				}
			}
			if u.downloads != "" && strings.Join(downloads, " ") != u.downloads {
				t.Errorf("it downloads %s; want %s", strings.Join(downloads, " "), u.downloads)
			}
			t.Logf("CHECKED fetch %s downloads=%d", u.gets, len(downloads))
		})
	}
}

// A published is a directory that serves as a module proxy.
type published struct {
	dir, root string
	paths     []string // of its modules
	sums      string   // of what they require
}

// publish puts each module of the tree into a directory, with the files that git has or would take.
func publish(t *testing.T, dir, version string) published {
	all, err := modules(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := files(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	p := published{dir: dir, root: all[0].path()}
	for _, m := range all {
		p.paths = append(p.paths, m.path())
		var own []zip.File
		for _, name := range tree {
			if below, err := filepath.Rel(m.dir, name); err == nil && filepath.IsLocal(below) {
				own = append(own, file{filepath.ToSlash(below), filepath.Join(root, name)})
			}
		}
		at := filepath.Join(dir, m.path(), "@v")
		p.sums += read(t, filepath.Join(root, m.dir, "go.sum"))
		for name, text := range map[string]string{"list": version, version + ".info": fmt.Sprintf("{%q: %q}", "Version", version), version + ".mod": read(t, filepath.Join(root, m.dir, "go.mod"))} {
			write(t, filepath.Join(at, name), text)
		}
		z, err := os.Create(filepath.Join(at, version+".zip"))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		if err := zip.Create(z, module.Version{Path: m.path(), Version: version}, own); err != nil {
			t.Errorf("module %s cannot be published: %v", m.dir, err)
		}
	}
	return p
}

// A file of a module: its path there, and where it is. Package zip leaves those of nested modules out.
type file struct{ path, at string }

func (f file) Path() string                 { return f.path }
func (f file) Lstat() (os.FileInfo, error)  { return os.Lstat(f.at) }
func (f file) Open() (io.ReadCloser, error) { return os.Open(f.at) }

// zips are the paths of the modules that were downloaded into a module cache.
func zips(t *testing.T, cache string) (paths []string) {
	download := filepath.Join(cache, "cache", "download")
	err := filepath.WalkDir(download, func(name string, _ os.DirEntry, err error) error {
		if err == nil && filepath.Ext(name) == ".zip" {
			name, err = filepath.Rel(download, filepath.Dir(filepath.Dir(name)))
			paths = append(paths, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.Output()
	if err != nil {
		stderr := ""
		if exit, ok := err.(*exec.ExitError); ok {
			stderr = string(exit.Stderr)
		}
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out, stderr)
	}
	return string(out)
}
