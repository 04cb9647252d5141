// Command mutants tries the mutants of internal/mutation through the checks, and fails
// unless each is killed or rightly listed as equivalent.
//
//	go run ./internal/tools/mutants                 all of them: an hour and a half on two cores
//	go run ./internal/tools/mutants -sample 60      some, drawn anew for each commit (-seed N draws others)
//	go run ./internal/tools/mutants -run attempt.go those whose id matches
//	go run ./internal/tools/mutants -list           what there is, and nothing is run
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"

	"github.com/seed3893aba4/surestart/internal/mutation"
	"github.com/seed3893aba4/surestart/internal/tlc"
)

func main() {
	sample := flag.Int("sample", 0, "try this many (0: all)")
	seed := flag.Uint64("seed", 0, "of the sample (0: from the commit)")
	only := flag.String("run", "", "a regular expression for ids")
	list := flag.Bool("list", false, "list them, and run nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *sample, *seed, *only, *list); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, sample int, seed uint64, only string, list bool) error {
	root, err := tlc.Root()
	if err != nil {
		return err
	}
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	all, err := mutation.All(root)
	if err != nil {
		return err
	}
	some := all[:0]
	for _, m := range all {
		if pattern.MatchString(m.ID) {
			some = append(some, m)
		}
	}
	if len(some) == 0 {
		return fmt.Errorf("no mutant matches %q", only)
	}
	if seed == 0 {
		if seed, err = mutation.Seed(ctx, root); err != nil {
			return err
		}
	}
	if sample > 0 {
		fmt.Printf("seed %d\n", seed)
		some = mutation.Sample(some, sample, seed)
	}
	if list {
		for _, m := range some {
			fmt.Printf("%s (line %d): %s\n", m.ID, m.Line, m.Diff)
		}
		return nil
	}
	var count mutation.Count
	if err := mutation.Run(ctx, root, some, func(r mutation.Result) {
		count.Add(r)
		fmt.Println(r)
	}); err != nil {
		return err
	}
	fmt.Printf("CHECKED mutants %v\n", &count)
	if count.Bad != nil {
		return fmt.Errorf("%d were not killed: %s", len(count.Bad), strings.Join(count.Bad, ", "))
	}
	return nil
}
