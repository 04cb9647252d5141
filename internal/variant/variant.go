// Package variant tries a variant of the source through the layers of checks that
// are to notice it: a seeded fault (internal/faults) or a mutant (internal/mutation).
// The source tree is never touched: the compiler is given the variant's files in
// the place of the tree's (go build -overlay).
package variant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/seed3893aba4/surestart/spec"
)

// Variant is a change of the source.
type Variant struct {
	Name  string
	Files map[string][]byte // path from the top of the module -> contents
}

// Layer is one way in which a variant may be noticed: some tests of one package.
type Layer struct {
	Name string
	dir  string   // of the package, from the top of the module
	args []string // to its test binary
}

var layers = []Layer{
	{"graph", "conformance", []string{"-test.run=^TestGraph", "-test.failfast"}},
	{"schedules", "conformance", []string{"-test.run=^TestSchedule", "-test.short"}},
	{"scenarios", "conformance", []string{"-test.run=^TestR"}},
	{"tests", "fsm", []string{"-test.short"}},
	{"threads", "conformance", []string{"-test.run=^TestThreads", "-test.short"}},
	{"histories", "conformance", []string{"-test.run=^TestHistories", "-test.short"}},
	{"spec", "spec", []string{"-test.short"}},
	{"producer", "producer", []string{"-test.run=^Test[GR][0-9]", "-test.short"}},
}

// Layers returns those of these names, in their own order; all without one.
func Layers(names ...string) []Layer {
	if len(names) == 0 {
		return slices.Clone(layers)
	}
	var some []Layer
	for _, l := range layers {
		if slices.Contains(names, l.Name) {
			some = append(some, l)
		}
	}
	return some
}

// TestsOf returns the layer of the tests of one guarantee ("G4"), in package fsm
// or producer. They are run by themselves: in a run of all tests, one that
// panics keeps those after it from speaking.
func TestsOf(pkg, guarantee string) Layer {
	return Layer{"tests of " + guarantee, pkg, []string{"-test.run=^Test" + guarantee + "[A-Z]"}}
}

// What became of a variant in a layer.
const (
	Caught   = "caught"    // a test failed
	Passed   = "passed"    // all passed
	TimedOut = "timed out" // it hung: nothing was shown
	NoBuild  = "does not build"
)

// Catch is what a layer said of a variant.
type Catch struct {
	Layer      string   `json:"layer"`
	Result     string   `json:"result"`
	Guarantees []string `json:"guarantees,omitempty"` // named as broken: "G4"
	First      string   `json:"first,omitempty"`      // the first line that says what is wrong
	Seconds    float64  `json:"seconds"`
}

// limit is for one layer, which takes a few seconds.
const limit = 2 * time.Minute

// Try builds the variant in the module at root and runs it through the layers,
// in order, until enough says that it has been noticed well enough.
func Try(ctx context.Context, root string, v Variant, layers []Layer, enough func(Catch) bool) ([]Catch, error) {
	dir, err := os.MkdirTemp("", "surestart-variant-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	overlay, err := writeOverlay(root, dir, v)
	if err != nil {
		return nil, err
	}
	var catches []Catch
	built := make(map[string]string) // package -> test binary, or "" if it does not build
	for _, l := range layers {
		bin, known := built[l.dir]
		if !known {
			bin = filepath.Join(dir, strings.ReplaceAll(l.dir, "/", "-")+".test")
			out, err := build(ctx, root, overlay, l.dir, bin)
			if ctx.Err() != nil {
				return catches, context.Cause(ctx)
			}
			if err != nil {
				catches = append(catches, Catch{Layer: l.Name, Result: NoBuild, First: firstLine(out)})
				return catches, nil
			}
			built[l.dir] = bin
		}
		c := run(ctx, filepath.Join(root, l.dir), bin, dir, l)
		if ctx.Err() != nil {
			return catches, context.Cause(ctx)
		}
		catches = append(catches, c)
		if enough(c) {
			break
		}
	}
	return catches, nil
}

// Build builds the test binary of a package of the variant.
func Build(ctx context.Context, root string, v Variant, pkg, bin string) error {
	dir, err := os.MkdirTemp("", "surestart-variant-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	overlay, err := writeOverlay(root, dir, v)
	if err != nil {
		return err
	}
	if out, err := build(ctx, root, overlay, pkg, bin); err != nil {
		return fmt.Errorf("variant %s: package %s: %w: %s", v.Name, pkg, err, out)
	}
	return nil
}

func writeOverlay(root, dir string, v Variant) (string, error) {
	replace := make(map[string]string)
	for name, text := range v.Files {
		copied := filepath.Join(dir, strings.ReplaceAll(name, "/", "-"))
		if err := os.WriteFile(copied, text, 0o666); err != nil {
			return "", err
		}
		replace[filepath.Join(root, name)] = copied
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o666)
}

func build(ctx context.Context, root, overlay, pkg, bin string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-ldflags=-w", "-overlay", overlay, "-o", bin, "./"+pkg)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func run(ctx context.Context, dir, bin, scratch string, l Layer) Catch {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, append(slices.Clone(l.args), "-test.timeout=40s")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SURESTART_SCHEDULES="+scratch, "SURESTART_BOUND=", "SURESTART_NO_SKIP=", "SURESTART_KAFKA=", "TMPDIR="+scratch)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	c := Catch{Layer: l.Name, Result: Passed, Seconds: time.Since(began).Seconds()}
	if err == nil {
		return c
	}
	c.Guarantees, c.First = named(string(out)), firstLine(string(out))
	c.Result = Caught
	// A hang shows nothing by itself; a test that failed before it does.
	hung := errors.Is(ctx.Err(), context.DeadlineExceeded) || bytes.Contains(out, []byte("panic: test timed out"))
	if hung && !failed.Match(out) {
		c.Result, c.Guarantees = TimedOut, nil
	}
	return c
}

var (
	failed   = regexp.MustCompile(`(?m)^\s*--- FAIL: `)
	testName = regexp.MustCompile(`--- FAIL: Test(G[0-9]+)[A-Z]`)
	broken   = regexp.MustCompile(`\b(G[0-9]+) [A-Za-z]+ is broken`)
	telling  = regexp.MustCompile(`(?m)^\s*(--- FAIL: |panic: |fatal error: |\S+_test\.go:\d+: |.* is broken).*$`)
)

// named returns the guarantees that the output of a failed test run names.
func named(out string) []string {
	var ids []string
	for _, pattern := range []*regexp.Regexp{broken, testName} {
		for _, m := range pattern.FindAllStringSubmatch(out, -1) {
			if _, ok := spec.GuaranteeOf(m[1]); ok && !slices.Contains(ids, m[1]) {
				ids = append(ids, m[1])
			}
		}
	}
	return ids
}

func firstLine(out string) string {
	line := telling.FindString(out)
	for _, l := range strings.Split(out, "\n") { // rather what is wrong than where
		if line != "" {
			break
		}
		line = l
	}
	if m := broken.FindStringIndex(out); m != nil {
		start := strings.LastIndexByte(out[:m[0]], '\n') + 1
		end := start + len(strings.SplitN(out[start:], "\n", 2)[0])
		line = out[start:end]
	}
	return fmt.Sprintf("%.200s", strings.TrimSpace(line))
}
