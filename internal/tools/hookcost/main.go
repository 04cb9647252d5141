// Command hookcost measures what a lifecycle in production pays for being steppable:
// the benchmarks of package fsm as it is shipped, and with each test of its nil hook
// compiled away, in turns.
//
//	go run ./internal/tools/hookcost [-rounds N] [-bench RE]
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/seed3893aba4/surestart/internal/tlc"
	"github.com/seed3893aba4/surestart/internal/variant"
)

func main() {
	rounds := flag.Int("rounds", 15, "how often each is run")
	bench := flag.String("bench", "^BenchmarkStarted$/^Start$|^BenchmarkUse$/^(Acquire|Use)|^BenchmarkLife$/^Lifecycle$", "the benchmarks of package fsm")
	flag.Parse()
	if err := run(context.Background(), *rounds, *bench); err != nil {
		fmt.Fprintln(os.Stderr, "hookcost:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, bench string) error {
	root, err := tlc.Root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "surestart-hookcost-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	without, tests, err := stripped(root)
	if err != nil {
		return err
	}
	programs := [2]string{filepath.Join(dir, "shipped.test"), filepath.Join(dir, "stripped.test")}
	for i, v := range []variant.Variant{{Name: "shipped"}, without} {
		if err := variant.Build(ctx, root, v, "fsm", programs[i]); err != nil {
			return err
		}
	}
	fmt.Printf("%d tests of the hook compiled away; %d rounds, in turns; median ns/op (range)\n", tests, rounds)
	var names []string
	times := make(map[string]*[2][]float64)
	for r := range rounds {
		for turn := range programs {
			which := (r + turn) % 2
			out, err := exec.CommandContext(ctx, programs[which], "-test.run=^$", "-test.bench="+bench, "-test.cpu=1", "-test.benchtime=100ms").CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			for _, m := range result.FindAllStringSubmatch(string(out), -1) {
				if times[m[1]] == nil {
					times[m[1]] = new([2][]float64)
					names = append(names, m[1])
				}
				ns, err := strconv.ParseFloat(m[2], 64)
				if err != nil {
					return err
				}
				times[m[1]][which] = append(times[m[1]][which], ns)
			}
		}
	}
	if names == nil {
		return fmt.Errorf("no benchmark matches %q", bench)
	}
	for _, name := range names {
		t := times[name]
		fmt.Printf("%-32s shipped %s   without %s   ratio %.3f\n", name, summary(t[0]), summary(t[1]), median(t[0])/median(t[1]))
	}
	return nil
}

var result = regexp.MustCompile(`(?m)^(Benchmark\S+)\s+\d+\s+([\d.]+) ns/op`)

var hookTest = []byte("l.hook != nil")

// stripped is package fsm without any test of the hook, and how many it has.
func stripped(root string) (variant.Variant, int, error) {
	v := variant.Variant{Name: "stripped", Files: make(map[string][]byte)}
	files, err := filepath.Glob(filepath.Join(root, "fsm", "*.go"))
	if err != nil {
		return v, 0, err
	}
	tests := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return v, 0, err
		}
		if n := bytes.Count(text, hookTest); n > 0 {
			tests += n
			v.Files["fsm/"+filepath.Base(name)] = bytes.ReplaceAll(text, hookTest, []byte("false"))
		}
	}
	if tests == 0 {
		return v, 0, errors.New("package fsm does not test its hook any more: nothing to measure")
	}
	return v, tests, nil
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

func summary(all []float64) string {
	return fmt.Sprintf("%.1f (%.1f to %.1f)", median(all), slices.Min(all), slices.Max(all))
}
