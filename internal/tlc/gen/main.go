// Command gen writes spec/table_gen.go: it has TLC dump the state graphs of the
// models in tla/, and derives from them the transition table and the pinned
// counts. go generate ./spec runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sync/errgroup"

	"github.com/seed3893aba4/surestart/internal/tlc"
)

func main() {
	out := flag.String("o", "table_gen.go", "the file to write")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string) error {
	t, err := tlc.Install(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "surestart-dump")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	models := tlc.Models()
	graphs := make([]*tlc.Graph, len(models))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2) // TLC writes a graph on one processor
	for i, model := range models {
		group.Go(func() error {
			fmt.Fprintf(os.Stderr, "gen: TLC dumps the %s model\n", model)
			g, _, err := t.Graph(ctx, model, dir)
			if err != nil {
				return err
			}
			counts, _ := g.Counts()
			fmt.Fprintf(os.Stderr, "gen: %s: %v\n", model, counts)
			graphs[i] = g
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	text, err := tlc.Generate(models, graphs)
	if err != nil {
		return err
	}
	return os.WriteFile(out, text, 0o644)
}
