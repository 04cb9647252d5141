package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/twmb/franz-go/pkg/kgo"
	franzsasl "github.com/twmb/franz-go/pkg/sasl"

	"github.com/seed3893aba4/surestart/cmd/surestart/internal/reader"
	"github.com/seed3893aba4/surestart/internal/oneline"
	"github.com/seed3893aba4/surestart/producer"
)

var consumeCommand = command{
	name:  "consume",
	about: "prints the messages of a topic, to see what arrived",
	help: `
Prints the messages that are in the topic now, from every partition, and ends. Each line
has the partition and offset, the time, the key, the value and the headers, between tabs.
Characters that cannot be printed are escaped. With -json each line is what produce -json
reads. There is no consumer group, and nothing is committed. The reader is franz-go, a
client that shares no code with the producer.

  surestart consume -brokers 127.0.0.1:9092 -topic lines -last 10
  surestart consume -brokers 127.0.0.1:9092 -topic lines -json | surestart produce -json ...`,
	prepare: prepareConsume,
}

func prepareConsume(flags *flag.FlagSet) func(*world, []string) error {
	var c connect
	c.declare(flags)
	topic := flags.String("topic", "", "the topic to read")
	partition := flags.Int("partition", -1, "only this partition; default: all")
	last := flags.Int64("last", 0, "only the last `n` messages of each partition; default: all")
	follow := flags.Bool("follow", false, "continue with messages that arrive later, until Ctrl-C")
	most := flags.Int("n", 0, "end after `n` messages; default: no limit")
	asJSON := flags.Bool("json", false, "print JSON")
	return func(w *world, args []string) error {
		switch {
		case len(args) > 0:
			return usagef("unexpected argument %q", args[0])
		case *last < 0:
			return usagef("-last %d: want 0 or more", *last)
		case *most < 0:
			return usagef("-n %d: want 0 or more", *most)
		case *partition < -1:
			return usagef("-partition %d: want 0 or more", *partition)
		}
		cfg, err := c.config(w.getenv)
		if err != nil {
			return err
		}
		if *topic == "" {
			return usagef("-topic is missing")
		}
		cfg.Topic = *topic
		if _, err := producer.New(cfg); err != nil { // the same conditions for passwords, names and addresses
			return usageError{err}
		}
		ctx, cancel := w.interruptible()
		defer cancel()
		printed := 0
		err = consume(ctx, cfg, *partition, *last, *follow, func(r *kgo.Record) bool {
			_, err := fmt.Fprintln(w.out, recordLine(r, *asJSON))
			printed++
			return err == nil && printed != *most
		})
		switch {
		case err == nil || ctx.Err() == nil:
			return err
		case *follow:
			return nil // Ctrl-C is its normal end
		}
		return context.Cause(ctx)
	}
}

func consume(ctx context.Context, cfg producer.Config, partition int, last int64, follow bool, each func(*kgo.Record) bool) error {
	opts := []kgo.Opt{kgo.SeedBrokers(cfg.Brokers...), kgo.ClientID(cfg.ClientID), kgo.RequestRetries(2)}
	if cfg.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(cfg.TLS))
	}
	if cfg.SASL != nil {
		opts = append(opts, kgo.SASL(mechanism{cfg.SASL}))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	asking, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	from, ends, err := reader.Offsets(asking, client, cfg.Topic)
	if err != nil {
		return err
	}
	if partition >= len(from) {
		return usagef("-partition %d: topic %s has %d partitions", partition, cfg.Topic, len(from))
	}
	for p := range from {
		if partition >= 0 && int(p) != partition {
			delete(from, p)
		} else if last > 0 {
			from[p] = max(from[p], ends[p]-last)
		}
	}
	if follow {
		ends = nil
	}
	return reader.Read(ctx, cfg.Topic, from, ends, opts, each)
}

func recordLine(r *kgo.Record, asJSON bool) string {
	if asJSON {
		text, _ := json.Marshal(fromRecord(r)) // strings, bytes, numbers and a time near ours: it cannot fail
		return string(text)
	}
	show := func(b []byte) string {
		if b == nil {
			return "null"
		}
		return oneline.Escape(string(b))
	}
	at := "time out of range"
	if inRange(r.Timestamp) {
		at = r.Timestamp.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	fields := []string{fmt.Sprintf("%d/%d", r.Partition, r.Offset), at, show(r.Key), show(r.Value)}
	for _, h := range r.Headers {
		fields = append(fields, oneline.Escape(h.Key)+"="+show(h.Value))
	}
	return strings.Join(fields, "\t")
}

// inRange reports whether t is the time of the message. For times before 1677 and after 2262 the
// reader returns wrong times, which are not whole milliseconds, as Kafka's times are.
func inRange(t time.Time) bool { return t.Nanosecond()%1e6 == 0 }

// mechanism lets franz-go use a mechanism of kafka-go.
type mechanism struct{ sasl.Mechanism }

func (m mechanism) Authenticate(ctx context.Context, host string) (franzsasl.Session, []byte, error) {
	state, first, err := m.Start(sasl.WithMetadata(ctx, &sasl.Metadata{Host: host}))
	return session{ctx, state}, first, err
}

type session struct {
	ctx   context.Context
	state sasl.StateMachine
}

func (s session) Challenge(answer []byte) (done bool, next []byte, err error) {
	return s.state.Next(s.ctx, answer)
}
