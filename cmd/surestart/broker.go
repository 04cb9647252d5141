package main

import (
	"flag"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed3893aba4/surestart/producer"
)

var brokerCommand = command{
	name:  "broker",
	about: "runs an embedded broker on this machine until Ctrl-C, to try things on",
	help: `
An embedded broker (kfake, of franz-go) on 127.0.0.1. It keeps everything in
memory and forgets it at the end. It is for experiments, not for production.`,
	prepare: prepareBroker,
}

func prepareBroker(flags *flag.FlagSet) func(*world, []string) error {
	port := flags.Int("port", 9092, "the port to listen on; 0: a free one")
	topics := flags.String("topic", "lines", "the topics to create: `name,...`")
	parts := flags.Int("partitions", 3, "the partitions of each topic")
	return func(w *world, args []string) error {
		switch {
		case len(args) > 0:
			return usagef("unexpected argument %q", args[0])
		case *port < 0 || *port > 65535:
			return usagef("-port %d: want 0 to 65535", *port)
		case *parts < 1 || *parts > 1000:
			return usagef("-partitions %d: want 1 to 1000", *parts)
		}
		names := list(*topics)
		if _, err := producer.New(producer.Config{Brokers: []string{"127.0.0.1:9092"}, Topics: names}); err != nil && names != nil {
			return usageError{err} // kfake would create what Kafka does not allow
		}
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(*port), kfake.SeedTopics(int32(*parts), names...))
		if err != nil {
			return err
		}
		defer cluster.Close()
		ctx, cancel := w.interruptible()
		defer cancel()
		at := cluster.ListenAddrs()[0]
		fmt.Fprintf(w.out, "listening on %s, topics: %s; Ctrl-C ends it\n", at, strings.Join(names, ", "))
		if len(names) > 0 {
			fmt.Fprintf(w.out, "try: printf 'a\\nb\\n' | surestart produce -brokers %s -topic %s\n", at, names[0])
		}
		<-ctx.Done()
		return nil
	}
}
