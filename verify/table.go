package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/seed3893aba4/surestart/spec"
	tlcdelivery "github.com/seed3893aba4/surestart/verify/internal/delivery/model"
	tlclifecycle "github.com/seed3893aba4/surestart/verify/internal/lifecycle/model"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

// writeTables runs TLC to dump the state graphs of the models in tla/. From them it derives the
// transition tables and the pinned counts: spec/table_gen.go and spec/delivery/table_gen.go.
func writeTables(ctx context.Context, root string, args []string) error {
	flags := flag.NewFlagSet("table", flag.ContinueOnError)
	if err := parse(flags, args, 0); err != nil {
		return err
	}
	t, err := tlc.Install(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "surestart-dump")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2) // TLC writes a graph on one processor
	graphs := dumps(group, tlclifecycle.Models(), func(model string) (*tlclifecycle.Graph, error) {
		g, _, err := tlclifecycle.Dump(ctx, t, model, dir)
		return g, err
	})
	deliveries := dumps(group, tlcdelivery.Models(), func(model string) (*tlcdelivery.Graph, error) {
		g, _, err := tlcdelivery.Dump(ctx, t, model, dir)
		return g, err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	text, err := tlclifecycle.Generate(tlclifecycle.Models(), graphs)
	if err != nil {
		return err
	}
	delivered, err := tlcdelivery.Generate(tlcdelivery.Models(), deliveries)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(root, "spec", "table_gen.go"), text, 0o644),
		os.WriteFile(filepath.Join(root, "spec", "delivery", "table_gen.go"), delivered, 0o644))
}

// dumps begins to dump the models, the last one first, which is the largest. The graphs are there
// once the group has ended.
func dumps[G interface {
	Counts() (spec.Counts, []int)
}](group *errgroup.Group, models []string, dump func(model string) (G, error)) []G {
	graphs := make([]G, len(models))
	for i, model := range slices.Backward(models) {
		group.Go(func() error {
			fmt.Fprintf(os.Stderr, "table: TLC dumps the %s model\n", model)
			g, err := dump(model)
			if err != nil {
				return err
			}
			counts, _ := g.Counts()
			fmt.Fprintf(os.Stderr, "table: %s: %v\n", model, counts)
			graphs[i] = g
			return nil
		})
	}
	return graphs
}
