package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/seed3893aba4/surestart/cmd/surestart/internal/doctor"
	"github.com/seed3893aba4/surestart/internal/oneline"
	"github.com/seed3893aba4/surestart/internal/terminal"
	"github.com/seed3893aba4/surestart/producer"
)

var doctorCommand = command{
	name:  "doctor",
	about: "goes through a producer's start part by part, and reports what fails and why",
	help: `
For each broker: does its name resolve, does it accept a connection, does TLS work, is it
Kafka and does it accept the login? Then: the metadata, every broker that the cluster
advertises, the topic and its leaders, a producer id, the permission to write, and whether
enough replicas are in sync. Nothing is written to the topic. Without -topic the last
parts are not checked.

A failed part is followed by its likely cause, and by the field of producer.Config to
check, with the flag that sets it here. Commands that grant a missing permission follow.
A part that warns works now, but needs attention.

The exit status is 0 if no part failed, 1 if one did, and 2 for a wrong command line.

  surestart doctor -brokers kafka:9092 -topic orders`,
	prepare: prepareDoctor,
}

func prepareDoctor(flags *flag.FlagSet) func(*world, []string) error {
	var c connect
	c.declare(flags)
	topic := flags.String("topic", "", "the topics that must be writable: `name,...`")
	timeout := flags.Duration("timeout", 5*time.Second, "the limit of each step")
	return func(w *world, args []string) error {
		switch {
		case len(args) > 0:
			return usagef("unexpected argument %q", args[0])
		case *timeout <= 0:
			return usagef("-timeout %v: want more than 0", *timeout)
		}
		cfg, err := c.config(w.getenv)
		if err != nil {
			return err
		}
		cfg.Topics = list(*topic)
		cfg.AnyTopic = cfg.Topics == nil
		if _, err := producer.New(cfg); err != nil {
			return usageError{err}
		}
		ctx, cancel := w.interruptible()
		defer cancel()
		well := doctor.Examine(ctx, cfg, c.principal(), *timeout, func(f doctor.Finding) {
			if ctx.Err() == nil { // otherwise the interrupt is what failed
				w.finding(f)
			}
		})
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !well:
			return errSaid
		}
		fmt.Fprintln(w.out, "A producer with this configuration starts.")
		return nil
	}
}

// finding prints one part.
func (w *world) finding(f doctor.Finding) {
	mark, colour := "ok", terminal.Green
	switch f.Status {
	case doctor.Failed:
		mark, colour = "FAIL", terminal.Red
	case doctor.Warned:
		mark, colour = "warn", terminal.Yellow
	case doctor.Skipped:
		mark, colour = "-", terminal.Faint
	}
	mark = terminal.Paint(w.terminal, colour, fmt.Sprintf("%-4s", mark))
	fmt.Fprintf(w.out, "%s  %-11s  %s\n", mark, f.Part, oneLine(errors.New(f.What)))
	if f.Cause != "" {
		fmt.Fprintf(w.out, "      likely:      %s\n", oneline.Escape(f.Cause))
	}
	if f.Field != "" {
		fmt.Fprintf(w.out, "      check:       producer.Config.%s%s\n", f.Field, flagOf(f.Field))
	}
	for _, command := range f.Grant {
		fmt.Fprintf(w.out, "      grant:       %s\n", oneline.Escape(command))
	}
}

// flagOf names the flags that set a field of producer.Config.
func flagOf(field string) string {
	flags := map[string]string{
		"Brokers": "-brokers", "Topic": "-topic", "SASL": "-sasl, -user, -password-file",
		"TLS": "-tls", "TLS.RootCAs": "-tls-ca", "TLS.Certificates": "-tls-cert, -tls-key",
		"TLS.ServerName": "-tls-server-name",
	}[field]
	if flags != "" {
		flags = " (here: " + flags + ")"
	}
	return flags
}
