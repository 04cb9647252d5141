package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/seed3893aba4/surestart/spec"
	tlcdelivery "github.com/seed3893aba4/surestart/verify/internal/delivery/model"
	tlclifecycle "github.com/seed3893aba4/surestart/verify/internal/lifecycle/model"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

// writeTables has TLC dump the state graphs of the models in tla/, and derives from them the transition tables and the
// pinned counts: spec/table_gen.go and spec/delivery/table_gen.go.
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
	graphs, err := dumps(ctx, tlclifecycle.Models(), func(ctx context.Context, model string) (*tlclifecycle.Graph, error) {
		g, _, err := tlclifecycle.Dump(ctx, t, model, dir)
		return g, err
	})
	if err != nil {
		return err
	}
	text, err := tlclifecycle.Generate(tlclifecycle.Models(), graphs)
	if err != nil {
		return err
	}
	deliveries, err := dumps(ctx, tlcdelivery.Models(), func(ctx context.Context, model string) (*tlcdelivery.Graph, error) {
		g, _, err := tlcdelivery.Dump(ctx, t, model, dir)
		return g, err
	})
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

// dumps dumps the models, two at a time: TLC writes a graph on one processor.
func dumps[G interface {
	Counts() (spec.Counts, []int)
}](ctx context.Context, models []string, dump func(ctx context.Context, model string) (G, error)) ([]G, error) {
	graphs := make([]G, len(models))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for i, model := range models {
		group.Go(func() error {
			fmt.Fprintf(os.Stderr, "table: TLC dumps the %s model\n", model)
			g, err := dump(ctx, model)
			if err != nil {
				return err
			}
			counts, _ := g.Counts()
			fmt.Fprintf(os.Stderr, "table: %s: %v\n", model, counts)
			graphs[i] = g
			return nil
		})
	}
	return graphs, group.Wait()
}
