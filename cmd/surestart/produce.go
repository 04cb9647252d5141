package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/oneline"
	"github.com/seed3893aba4/surestart/producer"
)

var produceCommand = command{
	name:  "produce",
	args:  " [FILE...]",
	about: "sends lines from files or standard input to a topic",
	help: `
Each line is a message, without a carriage return at its end. Standard input is read
if there is no FILE, or for "-". Reading continues while earlier lines are sent (64 MiB
of them at most). The lines of a partition keep their order. A failed message is
reported with its file and line on standard error. Sending continues only if a broker
refused the message. While nothing is acknowledged, standard error says for how long, and
what the brokers answer.

With -json each line is a message in JSON, as consume -json prints it:
  {"key":"k","value":"v","headers":[{"key":"h","value":"x"}],"time":"2026-01-02T03:04:05Z"}
Without a value it is a tombstone; key64 and value64 are bytes in base64.

Ctrl-C stops reading, sends the lines that were read, and waits for the answers. A
second Ctrl-C, or 20 seconds, ends the wait. The last line of output counts the lines
that were acknowledged and those that were not. The exit status is 0 if every line was
read and acknowledged, 1 if not, and 2 for a wrong command line.

The password comes from -password-file or the variable SURESTART_PASSWORD. That file,
-tls-cert and -tls-key are read again for every connection, so they can be rotated.

To try it without a cluster, in two terminals:
  surestart broker -topic lines
  printf 'a\nb\n' | surestart produce -brokers 127.0.0.1:9092 -topic lines`,
	prepare: prepareProduce,
}

const drainTimeout = 20 * time.Second // after the first Ctrl-C

func prepareProduce(flags *flag.FlagSet) func(*world, []string) error {
	var c connect
	c.declare(flags)
	topic := flags.String("topic", "", "the topic to send to; it must exist")
	separator := flags.String("key-separator", "", "the text between key and value, such as : or \\t; default: lines have no key")
	asJSON := flags.Bool("json", false, "each line is a message in JSON")
	partition := flags.Int("partition", -1, "send to this partition; default: by the key, as the Java client does")
	compression := flags.String("compression", "none", "none, gzip, snappy, lz4 or zstd")
	var headers []kafka.Header
	flags.Func("header", "a header of every message, `name=value`; may be repeated", func(text string) error {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return errors.New("want name=value")
		}
		headers = append(headers, kafka.Header{Key: name, Value: []byte(value)})
		return nil
	})
	linger := flags.Duration("linger", 0, "how long a message waits for others, if no request to its partition is in flight")
	acks := flags.String("acks", "all", "which replicas must acknowledge a message: all (each line is then in the log once), one (the leader) or none")
	return func(w *world, files []string) error {
		cfg, err := c.config(w.getenv)
		if err != nil {
			return err
		}
		cfg.Topic, cfg.Linger = *topic, *linger
		cfg.Logger = slog.New(slog.DiscardHandler) // this command prints the same facts
		if *topic == "" {
			return usagef("-topic is missing")
		}
		switch *acks {
		case "all":
			cfg.Acks = producer.AcksAll
		case "one":
			cfg.Acks = producer.AcksOne
		case "none":
			cfg.Acks = producer.AcksNone
		default:
			return usagef("-acks %q: want all, one or none", *acks)
		}
		if cfg.Compression, err = compressionOf(*compression); err != nil {
			return err
		}
		switch {
		case *partition < -1:
			return usagef("-partition %d: want 0 or more", *partition)
		case *partition >= 0:
			cfg.Balancer = kafka.BalancerFunc(func(kafka.Message, ...int) int { return *partition })
		}
		in := newLines(files, w.in)
		if in.separator, err = unescaped(*separator); err != nil {
			return err
		}
		if in.asJSON, in.headers = *asJSON, headers; *asJSON && *separator != "" {
			return usagef("-key-separator and -json exclude each other: the key is in the JSON")
		}
		if err := in.check(); err != nil {
			return err
		}
		return produce(w, cfg, in)
	}
}

func compressionOf(name string) (kafka.Compression, error) {
	for _, c := range []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		if c == 0 && name == "none" || c != 0 && c.String() == name {
			return c, nil
		}
	}
	return 0, usagef("-compression %q: want none, gzip, snappy, lz4 or zstd", name)
}

// unescaped reads \t and the other escapes of Go in a flag.
func unescaped(text string) (string, error) {
	plain, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
	if err != nil {
		return "", usagef("-key-separator %q: want text, with escapes such as \\t or \\x1f", text)
	}
	return plain, nil
}

