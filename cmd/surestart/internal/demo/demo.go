// Package demo is the storm behind "surestart demo": the brokers are down, hang and work while a
// crowd of callers starts one producer, and while writers are stopped in the middle. A producer
// with a "started" flag, as people write it, goes through the same storm.
//
// Everything is counted outside the producers: requests and connections by a proxy that they
// dial, messages by franz-go, an independent client.
//
// Files: story.go has the acts; crowd.go the callers and the writers; system.go what they call;
// cluster.go the brokers and the proxy; report.go the table and the verdict; screen.go what is
// shown meanwhile.
package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed3893aba4/surestart/internal/terminal"
)

// Config is what to run.
type Config struct {
	Callers  int      // at least 10
	Messages int      // at least 1,000
	Brokers  []string // empty: the embedded broker
	Break    string   // one of Breaks; empty: nothing is broken
}

// Breaks are the promises that can be broken on purpose, to see that the demo notices.
var Breaks = []string{
	"start-once", // every tenth caller of Start opens one more producer
	"lose",       // a few writes return nil, and send nothing
	"leak",       // a connection stays open
	"twice",      // the first write is sent twice
}

// Validate returns what is wrong with a Config.
func (c Config) Validate() error {
	switch {
	case c.Callers < 10 || c.Callers > 20_000:
		return fmt.Errorf("%d callers: want 10 to 20000", c.Callers)
	case c.Messages < 1000 || c.Messages > 100_000_000:
		return fmt.Errorf("%d messages: want 1000 to 100000000", c.Messages)
	case c.Break != "" && !slices.Contains(Breaks, c.Break):
		return fmt.Errorf("cannot break %q: want %s", c.Break, strings.Join(Breaks, ", "))
	}
	return nil
}

// Run runs the demo and reports whether surestart kept every promise. An error means that the
// demo could not be run to its end.
func Run(ctx context.Context, cfg Config, screen *Screen) (kept bool, err error) {
	began := time.Now()
	cl, err := newCluster(ctx, cfg.Brokers, keyMetadata)
	if err != nil {
		return false, err
	}
	about := "an embedded broker (kfake)"
	if len(cfg.Brokers) > 0 {
		about = strings.Join(cfg.Brokers, ",")
	}
	screen.line("%s starts and stops one Kafka producer while its broker is down, hangs, works and", screen.paint(terminal.Bold, "surestart demo"))
	screen.line("hangs again: %s callers start it at once, 8 writers send %s messages through it.", terminal.Commas(cfg.Callers), terminal.Commas(cfg.Messages))
	screen.line("Then a producer with a \"started\" flag, as people write it, goes through the same.")
	screen.line("Cluster: %s. A proxy in front of each broker goes down, hangs and counts.", about)

	title := "surestart: each change of its state, as it happens"
	if cfg.Break != "" {
		title = fmt.Sprintf("surestart, broken on purpose (%s)", cfg.Break)
	}
	screen.title(title)
	ours, err := brave(ctx, cfg, screen, cl, false)
	if err != nil {
		return false, err
	}
	columns := []column{ours}
	if cfg.Break == "" {
		screen.title("A naive flag, through the same storm (its source: surestart help naive)")
		if cl, err = newCluster(ctx, cfg.Brokers, keyListOffsets); err != nil {
			return false, err
		}
		flag, err := brave(ctx, cfg, screen, cl, true)
		if err != nil {
			return false, err
		}
		columns = []column{flag, ours}
	}
	screen.table(cfg, columns)
	return screen.verdict(cfg, ours, time.Since(began)), nil
}
