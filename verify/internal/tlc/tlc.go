// Package tlc runs TLC, the model checker, reads the state graph that it dumps, and compares the
// graph with an executable model. It knows nothing of a particular machine. The tests and go
// generate use it; nothing that ships depends on it.
package tlc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"sync"

	"github.com/seed3893aba4/surestart/internal/checkout"
	"github.com/seed3893aba4/surestart/verify/internal/tools"
)

// ErrMissing is wrapped in the error of Find when something that TLC needs is not installed. The
// text names it.
var ErrMissing = errors.New("missing")

// TLC is an installation that is ready to run.
type TLC struct {
	Root string // the top of the repository
	Jar  string
}

// Find finds Java and TLC's jar ($TLC_JAR, or the cached one), without installing anything.
func Find() (TLC, error) {
	return found(func() (string, error) {
		if _, err := tools.Java.Find(context.Background()); err != nil {
			return "", fmt.Errorf("%w: %w", ErrMissing, err)
		}
		jar, err := tools.TLC.Find(context.Background())
		if err != nil {
			err = fmt.Errorf("%w: TLC's jar (set TLC_JAR, or run ./check tools tlc once): %w", ErrMissing, err)
		}
		return jar, err
	})
}

func found(find func() (string, error)) (TLC, error) {
	root, err := checkout.Root()
	if err != nil {
		return TLC{}, err
	}
	if jar := os.Getenv("TLC_JAR"); jar != "" {
		if _, err := os.Stat(jar); err != nil {
			return TLC{}, fmt.Errorf("TLC_JAR: %w", err)
		}
		return TLC{root, jar}, nil
	}
	jar, err := find()
	return TLC{root, jar}, err
}