func produce(w *world, cfg producer.Config, in *lines) error {
	p, err := producer.New(cfg)
	if err != nil {
		return usageError{err}
	}
	s := &sender{p: p, in: in, errors: w.err, began: time.Now()}
	over := make(chan struct{})
	defer close(over)
	starting, started := context.WithCancelCause(context.Background())
	go s.obey(w.signals(), over, started)
	defer p.Close()
	if err := p.Start(starting); err != nil {
		return startFailure(err)
	}
	s.began = time.Now()
	stopShowing := s.show(w)
	go in.read()
	s.sendAll()
	closing := p.Close()
	stopShowing()
	return s.summary(w.out, closing)
}

// startFailure removes the details of an error that do not help a user of the command.
func startFailure(err error) error {
	var start *fsm.StartError
	if errors.As(err, &start) {
		return fmt.Errorf("cannot start (%s): %w", start.Part, start.Err)
	}
	var left *fsm.LeaveError
	if errors.As(err, &left) {
		return fmt.Errorf("cannot start (%s): %w", left.Part, left.Err)
	}
	return fmt.Errorf("cannot start: %w", err)
}

// A sender sends batches one after the other, without waiting for their results, so that the lines
// of a partition keep their order.
type sender struct {
	p      *producer.Producer
	in     *lines
	errors io.Writer
	began  time.Time

	counts
}

// A flight is a batch that was sent, or one that was refused.
type flight struct {
	batch
	delivery *producer.Delivery
	err      error
}

// sendAll sends until the input ends, reading is interrupted, or a failure makes it useless to
// continue. It returns when everything that it sent has its result.
func (s *sender) sendAll() {
	flights := make(chan flight, 1000) // fewer if MaxInFlightBytes is reached
	enough, landed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(landed)
		goOn := true
		for f := range flights {
			if f.delivery != nil {
				f.err = f.delivery.Wait(context.Background()) // a stop ends it
			}
			if !s.account(f) && goOn {
				goOn = false
				close(enough)
			}
		}
	}()
	for s.sendNext(flights, enough) {
	}
	close(flights)
	<-landed
}

// sendNext reports whether to continue.
func (s *sender) sendNext(flights chan<- flight, enough <-chan struct{}) bool {
	var b batch
	var more bool
	select {
	case <-enough:
		return false
	case b, more = <-s.in.batches:
	case <-s.in.quit:
		select {
		case b, more = <-s.in.batches: // lines that were read before the interruption
		default:
		}
	}
	if !more {
		return false
	}
	d, err := s.p.Send(context.Background(), b.msgs...)
	s.file, s.last = b.file, b.first+len(b.msgs)-1
	flights <- flight{b, d, err}
	return true
}

// account counts the results of the lines of a batch and reports those that failed. It returns
// whether to continue.
func (s *sender) account(f flight) bool {
	if f.err == nil {
		s.acked.Add(int64(len(f.msgs)))
		return true
	}
	var each kafka.WriteErrors
	if !errors.As(f.err, &each) || len(each) != len(f.msgs) {
		each = make(kafka.WriteErrors, len(f.msgs))
		for i := range each {
			each[i] = f.err
		}
	}
	goOn := true
	for i, err := range each {
		if err == nil {
			s.acked.Add(1)
			continue
		}
		s.failed.Add(1)
		if errors.Is(err, producer.ErrMaybeDelivered) {
			s.maybe.Add(1)
		}
		goOn = goOn && errors.Is(err, producer.ErrRejected)
		s.listFailed(fmt.Sprintf("%s:%d: %s", oneline.Escape(f.file), f.first+i, oneLine(err)), err)
	}
	return goOn
}

// obey implements Ctrl-C. The first one stops the reading. The second one, or the drainTimeout,
// cuts off the lines that have no answer yet.
func (s *sender) obey(signals <-chan os.Signal, over <-chan struct{}, started context.CancelCauseFunc) {
	select {
	case <-over:
		return
	case <-signals:
	}
	started(errors.New("interrupted"))
	close(s.in.quit)
	if s.p.State() == fsm.Started {
		s.note("interrupted: sending the lines that were read, and waiting for the answers; Ctrl-C again ends the wait")
	}
	select {
	case <-over:
		return
	case <-signals:
		s.note("cut off")
	case <-time.After(drainTimeout):
		s.note(fmt.Sprintf("cut off after %v", drainTimeout))
	}
	forced, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("cut off"))
	s.p.Shutdown(forced)
}
