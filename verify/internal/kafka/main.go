package kafka

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/seed3893aba4/surestart/verify/internal/cli"
)

const usage = `A real Apache Kafka for the tests: one node or several (KRaft, the first is the controller), on the loopback only.

  kafka start [-nodes N] [-port P] [-set KEY=VALUE]... [-dir D]
                              makes it and waits until all of it serves; prints host:port,...
  kafka start -oldest [-port P] [-set KEY=VALUE]... [-dir D]
                              the same of the oldest Kafka that the producer supports: one node, with ZooKeeper, no SCRAM, no tools
  kafka stop [-dir D]         kills it and removes its directory
  kafka stop -at-end [-dir D] does so when standard input ends: with the process that holds it
  kafka status [-dir D]       prints host:port,... of all its nodes; exit status 1 if none runs
  kafka start -node I [-dir D]
                              starts one that is down again: same port, same data
  kafka stop -node I [-dir D] shuts one down in good order: its leaders move first; its data stay
  kafka topic NAME PARTITIONS [-dir D]
  kafka lead TOPIC I [-dir D] makes node I the leader of every partition
  kafka produce TOPIC [-dir D]
                              sends the lines key<TAB>value of standard input, with Kafka's own console producer
  kafka consume TOPIC N [-all] [-dir D]
                              prints the values of N messages, with Kafka's own console consumer; -all: also time,
                              partition, headers and key
  kafka ends TOPIC [-dir D]   prints topic:partition:end offset, with Kafka's own tool

start on a running one prints its address; nodes that were killed are started again, on the same ports with the same data
(about 8 s). Without -port free ones are chosen; with it, node I gets P + I - 1. With three nodes a topic has three replicas,
of which two must be in sync (min.insync.replicas) for an acknowledgement. -set adds to every node's server.properties.
The directory D holds address, sasl, tls, and for each node I/pid, I/address, I/server.properties, I/kafka.log, I/data/;
it is ${SURESTART_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/surestart}/broker if not given. Real faults are signals to a process:

  kill -STOP $(cat D/1/pid)   the node hangs: connections stay open, nothing answers   (-CONT ends it)
  kill -KILL $(cat D/1/pid)   the node dies: connections are reset, new ones refused   (start brings it back)

D/sasl has the addresses of a second listener, which wants SASL (PLAIN or SCRAM-SHA-512) from the users alice, password
alice-secret, and bob, bob-secret. Clients without SASL (D/address) may do everything; alice and bob what no ACL denies.
Settings (-set) of listener.name.tls. make a third listener, which wants TLS; its addresses are in D/tls.
Topics are never created automatically. Java and Kafka's jars are found, or installed, as by the command tools kafka.
`

// errUsage makes the caller print the usage.
var errUsage = errors.New("wrong arguments")

// Main runs ./check kafka. It writes results to standard output, and messages for a person to
// standard error.
func Main(ctx context.Context, _ string, args []string) error {
	err := command(ctx, args, os.Stdin, os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print(usage)
		return nil
	}
	if errors.Is(err, errUsage) {
		return fmt.Errorf("%w\nkafka: %w", cli.Usage(usage), err)
	}
	return err
}

func command(ctx context.Context, args []string, in io.Reader, out, log io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: want a command", errUsage)
	}
	var (
		o          Options
		dir        string
		node       int
		atEnd, all bool
		flags      = flag.NewFlagSet(args[0], flag.ContinueOnError)
	)
	flags.SetOutput(io.Discard)
	flags.StringVar(&dir, "dir", "", "")
	wanted := 0 // how many arguments are no flags
	switch args[0] {
	case "start":
		flags.IntVar(&o.Nodes, "nodes", 0, "")
		flags.IntVar(&o.Port, "port", 0, "")
		flags.BoolVar(&o.Oldest, "oldest", false, "")
		flags.IntVar(&node, "node", 0, "")
		flags.Func("set", "", func(setting string) error { o.Settings = append(o.Settings, setting); return nil })
	case "stop":
		flags.IntVar(&node, "node", 0, "")
		flags.BoolVar(&atEnd, "at-end", false, "")
	case "status":
	case "topic", "lead":
		wanted = 2
	case "consume":
		flags.BoolVar(&all, "all", false, "")
		wanted = 2
	case "produce", "ends":
		wanted = 1
	default:
		if err := flags.Parse(args[:1]); errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w: no command %q", errUsage, args[0])
	}
	var rest []string // flags may come after them
	for left := args[1:]; len(left) > 0; {
		if err := flags.Parse(left); err != nil {
			return fmt.Errorf("%w: %s: %w", errUsage, args[0], err)
		}
		if left = flags.Args(); len(left) > 0 {
			rest, left = append(rest, left[0]), left[1:]
		}
	}
	if len(rest) != wanted {
		return fmt.Errorf("%w: %s: got %d arguments beside flags, want %d", errUsage, args[0], len(rest), wanted)
	}
	if node != 0 && (o.Nodes != 0 || o.Port != 0 || o.Settings != nil || o.Oldest || atEnd) {
		return fmt.Errorf("%w: %s: -node with a flag that is for all nodes", errUsage, args[0])
	}
	number := 0
	if wanted == 2 {
		var err error
		if number, err = strconv.Atoi(rest[1]); err != nil || number < 1 {
			return fmt.Errorf("%w: %s: %q: want a number from 1", errUsage, args[0], rest[1])
		}
	}
	c, err := Open(dir, log)
	if err != nil {
		return err
	}

	var text string
	switch args[0] {
	case "start":
		if node != 0 {
			text, err = c.StartNode(ctx, node)
		} else {
			text, err = c.Start(ctx, o)
		}
	case "stop":
		if atEnd {
			if _, err := io.Copy(io.Discard, in); err != nil {
				return err
			}
		}
		if node != 0 {
			return c.StopNode(ctx, node)
		}
		return c.Stop(ctx)
	case "status":
		text, err = c.Status()
	case "topic":
		return c.Topic(ctx, rest[0], number)
	case "lead":
		return c.Lead(ctx, rest[0], number)
	case "produce":
		return c.Produce(ctx, rest[0], in)
	case "consume":
		return c.Consume(ctx, rest[0], number, all, out)
	case "ends":
		return c.Ends(ctx, rest[0], out)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, text)
	return err
}
