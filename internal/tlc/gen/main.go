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
	var graphs []*tlc.Graph
	for _, model := range models {
		fmt.Fprintf(os.Stderr, "gen: TLC dumps the %s model\n", model)
		g, _, err := t.Graph(ctx, model, dir)
		if err != nil {
			return err
		}
		counts, _ := g.Counts()
		fmt.Fprintf(os.Stderr, "gen: %s: %v\n", model, counts)
		graphs = append(graphs, g)
	}
	text, err := tlc.Generate(models, graphs)
	if err != nil {
		return err
	}
	return os.WriteFile(out, text, 0o644)
}
