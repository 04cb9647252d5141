// Package variant runs the layers of checks on a variant of the source: a seeded fault
// (internal/faults) or a mutant (internal/mutation). It never changes the source tree: the compiler
// gets the variant's files in place of the tree's (go build -overlay).
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
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed3893aba4/surestart/verify/internal/machine"
)

// Variant is a change of the source.
type Variant struct {
	Name  string
	Files map[string][]byte // path from the top of the checkout -> contents; nil: it is not there
}

// The results of a variant in a layer.
const (
	Caught   = "caught"    // a test failed
	Passed   = "passed"    // all passed
	TimedOut = "timed out" // it hung: nothing was shown
	NoBuild  = "does not build"
)

// Catch is the result of a layer for a variant.
type Catch struct {
	Layer      string   `json:"layer"`
	Result     string   `json:"result"`
	Guarantees []string `json:"guarantees,omitempty"` // named as broken: "G4"
	First      string   `json:"first,omitempty"`      // the first line that says what is wrong
	Seconds    float64  `json:"seconds"`
}

// limit bounds one layer, which takes a few seconds.
const limit = 2 * time.Minute

// Try builds the variant in the checkout at root and runs the layers on it, in order, until enough
// returns true. The guarantees that the variant may break are m's.
func Try(ctx context.Context, root string, m *machine.Machine, v Variant, layers []machine.Layer, enough func(Catch) bool) ([]Catch, error) {
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
	built := make(map[string]string) // package and tags -> test binary, or "" if it does not build
	for _, l := range layers {
		bin, known := built[l.Dir+" "+l.Tags]
		if !known {
			bin = filepath.Join(dir, strings.ReplaceAll(l.Dir, "/", "-")+l.Tags+".test")
			out, err := build(ctx, root, overlay, l.Dir, l.Tags, bin)
			if ctx.Err() != nil {
				return catches, context.Cause(ctx)
			}
			if err != nil {
				catches = append(catches, Catch{Layer: l.Name, Result: NoBuild, First: firstLine(out)})
				return catches, nil
			}
			built[l.Dir+" "+l.Tags] = bin
		}
		c := run(ctx, m, filepath.Join(root, l.Dir), bin, dir, l)
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
	if out, err := build(ctx, root, overlay, pkg, "", bin); err != nil {
		return fmt.Errorf("variant %s: package %s: %w: %s", v.Name, pkg, err, out)
	}
	return nil
}

func writeOverlay(root, dir string, v Variant) (string, error) {
	replace := make(map[string]string)
	for name, text := range v.Files {
		if text == nil {
			replace[filepath.Join(root, name)] = ""
			continue
		}
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

func build(ctx context.Context, root, overlay, pkg, tags, bin string) (string, error) {
	module := root
	if of, ok := strings.CutPrefix(pkg, "verify/"); ok {
		module, pkg = filepath.Join(root, "verify"), of
	}
	// Without what only a debugger reads, which takes a fifth of the compiler's time.
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-ldflags=-w", "-gcflags=github.com/seed3893aba4/surestart/...=-dwarf=false", "-overlay", overlay, "-tags", tags, "-o", bin, "./"+pkg)
	cmd.Dir = module
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func run(ctx context.Context, m *machine.Machine, dir, bin, scratch string, l machine.Layer) Catch {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, append(slices.Clone(l.Args), "-test.timeout=40s")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SURESTART_SCHEDULES="+scratch, "SURESTART_BOUND=", "SURESTART_NO_SKIP=", "SURESTART_KAFKA=", "TMPDIR="+scratch)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	c := Catch{Layer: l.Name, Result: Passed, Seconds: time.Since(began).Seconds()}
	if err == nil {
		return c
	}
	c.Guarantees, c.First = named(m, string(out)), firstLine(string(out))
	c.Result = Caught
	// A hang by itself shows nothing. A test that failed before it does.
	hung := errors.Is(ctx.Err(), context.DeadlineExceeded) || bytes.Contains(out, []byte("panic: test timed out"))
	if hung && !failed.Match(out) {
		c.Result, c.Guarantees = TimedOut, nil
	}
	return c
}

var (
	failed   = regexp.MustCompile(`(?m)^\s*--- FAIL: `)
	testName = regexp.MustCompile(`--- FAIL: Test(` + machine.IDPattern + `)[A-Z]`)
	// inTrace matches the test that was running, or that began the goroutine, when the process
	// ended by a panic.
	inTrace = regexp.MustCompile(`(?m)^(?:created by )?\S+\.Test(` + machine.IDPattern + `)[A-Z]\w*[.(]`)
	broken  = regexp.MustCompile(`\b(` + machine.IDPattern + `) [A-Za-z]+ is broken`)
	telling = regexp.MustCompile(`(?m)^\s*(--- FAIL: |panic: |fatal error: |\S+_test\.go:\d+: |.* is broken).*$`)
)

// named returns the guarantees of m that the output of a failed test run names.
func named(m *machine.Machine, out string) []string {
	var ids []string
	for _, pattern := range []*regexp.Regexp{broken, testName, inTrace} {
		for _, found := range pattern.FindAllStringSubmatch(out, -1) {
			if _, ok := m.GuaranteeOf(found[1]); ok && !slices.Contains(ids, found[1]) {
				ids = append(ids, found[1])
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

// Each calls try with each element, as many at a time as there are processors. It calls report once
// for each, one call at a time.
func Each[T, R any](ctx context.Context, all []T, try func(context.Context, T) (R, error), report func(R)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex
	for _, one := range all {
		group.Go(func() error {
			r, err := try(ctx, one)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			report(r)
			return nil
		})
	}
	return group.Wait()
}
