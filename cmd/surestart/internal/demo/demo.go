// Package demo is the storm behind "surestart demo": the brokers are down, hang and work while a
// crowd of callers starts one producer, and while writers are stopped in the middle. A producer
// with a "started" flag, as people write it, goes through the same storm.
//
// Everything is counted outside the producers: requests and connections by a proxy that they
// dial, messages by franz-go, an independent client.
package demo

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/producer"
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
	ours, err := brave(ctx, cfg, screen, false)
	if err != nil {
		return false, err
	}
	columns := []column{ours}
	if cfg.Break == "" {
		flag, err := brave(ctx, cfg, screen, true)
		if err != nil {
			return false, err
		}
		columns = []column{flag, ours}
	}
	screen.table(cfg, columns)
	return screen.verdict(cfg, ours, time.Since(began)), nil
}

// A system is what goes through the storm.
type system struct {
	start, stop, shutdown func(context.Context) error
	write                 func(context.Context, ...kafka.Message) error
}

func newProducer(cl *cluster, lifecycle ...fsm.Option) (*producer.Producer, error) {
	return producer.New(producer.Config{
		Brokers: cl.brokers, ClientID: "surestart-demo", Topic: cl.topic, Dial: cl.dial,
		Logger: slog.New(slog.DiscardHandler), Lifecycle: lifecycle,
	})
}

// broken returns a system that breaks the promise that is named in Breaks, or none.
func (s system) broken(what string, cl *cluster) system {
	var starts, writes atomic.Int64
	b := s
	b.start = func(ctx context.Context) error {
		if what == "start-once" && starts.Add(1)%10 == 1 {
			if extra, err := newProducer(cl); err == nil {
				extra.Start(ctx)
				extra.Close()
			}
		}
		return s.start(ctx)
	}
	b.write = func(ctx context.Context, msgs ...kafka.Message) error {
		switch n := writes.Add(1); {
		case what == "lose" && n > 20 && n <= 20+writers:
			return nil
		case what == "twice" && n == 1:
			s.write(ctx, msgs...)
		case what == "leak" && n == 1:
			cl.dial(ctx, "tcp", cl.brokers[0])
		}
		return s.write(ctx, msgs...)
	}
	return b
}
