package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"

	"github.com/seed3893aba4/surestart/cmd/surestart/internal/demo"
	"github.com/seed3893aba4/surestart/internal/terminal"
)

var demoCommand = command{
	name:  "demo",
	about: "a storm over a Kafka producer, and a naive one beside it (under 20 s)",
	help: `
A broker is down, then hangs, then works. A crowd of callers starts one producer
at once, some give up; 8 writers send messages through it; it is stopped in the
middle and started again; the broker hangs once more, and the producer is stopped
within two seconds. What may have been delivered then is looked up, not sent twice.
franz-go, an independent client, reads everything back: what was acknowledged must
be there, and nothing twice. A producer with a "started" flag, as people write it,
goes through the same (its source: surestart help naive). The closing table compares
the two.

The exit status is 0 only if every promise of surestart's was kept. With -break
one is broken on purpose: then the status is 1, and the guarantee is named.

Without -brokers the broker is embedded: nothing needs to be installed. With it
there is a small proxy in front of each broker, on the loopback, which is what
goes down, hangs and counts; the cluster itself is left alone.`,
	prepare: prepareDemo,
}

func prepareDemo(flags *flag.FlagSet) func(*world, []string) error {
	callers := flags.Int("callers", 1000, "how many call Start at once")
	messages := flags.Int("messages", 200_000, "how many messages are sent")
	broken := flags.String("break", "", "break a promise: start-once, lose, leak or twice")
	brokers := flags.String("brokers", "", "a real cluster: `host:port,...`; default: embedded")
	topic := flags.String("topic", "", "an existing topic of that cluster; default: one is created, and removed again")
	asJSON := flags.Bool("json", false, "print the result as JSON, and nothing else")
	return func(w *world, args []string) error {
		cfg := demo.Config{Callers: *callers, Messages: *messages, Topic: *topic, Break: demo.Break(*broken)}
		if len(args) > 0 {
			return usagef("unexpected argument %q", args[0])
		}
		if err := cfg.Validate(); err != nil {
			return usageError{err}
		}
		if *brokers != "" {
			var err error
			if cfg.Brokers, err = brokerList(*brokers); err != nil {
				return err
			}
		}
		return runDemo(w, cfg, *asJSON)
	}
}

func runDemo(w *world, cfg demo.Config, asJSON bool) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() {
		select {
		case <-w.signals:
			cancel(errors.New("interrupted"))
		case <-ctx.Done():
		}
	}()
	screen := demo.NewScreen(w.out, terminal.Is(w.out, w.getenv))
	if asJSON {
		screen = demo.NewScreen(io.Discard, false)
	}
	res, err := demo.Run(ctx, cfg, screen)
	if err != nil {
		return err
	}
	if asJSON {
		text, err := json.MarshalIndent(res, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(w.out, "%s\n", text)
	}
	if !res.Pass {
		return errSaid
	}
	return nil
}

// brokerList is the addresses in a flag; it finds what cannot be one.
func brokerList(text string) ([]string, error) {
	brokers := list(text)
	if len(brokers) == 0 {
		return nil, usagef("-brokers %q: want host:port,...", text)
	}
	for _, b := range brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			return nil, usagef("-brokers: %q is not host:port", b)
		}
	}
	return brokers, nil
}
