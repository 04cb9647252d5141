package main

import (
	"context"
	"flag"
	"fmt"
	"regexp"
	"strings"

	"github.com/seed3893aba4/surestart/verify/internal/machine"
	"github.com/seed3893aba4/surestart/verify/internal/mutation"
)

// tryMutants runs the checks on mutants. It returns an error unless each is killed, or rightly
// listed as equivalent.
func tryMutants(ctx context.Context, root string, args []string) error {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	sample := flags.Int("sample", 0, "try this many; 0: all, which takes hours")
	seed := flags.Uint64("seed", 0, "of the sample; 0: from the mutants themselves")
	only := flags.String("run", "", "only those whose id this regular `expression` matches")
	list := flags.Bool("list", false, "list them, and run nothing")
	if err := parse(flags, args, 0); err != nil {
		return err
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return usagef("%s", err)
	}
	all, err := mutation.All(root, machine.All())
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
		return fmt.Errorf("no mutant matches %q", *only)
	}
	if *seed == 0 {
		*seed = mutation.Seed(some)
	}
	if *sample > 0 {
		fmt.Printf("seed %d\n", *seed)
		some = mutation.Sample(some, *sample, *seed)
	}
	if *list {
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
