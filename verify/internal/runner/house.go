package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// The layers that examine the source and the programs.

const (
	staticcheck = "honnef.co/go/tools/cmd/staticcheck@v0.8.2"
	govulncheck = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
)

// files lists the existing files that git tracks, or would add.
func (s *session) files(ctx context.Context, patterns ...string) ([]string, error) {
	text, err := s.output(ctx, append([]string{"git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"}, patterns...)...)
	return slices.DeleteFunc(strings.Split(text, "\x00"), func(name string) bool {
		info, err := os.Lstat(filepath.Join(s.Root, name))
		return name == "" || err != nil || info.IsDir()
	}), err
}

func format(ctx context.Context, s *session) error {
	files, err := s.files(ctx, "*.go")
	if err != nil {
		return err
	}
	out, err := s.output(ctx, append([]string{"gofmt", "-l"}, files...)...)
	if err == nil && out != "" {
		err = fmt.Errorf("gofmt would change: %s", strings.Join(strings.Fields(out), " "))
	}
	s.say("CHECKED format files=%d", len(files))
	return err
}

// modules returns the directories of the modules; in quick without those that take a minute to
// compile.
func (s *session) modules(ctx context.Context) ([]string, error) {
	files, err := s.files(ctx, "go.mod", "*/go.mod")
	var dirs []string
	for _, file := range files {
		if dir := path.Dir(file); s.Bound != Quick || dir != "examples/adapters" {
			dirs = append(dirs, dir)
		}
	}
	return dirs, err
}

// eachModule runs the go command in every module.
func eachModule(args ...string) func(context.Context, *session) error {
	return func(ctx context.Context, s *session) error {
		dirs, err := s.modules(ctx)
		for _, dir := range dirs {
			if err = s.command(ctx, append([]string{"go", "-C", dir}, args...)...); err != nil {
				return fmt.Errorf("module %s: %w", dir, err)
			}
		}
		s.say("CHECKED %s modules=%d", args[0], len(dirs))
		return err
	}
}

// generate runs go generate in a copy, and never changes the tree.
func generate(ctx context.Context, s *session) error {
	if err := s.needTools(ctx); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.Dir, "generate.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	files, err := s.files(ctx)
	if err != nil {
		return err
	}
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(s.Root, name))
		if err != nil {
			return err
		}
		info, err := os.Stat(filepath.Join(s.Root, name))
		if err != nil {
			return err
		}
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, path.Dir(name)), 0o777), os.WriteFile(filepath.Join(dir, name), text, info.Mode())); err != nil {
			return err
		}
	}
	if err := s.command(ctx, "go", "-C", dir, "generate", "./spec"); err != nil {
		return err
	}
	var changed []string
	for _, name := range files {
		was, err := os.ReadFile(filepath.Join(s.Root, name))
		if err != nil {
			return err
		}
		is, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(was, is) {
			changed = append(changed, name)
		}
	}
	generated, err := filepath.Glob(filepath.Join(dir, "spec", "*_gen.go"))
	if err == nil && changed != nil {
		err = fmt.Errorf("go generate ./spec changes %s: run it, and commit the result", strings.Join(changed, " "))
	}
	s.say("CHECKED generate files=%d", len(generated))
	return err
}

// surestart builds the program. A second build leaves it as it is, since it may be running.
func (s *session) surestart(ctx context.Context) (string, error) {
	s.building.Lock()
	defer s.building.Unlock()
	program := filepath.Join(s.Dir, "surestart")
	return program, s.command(ctx, "go", "build", "-o", program, "./cmd/surestart")
}

func demo(ctx context.Context, s *session) error {
	if err := s.needKafka(ctx); err != nil {
		return err
	}
	program, err := s.surestart(ctx)
	if err != nil {
		return err
	}
	return errors.Join(s.command(ctx, program, "demo"), s.command(ctx, program, "demo", "-brokers", s.broker()))
}