// ForTest is Find for a test. If something is missing, it skips the test, or fails it with
// SURESTART_NO_SKIP=1.
func ForTest(t TestingT) TLC {
	t.Helper()
	found, err := Find()
	if errors.Is(err, ErrMissing) && os.Getenv("SURESTART_NO_SKIP") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestingT has the methods of testing.TB that this package calls.
type TestingT interface {
	Helper()
	Skip(...any)
	Fatal(...any)
}

// Once returns a function that calls dump once, in an empty directory, and returns its result to
// every test. It skips tests as ForTest does.
func Once[G any](dump func(t TLC, dir string) (G, error)) func(TestingT) G {
	made := sync.OnceValues(func() (g G, err error) {
		t, err := Find()
		if err != nil {
			return g, err
		}
		dir, err := os.MkdirTemp("", "surestart-dump")
		if err != nil {
			return g, err
		}
		defer os.RemoveAll(dir)
		return dump(t, dir)
	})
	return func(t TestingT) G {
		t.Helper()
		ForTest(t)
		g, err := made()
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
}

// Install is Find, but fetches and installs what is missing.
func Install(ctx context.Context) (TLC, error) {
	return found(func() (string, error) { return tools.TLC.Get(ctx, os.Stderr) })
}

// Model is a configuration whose state graph can be dumped.
type Model struct {
	Name   string // of its dump, among all machines
	Config string // its file, from the top of the repository; its module's is beside it
	Module string
}

// Dump returns a file with the whole state graph of the model. It makes the file in dir. If
// $SURESTART_DUMPS has a dump that is newer than every module and configuration, Dump takes that
// instead.
func (t TLC) Dump(ctx context.Context, m Model, dir string) (string, error) {
	if path, ok := Dumped(t.Root, m.Name, path.Dir(m.Config)); ok {
		return path, nil
	}
	if shared := os.Getenv("SURESTART_DUMPS"); shared != "" {
		dir = shared
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// The dump is made elsewhere and moved into place, so that a partial dump never looks complete.
	aside, err := os.MkdirTemp(dir, m.Name+".*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(aside)
	config, err := graphOnly(filepath.Join(t.Root, filepath.FromSlash(m.Config)), aside)
	if err != nil {
		return "", err
	}
	cmd := t.dump(ctx, m, config, aside)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("TLC's dump of %s: %w\n%s", m.Name, err, log.Bytes())
	}
	dot := filepath.Join(dir, m.Name+".dot")
	return dot, os.Rename(filepath.Join(aside, m.Name+".dot"), dot)
}

var checks = regexp.MustCompile(`(?m)^(SYMMETRY|ACTION_CONSTRAINT|INVARIANT|PROPERT)`)

// GraphOnly returns a configuration for a dump: without properties to check, which takes less time,
// and without symmetry, because a dump has all states.
func GraphOnly(config string) string {
	if i := checks.FindStringIndex(config); i != nil {
		return config[:i[0]]
	}
	return config
}

// graphOnly writes GraphOnly of a configuration's file into dir.
func graphOnly(config, dir string) (string, error) {
	text, err := os.ReadFile(config)
	if err != nil {
		return "", err
	}
	written := filepath.Join(dir, filepath.Base(config))
	return written, os.WriteFile(written, []byte(GraphOnly(string(text))), 0o644)
}

// dump runs TLC on a model under a configuration. TLC writes its graph to aside.
func (t TLC) dump(ctx context.Context, m Model, config, aside string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "java", "-XX:+UseSerialGC",
		"-Djava.io.tmpdir="+aside, // TLC unpacks its modules there, under fixed names
		"-DTLA-Library="+filepath.Join(t.Root, "tla"), "-cp", t.Jar,
		"tlc2.TLC", "-metadir", filepath.Join(aside, "meta"), "-fp", "0", "-workers", "1",
		"-dump", "dot,actionlabels", filepath.Join(aside, m.Name), "-config", config, m.Module)
	cmd.Dir = filepath.Join(t.Root, filepath.FromSlash(path.Dir(m.Config)))
	return cmd
}

// Stream runs TLC to dump a model whose dump would be several gigabytes. It reads the dump through
// a pipe while TLC writes it, and never stores it.
func (t TLC) Stream(ctx context.Context, m Model, read func(io.Reader) error) error {
	aside, err := os.MkdirTemp("", "surestart-stream")
	if err != nil {
		return err
	}
	defer os.RemoveAll(aside)
	pipe := filepath.Join(aside, m.Name+".dot")
	if out, err := exec.CommandContext(ctx, "mkfifo", pipe).CombinedOutput(); err != nil {
		return fmt.Errorf("mkfifo: %w: %s", err, out)
	}
	// A writing end, held until TLC has ended. With it the reading end opens at once, and a TLC
	// that never writes gives an end of file.
	held, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer held.Close()
	reading, err := os.Open(pipe)
	if err != nil {
		return err
	}
	defer reading.Close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := t.dump(ctx, m, path.Base(m.Config), aside)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		held.Close()
	}()
	unread := read(reading)
	if unread != nil {
		cancel() // TLC would wait for a reader
	}
	if err := <-ended; err != nil && ctx.Err() == nil {
		return fmt.Errorf("TLC's dump of %s: %w\n%s", m.Name, err, log.Bytes())
	}
	return unread
}

// Dumped returns the dump of a model in $SURESTART_DUMPS, if it is newer than every module and
// configuration in tla/ and in the model's own directory.
func Dumped(root, model, dir string) (path string, ok bool) {
	shared := os.Getenv("SURESTART_DUMPS")
	if shared == "" {
		return "", false
	}
	path = filepath.Join(shared, model+".dot")
	dump, err := os.Stat(path)
	if err != nil {
		return "", false
	}
	var sources []string
	for _, dir := range []string{"tla", dir} {
		for _, pattern := range []string{"*.tla", "*.cfg"} {
			some, _ := filepath.Glob(filepath.Join(root, filepath.FromSlash(dir), pattern))
			sources = append(sources, some...)
		}
	}
	for _, source := range sources {
		info, err := os.Stat(source)
		if err != nil || !info.ModTime().Before(dump.ModTime()) {
			return "", false
		}
	}
	return path, len(sources) > 0
}
