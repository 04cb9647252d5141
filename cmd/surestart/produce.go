package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
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
Each line is a message; a carriage return at its end is not part of it. "-" is
standard input, and so is no FILE at all. Lines are read on while others are on
their way (64 MiB of them at most); those of a partition keep their order. A failed
message is named with its file and line on standard error; sending goes on only if
a broker refused it.

Ctrl-C stops the reading, sends what was read, and waits for the answers; a second
Ctrl-C, or 20 seconds, cuts that off. Either way the last line says how many lines
were acknowledged and how many were not. The exit status is 0 if every line read
was acknowledged (and no FILE was left unread), else 1; 2 for a bad command line.

A password comes from -password-file or from the variable SURESTART_PASSWORD. That
file, -tls-cert and -tls-key are read again for every connection: they can be
rotated while it runs.

To try it without a cluster, in two terminals:
  surestart broker -topic lines
  printf 'a\nb\n' | surestart produce -brokers 127.0.0.1:9092 -topic lines`,
	prepare: prepareProduce,
}

const drainTimeout = 20 * time.Second // after the first Ctrl-C

func prepareProduce(flags *flag.FlagSet) func(*world, []string) error {
	brokers := flags.String("brokers", "", "where the cluster is: `host:port,...`")
	topic := flags.String("topic", "", "the topic to send to; it must exist")
	separator := flags.String("key-separator", "", "what stands between key and value; default: lines have no key")
	linger := flags.Duration("linger", 0, "how long a message waits for others, if no request is under way whose successor it will share")
	acks := flags.String("acks", "all", "who must have a message: all (a line is there once then, whatever is lost on the way), one (the leader) or none")
	var sec security
	sec.declare(flags)
	return func(w *world, files []string) error {
		if *brokers == "" {
			return usagef("-brokers is missing; to try it on an embedded broker: surestart broker -topic lines, and in another terminal surestart produce -brokers 127.0.0.1:9092 -topic lines")
		}
		cfg := producer.Config{
			ClientID: "surestart", Topic: *topic, Linger: *linger,
			Logger: slog.New(slog.DiscardHandler), // what it would log is in what we print
		}
		var err error
		if cfg.Brokers, err = brokerList(*brokers); err != nil {
			return err
		}
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
		if cfg.TLS, err = sec.config(); err != nil {
			return err
		}
		if cfg.SASL, err = sec.mechanism(w.getenv); err != nil {
			return err
		}
		in := newLines(files, w.in, *separator)
		if err := in.check(); err != nil {
			return err
		}
		return produce(w, cfg, in)
	}
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
	go s.obey(w, over, started)
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

// startFailure leaves out what a user of the command has no use for.
func startFailure(err error) error {
	var start *fsm.StartError
	if errors.As(err, &start) {
		return fmt.Errorf("cannot start (%s): %w", start.Part, start.Err)
	}
	return fmt.Errorf("cannot start: %w", err)
}

// A sender sends batches one after the other, without waiting for what becomes of
// them: so the lines of a partition keep their order.
type sender struct {
	p      *producer.Producer
	in     *lines
	errors io.Writer
	began  time.Time

	counts
}

// A flight is a batch on its way, or one that was not let in.
type flight struct {
	batch
	delivery *producer.Delivery
	err      error
}

// sendAll returns when all that was sent has its result, which is when all is sent,
// reading was interrupted, or sending on makes no sense.
func (s *sender) sendAll() {
	flights := make(chan flight, 1000) // or as many as MaxInFlightBytes lets in
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

// sendNext reports whether to go on.
func (s *sender) sendNext(flights chan<- flight, enough <-chan struct{}) bool {
	var b batch
	var more bool
	select {
	case <-enough:
		return false
	case b, more = <-s.in.batches:
	case <-s.in.quit:
		select {
		case b, more = <-s.in.batches: // what has been read already
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

// account counts what became of the lines of a batch and tells of those that failed;
// it reports whether to go on.
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
		s.tell(fmt.Sprintf("%s:%d: %s", oneline.Escape(f.file), f.first+i, oneLine(err)), err)
	}
	return goOn
}

// obey is what Ctrl-C does: the first one stops the reading, the second one, or
// the drainTimeout, cuts off what is on its way.
func (s *sender) obey(w *world, over <-chan struct{}, started context.CancelCauseFunc) {
	select {
	case <-over:
		return
	case <-w.signals:
	}
	started(errors.New("interrupted"))
	close(s.in.quit)
	if s.p.State() == fsm.Started {
		s.note("interrupted: sending what was read and waiting for the answers; Ctrl-C again cuts that off")
	}
	select {
	case <-over:
		return
	case <-w.signals:
		s.note("cut off")
	case <-time.After(drainTimeout):
		s.note(fmt.Sprintf("cut off after %v", drainTimeout))
	}
	forced, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("cut off"))
	s.p.Shutdown(forced)
}
