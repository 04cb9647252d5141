package main

import (
	"context"
	"flag"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/seed3893aba4/surestart/verify/internal/faults"
	"github.com/seed3893aba4/surestart/verify/internal/machine"
	"github.com/seed3893aba4/surestart/verify/internal/variant"
)

// tryFaults runs the checks on each seeded fault. It returns an error unless each is caught with
// the name of the guarantee that it breaks.
func tryFaults(ctx context.Context, root string, args []string) error {
	flags := flag.NewFlagSet("faults", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "stop at the first layer that names the guarantee; else every layer on every fault")
	only := flags.String("run", "", "only those whose name or guarantee this regular `expression` matches")
	if err := parse(flags, args, 0); err != nil {
		return err
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return usagef("%s", err)
	}
	all, err := faults.All(machine.All())
	if err != nil {
		return err
	}
	some := all[:0]
	for _, f := range all {
		if pattern.MatchString(f.Name) || pattern.MatchString(f.Guarantee) {
			some = append(some, f)
		}
	}
	if len(some) == 0 {
		return fmt.Errorf("no fault matches %q", *only)
	}
	began, caught, worst := time.Now(), 0, 0.0
	guarantees := make(map[string]bool)
	var missed []string
	err = faults.Run(ctx, root, some, *quick, func(r faults.Result) {
		var by []string
		for _, c := range r.Catches {
			if c.Result != variant.Passed {
				by = append(by, strings.TrimSpace(fmt.Sprintf("%s: %s %s", c.Layer, c.Result, strings.Join(c.Guarantees, " "))))
			}
		}
		verdict := fmt.Sprintf("caught in %.1f s", r.Seconds)
		if !r.Caught {
			verdict, missed = "NOT CAUGHT BY NAME", append(missed, r.Name)
		} else {
			caught++
			guarantees[r.Guarantee] = true
			worst = max(worst, r.Seconds)
		}
		fmt.Printf("%-36s %-4s %-18s %s\n", r.Name, r.Guarantee, verdict, strings.Join(by, "; "))
	})
	if err != nil {
		return err
	}
	fmt.Printf("CHECKED faults seeded=%d caught-by-name=%d guarantees=%d slowest-seconds=%.0f\n", len(some), caught, len(guarantees), worst)
	fmt.Printf("%d seeded faults in %v\n", len(some), time.Since(began).Round(time.Second))
	if missed != nil {
		return fmt.Errorf("not caught by the name of the guarantee: %s", strings.Join(missed, ", "))
	}
	return nil
}