func produce(ctx context.Context, s *session) error {
	if err := s.needKafka(ctx); err != nil {
		return err
	}
	program, err := s.surestart(ctx)
	if err != nil {
		return err
	}
	cluster := s.cluster
	if cluster == nil {
		return errors.New("what was sent is read back by Kafka's own tools, from a broker that is started here: unset SURESTART_KAFKA")
	}
	topic := fmt.Sprintf("check-%d", os.Getpid())
	if err := cluster.Topic(ctx, topic, 1); err != nil {
		return err
	}
	lines := filepath.Join(s.Dir, "lines.txt")
	if err := os.WriteFile(lines, []byte("a\nb\n"), 0o666); err != nil {
		return err
	}
	where := []string{"-brokers", s.broker(), "-topic", topic}
	if err := s.command(ctx, append([]string{program, "doctor"}, where...)...); err != nil {
		return err
	}
	if err := s.command(ctx, append(append([]string{program, "produce"}, where...), lines)...); err != nil {
		return err
	}
	var consumed []string
	if err := s.stream(ctx, append([]string{program, "consume"}, where...), func(line string) { consumed = append(consumed, line) }); err != nil {
		return err
	}
	if len(consumed) != 2 || !strings.HasSuffix(consumed[1], "\tnull\tb") {
		return fmt.Errorf("sent were a and b, consume prints %q", consumed)
	}
	var got, ends strings.Builder
	if err := errors.Join(cluster.Consume(ctx, topic, 2, false, &got), cluster.Ends(ctx, topic, &ends)); err != nil {
		return err
	}
	if got.String() != "a\nb\n" || strings.TrimSpace(ends.String()) != topic+":0:2" {
		return fmt.Errorf("sent were a and b, read back is %q, and the topic ends at %q", &got, &ends)
	}
	return s.say("CHECKED produce messages=2")
}

// vulnerable needs govulncheck's database. It excuses only a failure to fetch it, and only without
// SURESTART_NEED_VULNDB, which the hosted workflow sets.
func vulnerable(ctx context.Context, s *session) error {
	dirs, err := s.modules(ctx)
	for _, dir := range dirs {
		unreached := false
		if err = s.stream(ctx, []string{"go", "-C", dir, "run", govulncheck, "./..."}, func(line string) {
			s.say("%s", line)
			unreached = unreached || strings.HasPrefix(line, "govulncheck: fetching vulnerabilities: Get ")
		}); err != nil {
			if unreached && os.Getenv("SURESTART_NEED_VULNDB") == "" {
				return fmt.Errorf("%w: its database cannot be reached from here; the hosted workflow checks it", errNotChecked)
			}
			return fmt.Errorf("module %s: %w", dir, err)
		}
	}
	s.say("CHECKED govulncheck modules=%d", len(dirs))
	return err
}

func repeat(ctx context.Context, s *session) error {
	if err := s.needKafka(ctx); err != nil {
		return err
	}
	// Tests that break brokers of their own take minutes, and run in the layer tests.
	return s.test(ctx, "-race", "-count=10", "-skip=^(TestApacheKafka.*|TestThreeBrokers|TestNoLossSoak)$",
		"./fsm/...", "./resilience/...", "./conformance/...", "./producer/...")
}

func breaks(ctx context.Context, s *session) error {
	program, err := s.surestart(ctx)
	if err != nil {
		return err
	}
	for promise, guarantee := range map[string]string{"start-once": "G1", "lose": "G9", "leak": "G7", "twice": "D3"} {
		noticed := false
		err := s.stream(ctx, []string{program, "demo", "-break", promise}, func(line string) {
			s.say("%s", line)
			noticed = noticed || strings.HasPrefix(line, "FAIL: "+guarantee+" ")
		})
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !noticed {
			return fmt.Errorf("demo -break %s ended with %v; it must end with 1 and with FAIL: %s", promise, err, guarantee)
		}
	}
	s.say("CHECKED breaks promises=4")
	return nil
}
