package main

import (
	"flag"
	"strings"

	"github.com/seed3893aba4/surestart/cmd/surestart/internal/demo"
)

var demoCommand = command{
	name:  "demo",
	about: "runs a Kafka producer through a storm, beside a naive one (half a minute)",
	help: `
A broker is down, then hangs, then works. 1,000 callers start one producer at once,
and some give up. 8 writers send messages. The producer is stopped in the middle and
started again. The broker hangs once more, and the producer is stopped within two
seconds. Messages that may have been delivered are looked up, not sent twice.
franz-go, an independent client, reads everything back: every acknowledged message
must be there, and none twice. A producer with a "started" flag goes through the same
storm (its source: surestart help naive). The closing table compares the two.

The exit status is 0 only if surestart kept every promise. With -break a promise is
broken on purpose: the status is 1, and the output names the guarantee.

Without -brokers the broker is embedded, and nothing needs to be installed. The
broker itself does not fail: a proxy before it refuses, hangs and counts. On a real
cluster the demo creates two topics, and removes them at the end.`,
	prepare: prepareDemo,
}

func prepareDemo(flags *flag.FlagSet) func(*world, []string) error {
	callers := flags.Int("callers", 1000, "how many callers call Start at once")
	messages := flags.Int("messages", 200_000, "how many messages are sent")
	broken := flags.String("break", "", "break a promise: "+strings.Join(demo.Breaks, ", "))
	brokers := flags.String("brokers", "", "a real cluster: `host:port,...`; default: embedded")
	return func(w *world, args []string) error {
		cfg := demo.Config{Callers: *callers, Messages: *messages, Break: *broken}
		if len(args) > 0 {
			return usagef("unexpected argument %q", args[0])
		}
		if *brokers != "" {
			var err error
			if cfg.Brokers, err = brokerList(*brokers); err != nil {
				return err
			}
		}
		if err := cfg.Validate(); err != nil {
			return usageError{err}
		}
		ctx, cancel := w.interruptible()
		defer cancel()
		kept, err := demo.Run(ctx, cfg, demo.NewScreen(w.out, w.terminal))
		if err == nil && !kept {
			err = errSaid
		}
		return err
	}
}
